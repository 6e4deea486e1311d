"""Makes the prompt of a run out of a prompt with ports: values go in, what comes out is collected. Pure.

No port is left. An INPUT port becomes what its variable is bound to: a constant in each input that it feeds, a node
that gives the value, or the nodes of a recipe. An OUTPUT port becomes a sink, a node under the same id that takes the
value. A PASSTHRU port goes, and what it feeds is linked to what feeds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._json_objects import JsonObject, copied
from ..exceptions import GraphProblem, InputSelectorError, PortError
from .input_values import check_value
from .json_values import describe, is_link, json_problem
from .model_folders import model_remedy
from .port_types import ANY, excludes, is_known
from .prompt_ports import PORT_INPUT, FedInput, NodeOutput, PromptPort, PromptPorts
from .workflow_ports import PORT, PortRole


@dataclass(frozen=True, slots=True)
class Literal:
    """A JSON value, written into each input that the port feeds, where the server checks it."""

    value: Any


@dataclass(frozen=True, slots=True)
class ValueNode:
    """A node that gives the value at its first output; it stands in place of the port, under its id.

    ``type`` is that of the value, if it is known. ``meta`` is for its ``_meta``, which no cache regards.
    """

    class_type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    type: str = ANY
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Nodes that make the value, and the output at which it is.

    Nodes of the same id must have the same class and inputs everywhere; their titles may differ.
    """

    nodes: Mapping[str, Any] = field(repr=False)
    output: NodeOutput
    type: str = ANY


@dataclass(frozen=True, slots=True)
class Sink:
    """A node that takes the value of an OUTPUT port by its input ``name``; it stands in place of the port."""

    class_type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    name: str = PORT_INPUT


Binding = Literal | ValueNode | Recipe


def compiled(
    prompt: JsonObject,
    ports: PromptPorts,
    bindings: Mapping[str, Binding],
    sinks: Mapping[str, Sink],
    *,
    kept: Sequence[Mapping[str, Any]] = (),
) -> JsonObject:
    """A prompt without ports. The given one is not changed, and nothing is shared with it or with the bindings.

    ``bindings`` say what each variable of an INPUT port is; others are ignored. ``sinks`` say what each OUTPUT port
    becomes; one without a sink is left out. ``kept`` are nodes that come along unconnected, so that a server's cache
    keeps their results; those of another id only.

    Raises PortError with everything that is wrong: what :class:`PromptPorts` found, INPUT ports without a binding,
    values that an input does not take, recipes that contradict the prompt or each other.
    """
    problems = list(compilation_problems(prompt, ports, bindings))
    if problems:
        raise PortError("the workflow cannot run", problems)
    made = _Compilation(prompt, ports, bindings, sinks).nodes()
    for nodes in kept:
        made |= {key: copied(node) for key, node in nodes.items() if key not in made and key not in prompt}
    return made


def compilation_problems(
    prompt: JsonObject, ports: PromptPorts, bindings: Mapping[str, Binding]
) -> Iterator[GraphProblem]:
    """Everything that keeps these bindings from being compiled."""
    yield from ports.problems
    merged: dict[str, Any] = {}
    for unique_id, same in ports.inputs().items():
        binding = bindings.get(unique_id)
        if binding is None:
            yield same[0].problem("it has no value: give one, or save one to the context before the run")
            continue
        for port in same:
            yield from _problems(port, binding)
        if isinstance(binding, Recipe):
            yield from _clashes(same[0], binding, prompt, merged)


def ancestors(prompt: Mapping[str, Any], output: NodeOutput) -> JsonObject:
    """The nodes that an output needs, itself among them, in the order of the prompt; they are not copied.

    Raises PortError if a link names a node that is not there.
    """
    needed: set[str] = set()
    ahead = [output[0]]
    while ahead:
        node_id = ahead.pop()
        if node_id in needed:
            continue
        if node_id not in prompt:
            raise PortError(f"node {node_id} is needed, but the prompt does not have it")
        needed.add(node_id)
        ahead += [value[0] for value in prompt[node_id]["inputs"].values() if is_link(value)]
    return {node_id: node for node_id, node in prompt.items() if node_id in needed}


