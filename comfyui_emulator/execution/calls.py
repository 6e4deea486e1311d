"""Maps list inputs to calls of a node, and merges the results. Pure."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfyui_emulator.dynamic_inputs import InputShape
from comfyui_emulator.registry import JsonObject, NodeType
from comfyui_emulator.runtime import ExecutionBlocker

Inputs = dict[str, list[Any]]
"""Each input as a list; a constant or a plain output is a list of one."""


def slices(inputs: Inputs, *, input_is_list: bool) -> Iterator[dict[str, Any]]:
    """The arguments of each call: one call per index of the longest list; shorter lists repeat their last element."""
    if input_is_list:
        yield dict(inputs)
        return
    length = max((len(values) for values in inputs.values()), default=0)
    if length == 0:
        yield {}
        return
    for index in range(length):
        yield {name: values[index if index < len(values) else -1] for name, values in inputs.items()}


async def call_each(
    function: Callable[..., Any], inputs: Inputs, shape: InputShape, *, input_is_list: bool
) -> list[Any]:
    """Call a class's hook once per slice, and await it if it is a coroutine function."""
    results = [function(**shape.nested(arguments)) for arguments in slices(inputs, input_is_list=input_is_list)]
    return await asyncio.gather(*results) if inspect.iscoroutinefunction(function) else results


def find_blocker(arguments: Mapping[str, Any], *, input_is_list: bool) -> ExecutionBlocker | None:
    """The first blocker among the arguments of a call (in their lists, for a node that takes lists)."""
    for value in arguments.values():
        if isinstance(value, ExecutionBlocker):
            return value
        if input_is_list and isinstance(value, list):
            for item in value:
                if isinstance(item, ExecutionBlocker):
                    return item
    return None


@dataclass(slots=True)
class Expansion:
    """A call that returned a sub-graph; ``result`` contains values and links into it."""

    graph: JsonObject
    result: Sequence[Any]


@dataclass(slots=True)
class Returns:
    """The results of all calls of a node: per call a tuple of values or an :class:`Expansion`, and the UI parts."""

    results: list[Sequence[Any] | Expansion] = field(default_factory=list)
    uis: list[JsonObject] = field(default_factory=list)

    @property
    def expands(self) -> bool:
        """Whether a call returned a sub-graph."""
        return any(isinstance(result, Expansion) for result in self.results)

    def add(self, value: Any, kind: NodeType) -> None:
        """Add one call's return value, in any of the forms that ComfyUI allows.

        Raises ``TypeError`` for other forms. A string counts as a sequence of characters, as in ComfyUI.
        """
        if isinstance(value, dict):
            if "ui" in value:
                self.uis.append(value["ui"])
            if value.get("expand") is not None:
                self.results.append(Expansion(value["expand"], _as_values(value.get("result", ()), kind)))
            elif "result" in value:
                self.results.append(_as_values(value["result"], kind))
            return
        self.results.append(_as_values(value, kind))

    def merged_ui(self) -> JsonObject:
        """The UI of all calls: lists concatenated under the first call's keys."""
        if not self.uis:
            return {}
        return {key: [item for ui in self.uis for item in ui.get(key, ())] for key in self.uis[0]}

    def merged_values(self, kind: NodeType) -> list[list[Any]]:
        """One list per output slot: elements of every call; a slot declared as a list gets its lists joined."""
        return merge([result for result in self.results if not isinstance(result, Expansion)], kind)


def _as_values(value: Any, kind: NodeType) -> Sequence[Any]:
    if isinstance(value, ExecutionBlocker):
        return (value,) * len(kind.output_types)
    len(value)  # raises the TypeError that ComfyUI reports for anything but a sequence, None included
    return value  # type: ignore[no-any-return]


def merge(results: Sequence[Sequence[Any]], kind: NodeType) -> list[list[Any]]:
    """Join the values of several calls slot by slot."""
    slots: list[list[Any]] = []
    count = max((len(result) for result in results), default=0)
    for slot in range(count):
        is_list = slot < len(kind.output_is_list) and kind.output_is_list[slot]
        values: list[Any] = []
        for result in results:
            if slot >= len(result):
                continue
            value = result[slot]
            if is_list and not isinstance(value, ExecutionBlocker):
                values.extend(value)
            else:
                values.append(value)
        slots.append(values)
    return slots
