"""The graphs of a workflow as they are used: the workflow itself, and each subgraph once for each of its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .._json_objects import JsonObject
from .javascript import id_text
from .links import LinkTable
from .nodes import MODE_BYPASSED, MODE_MUTED, iterate, subgraphs
from .subgraphs import objects


@dataclass(slots=True, eq=False)
class GraphScope:
    """One use of a graph. ``host`` is the node that stands for it in ``parent``; the workflow itself has neither.

    ``prefix`` precedes the ids of its nodes in a prompt (``"5:"``). ``children`` has the uses of subgraphs inside, by
    the id of their node.
    """

    graph: JsonObject
    links: LinkTable = field(repr=False)
    prefix: str = ""
    parent: GraphScope | None = field(default=None, repr=False)
    host: JsonObject | None = field(default=None, repr=False)
    active: bool = True
    nodes: dict[str, JsonObject] = field(default_factory=dict, repr=False)
    children: dict[str, GraphScope] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.nodes = {id_text(node.get("id")): node for node in objects(self.graph.get("nodes"))}

    @property
    def host_id(self) -> str:
        """The id of the host in its own graph."""
        return id_text(self.host.get("id")) if self.host is not None else ""

    def is_active(self, node: JsonObject) -> bool:
        """Whether the node, and every host around it, is neither muted nor bypassed."""
        return self.active and node.get("mode") not in (MODE_MUTED, MODE_BYPASSED)

    def host_slot(self, key: str, index: int) -> int | None:
        """The slot of the host (``key`` is ``inputs`` or ``outputs``) for a slot of the definition, if it has it.

        The frontend matches them by number (1.27.10, 1.49.6 and 1.58.1). A host may have fewer slots than its
        definition, because frontends leave out those that are widgets without a link; then names count (1.49.6).
        """
        matches = self._by_name(key)
        if matches is not None:
            return matches.get(index)
        return index if index < _count(self.host or {}, key) else None

    def border_slot(self, key: str, index: int) -> int | None:
        """The slot of the definition for a slot of the host, if it has it."""
        matches = self._by_name(key)
        if matches is not None:
            return next((border for border, slot in matches.items() if slot == index), None)
        return index if index < _count(self.graph, key) else None

    def _by_name(self, key: str) -> dict[int, int] | None:
        """The host's slots by those of the definition if names tell; ``None`` if numbers do."""
        host, border = (
            [str(slot.get("name")) for slot in objects(each.get(key))] for each in (self.host or {}, self.graph)
        )
        if len(host) >= len(border) or len(set(border)) < len(border) or not set(host) <= set(border):
            return None
        return {border.index(name): slot for slot, name in enumerate(host)}

    def walk(self) -> Iterator[GraphScope]:
        """This use and all those inside it."""
        stack = [self]
        while stack:
            scope = stack.pop()
            yield scope
            stack.extend(reversed(scope.children.values()))


def workflow_scope(workflow: JsonObject) -> GraphScope:
    """The scope of a workflow that passed :func:`~discomfort.workflow.detect.classify`.

    Raises PayloadError if a subgraph contains itself, or if there are too many nodes once all are expanded.
    """
    for _ in iterate(workflow):
        pass  # counts the nodes, and refuses circles
    definitions = subgraphs(workflow)
    tables = {key: LinkTable(graph) for key, graph in definitions.items()}
    root = GraphScope(workflow, LinkTable(workflow))
    open_scopes = [root]
    while open_scopes:
        scope = open_scopes.pop()
        for node_id, node in scope.nodes.items():
            key = str(node.get("type"))
            if key not in definitions:
                continue
            prefix, active = f"{scope.prefix}{node_id}:", scope.is_active(node)
            child = GraphScope(definitions[key], tables[key], prefix, scope, node, active)
            scope.children[node_id] = child
            open_scopes.append(child)
    return root


def _count(holder: JsonObject, key: str) -> int:
    return len(list(objects(holder.get(key))))