class _Compilation:
    """The parts of one compilation, which has no problems."""

    def __init__(
        self, prompt: JsonObject, ports: PromptPorts, bindings: Mapping[str, Binding], sinks: Mapping[str, Sink]
    ) -> None:
        self._given, self._bindings, self._sinks = prompt, bindings, sinks
        self._ports = {port.node_id: port for port in ports.ports}

    def nodes(self) -> JsonObject:
        """The new prompt, in the order of the given one, then the nodes of recipes."""
        made: JsonObject = {}
        for node_id, node in self._given.items():
            port = self._ports.get(node_id)
            new = self._without_ports(node) if port is None else self._in_place_of(port)
            if new is not None:
                made[node_id] = new
        for port in self._ports.values():
            binding = self._binding(port)
            if isinstance(binding, Recipe):
                made |= copied(binding.nodes)
        return made

    def _in_place_of(self, port: PromptPort) -> JsonObject | None:
        binding, sink = self._binding(port), self._sinks.get(port.unique_id)
        if isinstance(binding, ValueNode):
            node = _node(binding.class_type, copied(binding.inputs), port)
            return {**node, "_meta": {**copied(binding.meta), **node["_meta"]}}
        if port.role is PortRole.OUTPUT and port.source is not None and sink is not None:
            return _node(sink.class_type, {**copied(sink.inputs), sink.name: self._resolved(port.source)}, port)
        return None

    def _without_ports(self, node: JsonObject) -> JsonObject:
        inputs: JsonObject = {}
        for name, value in node["inputs"].items():
            found = self._resolved((value[0], value[1])) if is_link(value) and value[0] in self._ports else value
            if found is not _NOTHING:
                inputs[name] = copied(found)
        return {**{key: copied(each) for key, each in node.items()}, "inputs": inputs}

    def _resolved(self, output: NodeOutput) -> Any:
        """What stands in an input that was linked to this output: a link, a constant, or nothing."""
        port = self._ports.get(output[0])
        if port is None:
            return list(output)
        binding = self._binding(port)
        if isinstance(binding, Literal):
            value = copied(binding.value)
            # The server reads a bare list as a link, or refuses it; wrapped, it is a value.
            return {"__value__": value} if isinstance(value, list) else value
        if binding is not None:
            return [port.node_id, 0] if isinstance(binding, ValueNode) else list(binding.output)
        return _NOTHING if port.source is None else self._resolved(port.source)

    def _binding(self, port: PromptPort) -> Binding | None:
        return self._bindings[port.unique_id] if port.role is PortRole.INPUT else None


_NOTHING = object()
"""What a PASSTHRU port hands on whose source is muted."""


def _problems(port: PromptPort, binding: Binding) -> Iterator[GraphProblem]:
    for target in port.targets:
        if isinstance(binding, Literal):
            text = _literal_problem(target, binding.value)
        else:
            text = f"takes {target.type}, given {binding.type}" if excludes(binding.type, target.type) else ""
        if text:
            yield port.problem(f"{target} {text}")


def _literal_problem(target: FedInput, value: Any) -> str:
    """Why an input does not take a constant, empty if it does."""
    if target.class_type == PORT or not is_known(target.type):
        problem = json_problem(value)
        return f"the value cannot be sent: {problem}" if problem else ""
    if not target.takes_constants:
        return f"takes {target.type}, given {describe(value)}"
    try:
        check_value("", value, target.spec, remedy=model_remedy(target.class_type, target.name, value))
    except InputSelectorError as error:
        return str(error).removeprefix("'': ")
    return ""


def _clashes(
    port: PromptPort, recipe: Recipe, prompt: Mapping[str, Any], merged: dict[str, Any]
) -> Iterator[GraphProblem]:
    if recipe.output[0] not in recipe.nodes:
        yield port.problem(f"its reference names node {recipe.output[0]}, which it does not have")
    for node_id, node in recipe.nodes.items():
        if node.get("class_type") == PORT:
            yield port.problem(f"its reference has the port {node['inputs'].get('unique_id')!r}, which needs a value")
        other = prompt.get(node_id, merged.setdefault(node_id, node))
        if any(other.get(key) != node.get(key) for key in ("class_type", "inputs")):
            yield port.problem(f"its reference has another node {node_id} than the prompt or another reference")


def _node(class_type: str, inputs: JsonObject, port: PromptPort) -> JsonObject:
    return {"inputs": inputs, "class_type": class_type, "_meta": {"title": port.title or port.unique_id}}
