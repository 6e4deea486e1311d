"""The result of calling a workflow: its outputs by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from discomfort._error_text import nearest
from discomfort.client.notebook import as_html
from discomfort.client.outputs import Output
from discomfort.client.run_times import RunTimes
from discomfort.connector.run_result import RunResult
from discomfort.exceptions import DamagedDataError
from discomfort.functions.output_files import saved_in
from discomfort.functions.typed_outputs import CLASSES, OutputItems, SavedItems, chosen
from discomfort.history import History
from discomfort.workflow.interface.declarations import InterfaceOutput

if TYPE_CHECKING:
    from discomfort.functions.prompt_filling import FilledPrompt

I = TypeVar("I", bound=OutputItems[Any])  # noqa: E741 - items


class ResultFace(Generic[I]):
    """What results of calls show without an event loop."""

    def __init__(self, name: str, run: RunResult, named: Mapping[str, I]) -> None:
        """``name`` is that of the function, ``named`` has the typed outputs."""
        self._name, self._run, self._named = name, run, dict(named)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._named[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._named[name]
        except KeyError:
            raise AttributeError(self._unknown(name)) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._named})

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._name}: {', '.join(map(repr, self._named.values())) or 'no outputs'}>"

    def _repr_html_(self) -> str:
        return as_html([output for items in self._named.values() for output in items.outputs])

    def _unknown(self, name: str) -> str:
        known = nearest(name, list(self._named))
        return f"{self._name} has no output {name!r}. " + (f"It has: {', '.join(known)}" if known else "It has none")

    def keys(self) -> list[str]:
        """The names of the outputs, so that ``dict(result)`` and ``**result`` work."""
        return list(self._named)

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the server."""
        return self._run.prompt_id

    @property
    def history(self) -> History:
        """ComfyUI's record, ``{prompt_id: record}``."""
        return self._run.history

    @property
    def seconds(self) -> float:
        """How long the call took, from call to end."""
        return self._run.seconds

    @property
    def times(self) -> RunTimes:
        """When the server accepted, began and ended the prompt: Unix times by its clock, ``None`` if it did not say."""
        times = RunTimes()
        for record in self._run.history.values():
            times.note_record(record)
        return times


class CallResult(ResultFace[SavedItems]):
    """What a call of a workflow gave, as typed objects: ``result.image``, or ``result["image"]``.

    A name that this class has itself, such as ``history``, is reached by key only. Iterating gives the names.
    """

    @property
    def outputs(self) -> list[Output]:
        """Every item that any node returned, named or not."""
        return self._run.outputs

    async def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Save all named outputs into a folder, as each one's ``save`` does, and return the paths."""
        folder = Path(directory)
        return [path for items in self._named.values() for path in await saved_in(folder, items.outputs, items.name)]


def named_outputs(
    declared: Mapping[str, InterfaceOutput], filled: FilledPrompt, outputs: list[Output]
) -> dict[str, SavedItems]:
    """The typed outputs of a run. Raises DamagedDataError if a server shows a number as something else."""
    found: dict[str, SavedItems] = {}
    for name, output in declared.items():
        node_id = filled.nodes.get(name, "")
        own = [each for each in outputs if node_id and _is_of(each, node_id)]
        collector = filled.collectors.get(name)
        if collector is not None and collector.kind in ("number", "text"):
            own = [replace(each, value=_shown(name, each, collector)) for each in own if each.key == "text"]
        class_name, items = chosen(output.type, own)
        made: SavedItems = CLASSES[class_name](name, output.type, items)
        found[name] = made
    return found


def _is_of(output: Output, node_id: str) -> bool:
    # A node that was expanded shows what its inner nodes returned, as "5.0.1".
    return output.node_id == node_id or output.node_id.startswith(f"{node_id}.")


def _shown(name: str, output: Output, collector: Any) -> Any:
    try:
        return collector.shown_value(output.value)
    except DamagedDataError as error:
        raise DamagedDataError(f"the output {name!r}: {error.problem}") from error
