"""Merges what several sources declare into one interface: a target once, a name once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.interface.naming import free_name, identifier
from discomfort.workflow.interface.parameter_facts import input_facts
from discomfort.workflow.interface.parameters import (
    InputTarget,
    Interface,
    InterfaceOutput,
    InterfaceProblem,
    Parameter,
    Source,
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
            name = _named(entry.source, entry.entry, entry.names, inputs, "input", problems)
            inputs[name] = _parameter(name, entry, prompt, definitions)
        for each in source.outputs:
            if not any((known.node_id, known.port) == (each.node_id, each.port) for known in outputs.values()):
                name = _named(each.source, each.entry, each.names, outputs, "output", problems)
                outputs[name] = _output(name, each)
        problems += source.problems
    return Interface(inputs, outputs, tuple(problems))


def _named(
    source: Source,
    entry: str,
    wanted: Sequence[str],
    taken: Mapping[str, Any],
    otherwise: str,
    problems: list[InterfaceProblem],
) -> str:
    name = free_name(wanted, taken, otherwise)
    first = next((own for text in wanted if (own := identifier(text))), None)
    # Outputs that only have the type of what they save are numbered without a word: nobody gave them that name.
    if first is not None and name != first and source != "output":
        problem = f"another {otherwise} has the name {first!r}, so this one is {name!r}"
        problems.append(InterfaceProblem(source, entry, problem, "give one of them a label or title of its own"))
    return name


def _parameter(name: str, entry: InputEntry, prompt: JsonObject, definitions: Mapping[str, Any]) -> Parameter:
    facts = input_facts(prompt, entry.targets[0], definitions) if entry.targets else {"type": ANY}
    fields = facts | dict(entry.given)
    return Parameter(name=name, source=entry.source, targets=entry.targets, port=entry.port, **fields)


def _output(name: str, entry: OutputEntry) -> InterfaceOutput:
    fields = {"type": ""} | dict(entry.given)
    return InterfaceOutput(name=name, source=entry.source, node_id=entry.node_id, port=entry.port, **fields)
