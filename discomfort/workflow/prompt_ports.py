"""Finds the ports of a prompt: ``DiscomfortPort`` nodes in API format, which runs replace. Pure.

Reroutes, primitives and the borders of subgraphs are gone there. The frontend also leaves out links of muted nodes, so
a port may look like one of another role. The workflow that the prompt was made from says what is meant: a connection
that either of them has counts, but only what the prompt has can carry a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._json_objects import JsonObject
from ..exceptions import GraphProblem
from .dynamic_inputs import expanded, input_specs, spec_type
from .input_values import WIDGET_TYPES
from .json_values import is_link
from .nodes import title_of
from .port_types import ANY, excludes, is_known, slot_type
from .prompt_ids import PromptIds
from .scopes import GraphScope
from .workflow_ports import PORT, PortRole, WorkflowPort, workflow_ports

PORT_INPUT = "input_data"
"""The input by which a value reaches a port."""

NodeOutput = tuple[str, int]
"""A node of a prompt and the number of its output: what a link in a prompt names."""


@dataclass(frozen=True, slots=True)
class FedInput:
    """An input that a port feeds. ``spec`` is its declaration, ``None`` if unknown; ``type`` is ``ANY`` then."""

    node_id: str
    class_type: str
    title: str | None
    name: str
    spec: Any = None

    @property
    def type(self) -> str:
        """The declared type."""
        return ANY if self.spec is None else slot_type(spec_type(self.spec))

    @property
    def takes_constants(self) -> bool:
        """Whether a constant may stand there; otherwise only a link."""
        return self.class_type == PORT or not is_known(self.type) or self.type.split(",")[0] in WIDGET_TYPES

    def __str__(self) -> str:
        return f"node {self.node_id} {self.title or self.class_type!r} input {self.name!r}"


@dataclass(frozen=True, slots=True)
class PromptPort:
    """One port. ``source`` is what feeds it and ``targets`` are the inputs that it feeds, both behind other ports.

    The source may be an INPUT port, and a target the ``input_data`` of an OUTPUT port. An OUTPUT without a source gets
    nothing in this run: what feeds it is muted.
    """

    node_id: str
    unique_id: str
    role: PortRole
    title: str | None = None
    source: NodeOutput | None = None
    source_type: str = ANY
    targets: tuple[FedInput, ...] = ()

    @property
    def type(self) -> str:
        """The type of the variable: of the first input it feeds that has one; for an output of what feeds it."""
        known = (target.type for target in self.targets if is_known(target.type))
        return self.source_type if self.role is PortRole.OUTPUT else next(known, self.source_type)

    def problem(self, text: str) -> GraphProblem:
        """A problem of this port."""
        named = f"port {self.unique_id!r}: {text}" if self.unique_id else text
        return GraphProblem(self.node_id, PORT, self.title, None, named)


@dataclass(frozen=True, slots=True)
class PromptPorts:
    """The ports of a prompt in its order, and what is wrong with them."""

    ports: tuple[PromptPort, ...] = ()
    problems: tuple[GraphProblem, ...] = ()

    def of(self, *roles: PortRole) -> list[PromptPort]:
        """The ports with one of these roles."""
        return [port for port in self.ports if port.role in roles]

    def inputs(self) -> dict[str, list[PromptPort]]:
        """The INPUT ports that feed something, by id; all of an id get its value."""
        found: dict[str, list[PromptPort]] = {}
        for port in self.of(PortRole.INPUT):
            if port.unique_id:
                found.setdefault(port.unique_id, []).append(port)
        return found

    def outputs(self) -> dict[str, PromptPort]:
        """The OUTPUT ports that get a value, by id."""
        ports = self.of(PortRole.OUTPUT)
        return {port.unique_id: port for port in ports if port.unique_id and port.source is not None}


def prompt_ports(
    prompt: JsonObject, definitions: Mapping[str, Any] | None = None, workflow: JsonObject | None = None
) -> PromptPorts:
    """The ports of a well-formed prompt.

    ``definitions`` is the server's ``/object_info``, for the types; without it, all are unknown. ``workflow`` is what
    the prompt was made from, if it was: it says what the role of a port is whose neighbours are muted.
    """
    declared = {} if workflow is None else declared_ports(workflow, prompt)
    graph = _Graph(prompt, definitions or {}, declared)
    ports = [graph.port(node_id) for node_id in graph.port_ids]
    problems = [problem for port in ports for problem in graph.problems(port)]
    outputs: dict[str, list[PromptPort]] = defaultdict(list)
    for port in ports:
        if port.role is PortRole.OUTPUT and port.source is not None and port.unique_id:
            outputs[port.unique_id].append(port)
    for same in outputs.values():
        if len(same) > 1:
            nodes = ", ".join(port.node_id for port in same)
            text = f"{len(same)} OUTPUT ports have this id (nodes {nodes}), and one value would be lost: rename them"
            problems.append(same[-1].problem(text))
    return PromptPorts(tuple(ports), tuple(problems))


def declared_ports(workflow: JsonObject, prompt: Mapping[str, Any]) -> dict[str, WorkflowPort]:
    """The ports of a workflow by the ids that its prompt gives them."""
    found = workflow_ports(workflow)
    names: dict[tuple[int, int], str] = {}
    ids = PromptIds(workflow, prompt)
    stack: list[tuple[GraphScope, str]] = [(found.scope, "")]
    while stack:
        scope, prefix = stack.pop()
        nodes = list(scope.nodes.values())
        for node, own, key in zip(nodes, ids.ids(nodes, prefix), scope.nodes, strict=True):
            names[id(scope), id(node)] = own
            if key in scope.children:
                stack.append((scope.children[key], f"{own}:"))
    every = (*found.ports, *found.unnamed)
    return {names[id(port.scope), id(port.node)]: port for port in every}


class _Graph:
    """The links of a prompt around its ports."""

    def __init__(
        self, prompt: JsonObject, definitions: Mapping[str, Any], declared: Mapping[str, WorkflowPort]
    ) -> None:
        self._prompt, self._definitions, self._declared = prompt, definitions, declared
        self.port_ids = [node_id for node_id, node in prompt.items() if node["class_type"] == PORT]
        known = set(self.port_ids)
        self._consumers: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for node_id, node in prompt.items():
            for name, value in node["inputs"].items():
                if is_link(value) and value[0] in known:
                    self._consumers[value[0]].append((node_id, name))

    def port(self, node_id: str) -> PromptPort:
        node, declared = self._prompt[node_id], self._declared.get(node_id)
        targets = tuple(self._targets(node_id))
        is_fed = self._is_fed(node_id)
        feeds = bool(self._consumers[node_id]) or (declared is not None and bool(declared.targets))
        if is_fed:
            role = PortRole.PASSTHRU if feeds else PortRole.OUTPUT
        else:
            # What only feeds muted nodes takes no value.
            role = PortRole.INPUT if self._consumers[node_id] else PortRole.UNCONNECTED
        source = self._source(node_id) if is_fed else None
        kind = ANY if source is None else self._output_type(source)
        return PromptPort(node_id, self._unique_id(node), role, title_of(node), source, kind, targets)

    def problems(self, port: PromptPort) -> Iterator[GraphProblem]:
        given = self._prompt[port.node_id]["inputs"].get("unique_id")
        if is_link(given):
            yield port.problem(f"its unique_id is computed by node {given[0]}: type a name into it")
        elif not port.unique_id:
            yield port.problem("it has no unique_id: type a name into it")
        kinds = [(f"node {port.source[0]}", port.source_type)] if port.source is not None else []
        kinds += [(str(target), target.type) for target in port.targets]
        known = [(name, kind) for name, kind in kinds if is_known(kind)]
        for name, kind in known[1:]:
            if excludes(known[0][1], kind):
                yield port.problem(f"{known[0][1]} of {known[0][0]} and {kind} of {name} exclude each other")

    def _is_fed(self, node_id: str) -> bool:
        """Whether something feeds a port, or would if it were not muted."""
        declared = self._declared.get(node_id)
        link = self._prompt[node_id]["inputs"].get(PORT_INPUT)
        return is_link(link) or (declared is not None and declared.source is not None)

    def _unique_id(self, node: JsonObject) -> str:
        value = node["inputs"].get("unique_id")
        return "" if value is None or is_link(value) else str(value).strip()

    def _source(self, node_id: str) -> NodeOutput | None:
        """What feeds a port behind other ports: an output of a node, or an INPUT port."""
        seen: set[str] = set()
        link = self._prompt[node_id]["inputs"].get(PORT_INPUT)
        while is_link(link) and link[0] in self._prompt and link[0] not in seen:
            node = self._prompt[link[0]]
            if node["class_type"] != PORT:
                return link[0], int(link[1])
            seen.add(link[0])
            before = node["inputs"].get(PORT_INPUT)
            if not is_link(before):
                return None if self._is_fed(link[0]) else (link[0], 0)
            link = before
        return None

    def _targets(self, node_id: str) -> Iterator[FedInput]:
        seen: set[str] = {node_id}
        stack = list(reversed(self._consumers[node_id]))
        while stack:
            consumer, name = stack.pop()
            node = self._prompt[consumer]
            is_way = node["class_type"] == PORT and name == PORT_INPUT
            if is_way and self._consumers[consumer]:
                if consumer not in seen:
                    seen.add(consumer)
                    stack += reversed(self._consumers[consumer])
                continue
            specs = {} if is_way else expanded(input_specs(self._definitions.get(node["class_type"])), node["inputs"])
            yield FedInput(consumer, node["class_type"], title_of(node), name, specs.get(name))

    def _output_type(self, source: NodeOutput) -> str:
        definition = self._definitions.get(self._prompt[source[0]]["class_type"])
        outputs = definition.get("output") if isinstance(definition, Mapping) else None
        if not isinstance(outputs, list) or not 0 <= source[1] < len(outputs):
            return ANY
        return slot_type(outputs[source[1]])
