"""Merges what several sources declare into one interface: a target once, a name once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._error_text import joined
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

Place = InputTarget | str
"""An input of the prompt, or the id of a port."""


def merged(sources: Sequence[SourceEntries], prompt: JsonObject, definitions: Mapping[str, Any]) -> Interface:
    """The interface that these sources declare, the highest source first."""
    merging = _Merging(prompt, definitions)
    for source in sources:
        for entry in source.inputs:
            merging.input(entry)
        for each in source.outputs:
            merging.output(each)
        merging.problems += source.problems
    return Interface(merging.inputs, merging.outputs, tuple(merging.problems))


class _Merging:
    def __init__(self, prompt: JsonObject, definitions: Mapping[str, Any]) -> None:
        self._prompt, self._definitions = prompt, definitions
        self.inputs: dict[str, Parameter] = {}
        self.outputs: dict[str, InterfaceOutput] = {}
        self.problems: list[InterfaceProblem] = []
        self._entries: dict[str, InputEntry] = {}
        """The entry of each input, by its name."""
        self._taken: dict[Place, str] = {}
        """The name of the input that each place has."""

    def input(self, entry: InputEntry) -> None:
        """Add an input, unless another one has its places."""
        own: list[Place] = [*entry.targets, *([entry.port] if entry.port is not None else [])]
        if any(place in self._taken for place in own):
            self._declined(entry, own)
            return
        name = self._named(entry, self.inputs, "input")
        self._taken |= dict.fromkeys(own, name)
        self._entries[name] = entry
        self.inputs[name] = _parameter(name, entry, self._prompt, self._definitions)

    def output(self, entry: OutputEntry) -> None:
        """Add an output, unless another one has its node."""
        same = [each for each in self.outputs.values() if (each.node_id, each.port) == (entry.node_id, entry.port)]
        if not same:
            name = self._named(entry, self.outputs, "output")
            self.outputs[name] = _output(name, entry)
        elif same[0].source == entry.source:
            place = f"node {entry.node_id}" if entry.port is None else f"the port {entry.port!r}"
            self._problem(entry, f"{place} is the output {same[0].name!r} already", "keep one of the two names")

    def _declined(self, entry: InputEntry, own: Sequence[Place]) -> None:
        """Say why an entry is left out, unless a higher source has named all that it would set."""
        by_name: dict[str, list[str]] = {}
        for place in own:
            if place in self._taken:
                by_name.setdefault(self._taken[place], []).append(_shown(place))
        free = [_shown(place) for place in own if place not in self._taken]
        holders = [self._entries[name] for name in by_name]
        is_same = all((each.source, each.entry) == (entry.source, entry.entry) for each in holders)
        if not free and (is_same or all(each.source != entry.source for each in holders)):
            return
        told = " and ".join(f"{joined(places, ', ')} is the input {name!r} already" for name, places in by_name.items())
        rest = f", so {joined(free, ', ')} has no name" if free else ""
        self._problem(entry, told + rest, "give each target to one name" if free else "keep one of the two names")

    def _named(self, entry: InputEntry | OutputEntry, taken: Mapping[str, Any], what: str) -> str:
        names = names_of(entry.names, is_exact=entry.is_exact) or [what]
        name = free_name(names, taken)
        if name != names[0] and (isinstance(entry, InputEntry) or entry.is_named):
            problem = f"another {what} has the name {names[0]!r}, so this one is {name!r}"
            remedy = "write another name" if entry.source == "sidecar" else "give one of them another label or title"
            self._problem(entry, problem, remedy)
        elif entry.source == "sidecar" and name != entry.names[0]:
            problem = f"Python does not take it as a name, so it is {name!r}"
            self._problem(entry, problem, f"write {name!r}")
        return name

    def _problem(self, entry: InputEntry | OutputEntry, problem: str, remedy: str) -> None:
        self.problems.append(InterfaceProblem(entry.source, entry.entry, problem, remedy))


def _shown(place: Place) -> str:
    return str(place) if isinstance(place, InputTarget) else f"the port {place!r}"


def _parameter(name: str, entry: InputEntry, prompt: JsonObject, definitions: Mapping[str, Any]) -> Parameter:
    facts = input_facts(prompt, entry.targets[0], definitions) if entry.targets else {"type": ANY}
    fields = facts | dict(entry.given)
    if entry.is_required:
        fields["default"] = NO_DEFAULT
    return Parameter(name=name, source=entry.source, targets=entry.targets, port=entry.port, **fields)


def _output(name: str, entry: OutputEntry) -> InterfaceOutput:
    fields = {"type": ""} | dict(entry.given)
    return InterfaceOutput(name=name, source=entry.source, node_id=entry.node_id, port=entry.port, **fields)
