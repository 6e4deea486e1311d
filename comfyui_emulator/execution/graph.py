"""The graph of one run: submitted nodes, nodes added by expansion, and the order in which they become ready. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from comfyui_emulator.execution.arrivals import Arrivals
from comfyui_emulator.registry import JsonObject, Registry, is_link, node_inputs


class NodeNotFoundError(Exception):
    """A link names a node that the graph does not have."""


class DependencyCycleError(Exception):
    """Nodes wait for each other. Validation misses such a cycle only if it runs through undeclared inputs.

    ``blamed`` is the node that the error names.
    """

    def __init__(self, blamed: str) -> None:
        super().__init__("Dependency cycle detected")
        self.blamed = blamed


class NodeInputError(Exception):
    """A node asks for a lazy input that is not a link."""


NodeInputError.__module__ = NodeNotFoundError.__module__ = "comfy_execution.graph"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an added node: the node that expanded, and the node that frontends show for it."""

    parent: str
    display: str


class RunGraph:
    """Nodes of one run by id."""

    def __init__(self, prompt: Mapping[str, JsonObject]) -> None:
        self.prompt = prompt
        self._added: dict[str, JsonObject] = {}
        self._origins: dict[str, Origin] = {}

    def node(self, node_id: str) -> JsonObject:
        """The node with that id. Raises :class:`NodeNotFoundError`."""
        found = self._added.get(node_id) or self.prompt.get(node_id)
        if found is None:
            raise NodeNotFoundError(f"Node {node_id} not found")
        return found

    def __contains__(self, node_id: str) -> bool:
        """Whether the graph contains the node."""
        return node_id in self._added or node_id in self.prompt

    def class_type(self, node_id: str) -> str:
        """The class of a node."""
        return str(self.node(node_id)["class_type"])

    def add(self, node_id: str, node: JsonObject, parent: str, display: str) -> None:
        """Add a node that an expansion returned."""
        self._added[node_id] = node
        self._origins[node_id] = Origin(parent, display)

    # The names below are ComfyUI's, for packs.

    def get_node(self, node_id: str) -> JsonObject:
        """:meth:`node`."""
        return self.node(node_id)

    def has_node(self, node_id: str) -> bool:
        """Whether the graph contains the node."""
        return node_id in self

    def get_display_node_id(self, node_id: str) -> str:
        """:meth:`display`."""
        return self.display(node_id)

    def get_real_node_id(self, node_id: str) -> str:
        """:meth:`real`."""
        return self.real(node_id)

    def get_parent_node_id(self, node_id: str) -> str | None:
        """:meth:`parent`."""
        return self.parent(node_id)

    def parent(self, node_id: str) -> str | None:
        """The node whose expansion added this one."""
        origin = self._origins.get(node_id)
        return origin.parent if origin else None

    def display(self, node_id: str) -> str:
        """The node that frontends show for this one: for an added node, the one it names, else the expanding one."""
        seen = {node_id}
        while (origin := self._origins.get(node_id)) is not None and origin.display not in seen:
            node_id = origin.display
            seen.add(node_id)
        return node_id

    def real(self, node_id: str) -> str:
        """The submitted node at the root of the expansions that added this one."""
        while (origin := self._origins.get(node_id)) is not None:
            node_id = origin.parent
        return node_id

    def path(self, node_id: str) -> list[tuple[str, str]]:
        """Ids and classes from the submitted node down to this one."""
        found = [(node_id, self.class_type(node_id))]
        while (parent := self.parent(found[0][0])) is not None:
            found.insert(0, (parent, self.class_type(parent)))
        return found

    def added(self) -> Iterable[str]:
        """Ids of the nodes that expansions added."""
        return self._added.keys()


