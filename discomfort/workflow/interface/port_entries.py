"""Inputs and outputs that ``DiscomfortPort`` nodes declare, by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import GraphProblem
from discomfort.workflow.interface.declarations import NO_DEFAULT, InputTarget, InterfaceProblem
from discomfort.workflow.interface.parameter_facts import input_facts
from discomfort.workflow.interface.source_entries import InputEntry, OutputEntry, SourceEntries
from discomfort.workflow.port_types import is_known
from discomfort.workflow.prompt_ports import PromptPort, prompt_ports
from discomfort.workflow.workflow_ports import PORT, PortRole, workflow_ports


def port_entries(prompt: JsonObject, definitions: Mapping[str, Any], workflow: JsonObject | None) -> SourceEntries:
    """What the ports of a prompt declare; the workflow that it was made from also shows the muted ones."""
    ports = prompt_ports(prompt, definitions, workflow)
    found = SourceEntries(problems=[_problem(problem) for problem in ports.problems])
    for name, same in ports.inputs().items():
        given = _facts(same, prompt, definitions)
        found.inputs.append(
            InputEntry(source="port", entry=_entry(name), names=(name,), is_exact=True, port=name, given=given)
        )
    for name, port in ports.outputs().items():
        given = {"type": port.type if is_known(port.type) else ""}
        found.outputs.append(
            OutputEntry(
                source="port", entry=_entry(name), names=(name,), is_exact=True, node_id=port.node_id, port=name,
                given=given,
            )
        )  # fmt: skip
    found.problems += [_silent(port) for port in ports.of(PortRole.UNCONNECTED) if port.unique_id]
    for inactive in workflow_ports(workflow).inactive if workflow is not None else ():
        text = "its node is muted or bypassed"
        found.problems.append(InterfaceProblem("port", _entry(inactive.unique_id), text, "activate the node"))
    return found


def _facts(ports: Iterable[PromptPort], prompt: JsonObject, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Type, bounds and choices of the first input that says something; the caller must give the value."""
    fed = [target for port in ports for target in port.targets if target.class_type != PORT]
    first = next((target for target in fed if is_known(target.type)), fed[0] if fed else None)
    if first is None:
        return {"type": next(iter(ports)).type}
    return input_facts(prompt, InputTarget(first.node_id, first.name), definitions) | {"default": NO_DEFAULT}


def _silent(port: PromptPort) -> InterfaceProblem:
    text = "it is connected to nothing that runs"
    return InterfaceProblem("port", _entry(port.unique_id), text, "connect it, or delete the node")


def _problem(problem: GraphProblem) -> InterfaceProblem:
    return InterfaceProblem("port", f"node {problem.node_id}", problem.problem)


def _entry(name: str) -> str:
    return f"port {name!r}"
