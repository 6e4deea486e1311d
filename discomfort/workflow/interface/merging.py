"""Merges what several sources declare into one interface: a target once, a name once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.interface.naming import free_name, names_of
from discomfort.workflow.interface.parameter_facts import input_facts
from discomfort.workflow.interface.parameters import (
    NO_DEFAULT,
    InputTarget,
    Interface,
    InterfaceOutput,
    InterfaceProblem,
    Parameter,
)
from discomfort.workflow.interface.source_entries import InputEntry, OutputEntry, SourceEntries
from discomfort.workflow.port_types import ANY


def merged(sources: Sequence[SourceEntries], prompt: JsonObject, definitions: Mapping[str, Any]) -> Interface:
    """The interface that these sources declare, the highest source first."""
    inputs: dict[str, Parameter] = {}
    outputs: dict[str, InterfaceOutput] = {}
    problems: list[InterfaceProblem] = []
    taken: set[InputTarget | str] = set()
    for source in sources:
        for entry in source.inputs:
            own: set[InputTarget | str] = {*entry.targets, *([entry.port] if entry.port is not None else [])}
            if own & taken:
                continue  # a higher source has named it
            taken |= own
            name = _named(entry, inputs, "input", problems)
            inputs[name] = _parameter(name, entry, prompt, definitions)
        for each in source.outputs:
            if not any((known.node_id, known.port) == (each.node_id, each.port) for known in outputs.values()):
                name = _named(each, outputs, "output", problems)
                outputs[name] = _output(name, each)
        problems += source.problems
    return Interface(inputs, outputs, tuple(problems))


def _named(
    entry: InputEntry | OutputEntry, taken: Mapping[str, Any], what: str, problems: list[InterfaceProblem]
) -> str:
    names = names_of(entry.names, is_exact=entry.is_exact) or [what]
    name = free_name(names, taken)
    if name != names[0] and (isinstance(entry, InputEntry) or entry.is_named):
        problem = f"another {what} has the name {names[0]!r}, so this one is {name!r}"
        problems.append(InterfaceProblem(entry.source, entry.entry, problem, "give one of them another label or title"))
    return name


def _parameter(name: str, entry: InputEntry, prompt: JsonObject, definitions: Mapping[str, Any]) -> Parameter:
    facts = input_facts(prompt, entry.targets[0], definitions) if entry.targets else {"type": ANY}
    fields = facts | dict(entry.given)
    if entry.is_required:
        fields["default"] = NO_DEFAULT
    return Parameter(name=name, source=entry.source, targets=entry.targets, port=entry.port, **fields)


def _output(name: str, entry: OutputEntry) -> InterfaceOutput:
    fields = {"type": ""} | dict(entry.given)
    return InterfaceOutput(name=name, source=entry.source, node_id=entry.node_id, port=entry.port, **fields)