class Schedule:
    """Decides which node runs next.

    Pending are the added nodes and their ancestors that are not cached. Ready nodes run in ComfyUI's order: an output
    or asynchronous node first, then one that feeds an output, then one two steps before an output, then the first.
    """

    def __init__(
        self, graph: RunGraph, registry: Registry, arrivals: Arrivals, is_cached: Callable[[str], bool]
    ) -> None:
        self._graph, self._registry, self._arrivals, self._is_cached = graph, registry, arrivals, is_cached
        self._pending: dict[str, None] = {}
        self._waits_for: dict[str, dict[str, None]] = {}
        self._blocks: dict[str, dict[str, None]] = {}
        self._external: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether anything is pending."""
        return bool(self._pending)

    def add(self, node_id: str) -> None:
        """Make ``node_id`` pending, with its uncached ancestors. Raises :class:`NodeNotFoundError`."""
        stack = [node_id]
        while stack:
            current = stack.pop()
            if current in self._pending:
                continue
            self._pending[current] = None
            self._waits_for.setdefault(current, {})
            self._blocks.setdefault(current, {})
            for source, slot in self._sources(current):
                if source not in self._graph:
                    raise NodeNotFoundError(f"Node {source} not found")
                self._arrivals.expect(current, source, slot)
                if self._is_cached(source):
                    continue
                stack.append(source)
                self._link(source, current)

    def _sources(self, node_id: str) -> Iterable[tuple[str, int]]:
        node = self._graph.node(node_id)
        kind = self._registry[node["class_type"]]
        for name, value in node_inputs(node).items():
            if is_link(value):
                # Undeclared links count too: ComfyUI follows them at execution, although validation ignores them.
                entry = kind.input_entry(name)
                if entry is None or not entry[2].get("lazy"):
                    yield value[0], int(value[1])

    def _link(self, source: str, target: str) -> None:
        self._blocks.setdefault(source, {})[target] = None
        self._waits_for.setdefault(target, {})[source] = None

    def need(self, node_id: str, source: str, slot: int) -> None:
        """Make ``node_id`` wait for a result of ``source`` too. Raises :class:`NodeNotFoundError` or ``IndexError``."""
        if not self._is_cached(source):
            self.add(source)
            self._link(source, node_id)
        self._arrivals.expect(node_id, source, slot)

    def need_input(self, node_id: str, name: str) -> None:
        """Make ``node_id`` wait for the source of an input. Raises :class:`NodeInputError` if that is not a link."""
        inputs = node_inputs(self._graph.node(node_id))
        what = f"Node {node_id} says it needs input {name}, but"
        if name not in inputs:
            raise NodeInputError(f"{what} there is no input to that node at all")
        if not is_link(inputs[name]):
            raise NodeInputError(f"{what} that value is a constant")
        source, slot = inputs[name]
        self.need(node_id, source, int(slot))

    def hold(self, node_id: str) -> None:
        """Keep a node from being picked until :meth:`release`; calls are counted."""
        self._external[node_id] = self._external.get(node_id, 0) + 1

    def release(self, node_id: str) -> None:
        """Undo one :meth:`hold`."""
        self._external[node_id] -= 1
        if not self._external[node_id]:
            del self._external[node_id]

    @property
    def held(self) -> bool:
        """Whether a node waits for something outside the graph."""
        return bool(self._external)

    def ready(self) -> list[str]:
        """Pending nodes that wait for nothing, in the order in which they became pending."""
        return [node for node in self._pending if not self._waits_for[node] and node not in self._external]

    def pick(self) -> str | None:
        """The next node; ``None`` while all remaining nodes wait for something outside the graph.

        Raises :class:`DependencyCycleError` if the remaining nodes wait for each other.
        """
        ready = self.ready()
        if not ready:
            if self.held:
                return None
            raise DependencyCycleError(self._blamed())
        if len(ready) == 1:
            return ready[0]
        for steps in range(3):
            for node in ready:
                if self._leads_to_output(node, steps):
                    return node
        return ready[0]

    def _blamed(self) -> str:
        """Of the nodes that wait for each other, the one that frontends show for the first added one, or the first."""
        left = {node: set(self._waits_for[node]) & self._pending.keys() for node in self._pending}
        while free := [node for node, sources in left.items() if not sources]:
            for node in free:
                del left[node]
            for sources in left.values():
                sources.difference_update(free)
        shown = [display for node in left if (display := self._graph.display(node)) != node]
        return [*shown, *left][0]

    def _leads_to_output(self, node_id: str, steps: int) -> bool:
        if steps == 0:
            kind = self._registry[self._graph.class_type(node_id)]
            return kind.is_output or kind.is_async
        limit = steps - 1
        return any(self._is_output(target) if limit == 0 else self._feeds(target) for target in self._blocks[node_id])

    def _is_output(self, node_id: str) -> bool:
        return self._registry[self._graph.class_type(node_id)].is_output

    def _feeds(self, node_id: str) -> bool:
        return any(self._is_output(target) for target in self._blocks.get(node_id, ()))

    def done(self, node_id: str) -> None:
        """Remove a node that has its result, and unblock those that wait for it."""
        self._arrivals.forget(node_id)
        del self._pending[node_id]
        for target in self._blocks.pop(node_id, {}):
            self._waits_for.get(target, {}).pop(node_id, None)


def result_links(values: Iterable[Any]) -> list[tuple[int, str, int]]:
    """``(position, node id, slot)`` of the links among an expansion's result values."""
    return [(index, v[0], int(v[1])) for index, v in enumerate(values) if is_link(v)]
