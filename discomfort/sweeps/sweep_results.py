"""Results of a sweep: those of its rows, its progress, and the report at its end."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from discomfort._json import JsonObject
from discomfort.progress import ProgressEvent
from discomfort.sweeps.notebook_table import report_html

RowStatus = Literal["done", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class SweepFile:
    """One saved file: its path, the title of the output's node, and the output's kind, as :class:`Output` has it."""

    path: Path
    output: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """One row of a sweep.

    ``index`` counts the rows from 1. ``values`` are the row's, files by name and digest; ``label`` has those that
    differ between rows. ``status`` is ``waiting`` for a row that was not reached. ``is_new`` says that this sweep made
    it, and did not find it in the folder. ``files`` are its saved files, ``texts`` its other outputs by the title of
    their node. ``seconds`` is how long the call took, with its time in the queue; ``server_seconds`` how long the
    server executed it, where that is known. ``error`` is the text of the error of a failed row, ``error_type`` its
    class. ``key`` is the digest of the prompt with its values and files.
    """

    index: int
    name: str
    label: str
    values: Mapping[str, Any]
    key: str
    status: RowStatus = "waiting"
    is_new: bool = False
    files: tuple[SweepFile, ...] = ()
    texts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    server_seconds: float | None = None
    prompt_id: str | None = None
    error: str | None = None
    error_type: str | None = None

    def as_json(self, folder: Path) -> JsonObject:
        """The row in the form of ``results.jsonl``: paths are relative to ``folder``."""
        return {
            "index": self.index,
            "name": self.name,
            "values": dict(self.values),
            "status": self.status,
            "files": [
                {"file": file.path.relative_to(folder).as_posix(), "output": file.output, "kind": file.kind}
                for file in self.files
            ],
            "texts": dict(self.texts),
            "seconds": self.seconds,
            "server_seconds": self.server_seconds,
            "prompt_id": self.prompt_id,
            "error": self.error,
            "error_type": self.error_type,
            "key": self.key,
        }


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """Where a sweep is. ``row`` is the row that this is about.

    ``event`` is an event of its run; ``None`` where the row begins (its status is ``waiting``) or has ended. ``done``,
    ``failed`` and ``kept`` (found in the folder) count the rows that have ended, of ``total``. ``left`` is about how
    many seconds the others take, as soon as one has ended.
    """

    row: SweepResult
    total: int
    done: int
    failed: int
    kept: int
    left: float | None = None
    event: ProgressEvent | None = None

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return self.done + self.failed + self.kept


SweepProgressCallback = Callable[[SweepProgress], Awaitable[None] | None]
"""Called in the event loop, in order. If it raises, the error is logged and it receives no further events; the sweep
goes on."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The end of a sweep. ``rows`` are in the order of the sweep; iterating over the report gives them, too.

    ``table`` is the CSV file of the results, ``json_lines`` the same as one object on each line. ``contact_sheets`` are
    pictures of all results with labels; several where one would be too large, none where nothing can be shown.
    """

    folder: Path
    rows: tuple[SweepResult, ...]
    seconds: float
    table: Path
    json_lines: Path
    contact_sheets: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[SweepResult]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def done(self) -> list[SweepResult]:
        """The rows that have a result, made now or before."""
        return [row for row in self.rows if row.status == "done"]

    @property
    def failed(self) -> list[SweepResult]:
        """The rows that failed. The next run of the sweep tries them again."""
        return [row for row in self.rows if row.status == "failed"]

    @property
    def files(self) -> list[Path]:
        """Every saved file, in the order of the rows. Rows with equal values share theirs."""
        return list(dict.fromkeys(file.path for row in self.rows for file in row.files))

    def _repr_html_(self) -> str:
        """Shows the rows in a notebook as a table, with small pictures of the first ones."""
        return report_html(self.rows)


async def tell(callback: SweepProgressCallback, progress: SweepProgress) -> None:
    """Call it, and await it if it is asynchronous."""
    answer = callback(progress)
    if inspect.isawaitable(answer):
        await answer
