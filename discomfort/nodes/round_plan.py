"""Rounds of a workflow inside of a prompt that runs: its nodes under new ids, linked to what its variables are. Pure.

The workflow is compiled once, with a stand-in for each variable. A round is a copy in which the stand-ins are links: to
what the caller connected, or to what an OUTPUT port of that id got in the round before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._json_objects import JsonObject, copied
from ..exceptions import GraphProblem, PortError
from ..workflow.compilation import Recipe, Sink, compiled
from ..workflow.dynamic_inputs import expanded, input_specs
from ..workflow.input_values import choices
from ..workflow.json_values import describe, is_link
from ..workflow.port_types import ANY, slot_type
from ..workflow.prompt_ports import PORT_INPUT, PromptPorts, prompt_ports
from ..workflow.workflow_ports import PORT

Link = list[Any]
"""A node's id and the number of its output."""
Definition = Callable[[str], "JsonObject | None"]
"""Gives the declaration of a node class, or ``None`` if there is none."""

_VARIABLE = "variable "
_SINK = "sink"


@dataclass(frozen=True)
class RoundPlan:
    """A workflow as rounds. ``nodes`` has no ports; ``outputs`` has the link of each OUTPUT port's value."""

    nodes: JsonObject
    outputs: Mapping[str, Link]

    def round(self, prefix: str, variables: Mapping[str, Link]) -> tuple[JsonObject, dict[str, Link]]:
        """The nodes of one round, whose ids begin with ``prefix``, and the links of its outputs."""

        def moved(link: Link) -> Link:
            name = link[0].removeprefix(_VARIABLE)
            if name != link[0] and link[0] not in self.nodes:
                return list(variables[name])
            return [prefix + link[0], link[1]]

        nodes = {
            prefix + node_id: {
                **node,
                "inputs": {
                    name: moved(value) if is_link(value) else copied(value) for name, value in node["inputs"].items()
                },
            }
            for node_id, node in self.nodes.items()
        }
        return nodes, {name: moved(link) for name, link in self.outputs.items()}

    def __repr__(self) -> str:
        return f"<{len(self.nodes)} nodes>"  # ComfyUI shows it where a node of ours fails


def round_plan(
    prompt: JsonObject,
    types: Mapping[str, str],
    definition: Definition,
    *,
    workflow: JsonObject | None = None,
) -> RoundPlan:
    """The plan of a prompt with ports. ``types`` has the variables that have a value, each with its type.

    ``workflow`` is what the prompt was made from, if it was. Raises PortError with everything that is wrong: what keeps
    it from being compiled, and what a server would refuse.
    """
    definitions = {}
    for node in prompt.values():
        declared = definition(node["class_type"])
        if declared is not None:
            definitions[node["class_type"]] = declared
    ports = prompt_ports(prompt, definitions, workflow)
    problems = [*_missing_values(ports, types), *_node_problems(prompt, definitions)]
    if problems:
        raise PortError("the workflow cannot run", [*ports.problems, *problems])
    stand_in: JsonObject = {"class_type": "", "inputs": {}}
    bindings = {
        name: Recipe({_VARIABLE + name: stand_in}, (_VARIABLE + name, 0), slot_type(types[name]))
        for name in ports.inputs()
    }
    sinks = {name: Sink(_SINK) for name in ports.outputs()}
    made = compiled(prompt, ports, bindings, sinks)
    outputs = {name: made.pop(port.node_id)["inputs"] for name, port in ports.outputs().items()}
    nodes = {node_id: _runnable(node) for node_id, node in made.items() if node["class_type"]}
    return RoundPlan(nodes, {name: inputs[PORT_INPUT] for name, inputs in outputs.items() if PORT_INPUT in inputs})


def _missing_values(ports: PromptPorts, given: Mapping[str, str]) -> Iterator[GraphProblem]:
    for name, same in ports.inputs().items():
        if name not in given:
            yield same[0].problem(
                f"it has no value: connect one to input1 … input5, and enter {name!r} as the unique_id of that input"
            )


def _node_problems(prompt: JsonObject, definitions: Mapping[str, JsonObject]) -> Iterator[GraphProblem]:
    """What the server would refuse in a prompt, but does not check in an expansion."""
    for node_id, node in prompt.items():
        kind, title = node["class_type"], (node.get("_meta") or {}).get("title")
        if kind == PORT:
            continue
        if kind not in definitions:
            yield GraphProblem(node_id, kind, title, None, "this server does not have this node: install its pack")
            continue
        specs = expanded(input_specs(definitions[kind]), node["inputs"])
        optional = (definitions[kind].get("input") or {}).get("optional") or {}
        for name in specs:
            if name not in node["inputs"] and name not in optional and "." not in name:
                yield GraphProblem(node_id, kind, title, name, "nothing is connected to it")
        for name, value in node["inputs"].items():
            if is_link(value) and value[0] not in prompt:
                yield GraphProblem(node_id, kind, title, name, f"it is linked to node {value[0]}, which is not there")
            allowed = None if is_link(value) or name not in specs else choices(specs[name])
            if allowed is not None and value not in allowed:
                text = f"{describe(value)} is not among its {len(allowed)} values"
                yield GraphProblem(node_id, kind, title, name, text)


def _runnable(node: JsonObject) -> JsonObject:
    """A node as an expansion has it: the server unpacks wrapped lists in prompts only."""
    inputs = {
        name: value["__value__"] if isinstance(value, dict) and "__value__" in value else value
        for name, value in node["inputs"].items()
    }
    return {"class_type": node["class_type"], "inputs": inputs}


def declared_type(node: JsonObject, slot: int, definition: Definition) -> str:
    """The type of an output of a node in a prompt, ``ANY`` if unknown."""
    outputs = (definition(node.get("class_type", "")) or {}).get("output") or []
    return slot_type(outputs[slot]) if 0 <= slot < len(outputs) else ANY
