"""The face of every result of a call: its outputs by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from discomfort._error_text import nearest
from discomfort.client.notebook import as_html
from discomfort.client.run_times import RunTimes
from discomfort.connector.run_result import RunResult
from discomfort.functions.typed_outputs import OutputItems
from discomfort.history import History

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

    def _spelled(self, name: str) -> str:
        """How a program reaches an output of this name."""
        is_own = hasattr(type(self), name) or name.startswith("_") or not name.isidentifier()
        return f"result[{name!r}]" if is_own else f"result.{name}"
