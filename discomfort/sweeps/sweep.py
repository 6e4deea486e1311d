"""Holds ``Sweep``: a workflow and the rows of values that it is called with."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from discomfort.exceptions import SweepError
from discomfort.sweeps.result_tables import CSV_NAME, JSON_NAME
from discomfort.sweeps.sweep_results import SweepProgressCallback, SweepReport, SweepResult
from discomfort.sweeps.sweep_rows import SweepRow, TableSource, grid_rows, table_rows
from discomfort.sweeps.sweep_run import RunningSweep, WantedSheets
from discomfort.sweeps.swept_function import SweptFunction

OnError = Literal["return", "raise"]


class Sweep:
    """One workflow with many rows of values, made by ``grid`` and ``table`` of a workflow function::

        upscale = await connector.load("upscale.json")
        report = await upscale.grid(seed=range(8), cfg=[5, 7]).run("results")

    The folder remembers what is done. Whoever runs a sweep there again, after an error, Ctrl-C or a power cut, gets
    only what is missing: a row counts as done if its prompt, its values and the contents of its input files are the
    same, whatever its name and its place. Another workflow or more rows may use the same folder later.
    """

    def __init__(self, function: SweptFunction, rows: Sequence[SweepRow], *, columns: int | None = None) -> None:
        self._function, self._rows, self._columns = function, tuple(rows), columns

    @classmethod
    def of_grid(cls, function: SweptFunction, values: Mapping[str, Any]) -> Self:
        """Every combination of ``values``; the last name changes fastest.

        A list, a range or another iterable has one value for each row; a single value, a text, a path or a picture is
        the same in all rows. Raises SweepError.
        """
        rows = grid_rows(function.interface, values)
        return cls(function, rows, columns=_last_length(rows, values))

    @classmethod
    def of_table(cls, function: SweptFunction, source: TableSource, values: Mapping[str, Any] | None = None) -> Self:
        """The rows of a CSV file, of a file of JSON lines, or of mappings; ``values`` multiply them as a grid does.

        A cell of CSV is JSON if it parses as such, where the input is not a text. An empty cell leaves the input as it
        is in the workflow. Paths of files are relative to the table. A column ``name`` names the row's files.

        Raises SweepError with the line, OSError.
        """
        rows = table_rows(function.interface, source)
        return cls(function, grid_rows(function.interface, values, rows) if values else rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(name for row in self._rows for name in row.values))
        return f"<Sweep of {self._function.name}: {len(self)} rows of {names or 'no values'}>"

    async def run(
        self,
        folder: str | os.PathLike[str],
        *,
        parallel: int = 2,
        on_error: OnError = "return",
        on_progress: SweepProgressCallback | None = None,
        contact_sheet: bool = True,
    ) -> SweepReport:
        """Make what is missing in ``folder``, and return all rows. Arguments and errors are those of :meth:`rows`.

        At the end the folder has the results, named by what differs between them (``seed=3_cfg=5.png``), the table
        ``results.csv``, the same as ``results.jsonl``, and with ``contact_sheet`` ``contact_sheet.jpg``.
        """
        begun = time.monotonic()
        path = _folder(folder)
        if not isinstance(contact_sheet, bool):
            raise SweepError(f"True or False is needed, not {contact_sheet!r}", place="contact_sheet")
        running = self._running(path, parallel, on_error, on_progress)
        running.sheets = sheets = WantedSheets(self._columns) if contact_sheet else None
        async with contextlib.aclosing(running.results()) as results:
            async for _ in results:
                pass
        spent, paths = time.monotonic() - begun, sheets.paths if sheets is not None else ()
        return SweepReport(path, running.all_rows(), spent, path / CSV_NAME, path / JSON_NAME, paths)

    def rows(
        self,
        folder: str | os.PathLike[str],
        *,
        parallel: int = 2,
        on_error: OnError = "return",
        on_progress: SweepProgressCallback | None = None,
    ) -> AsyncGenerator[SweepResult, None]:
        """Make what is missing in ``folder``; each row is given as it ends, those that were there already first.

        ``parallel`` rows are under way at once; two keep one server busy while results are saved. A row that fails is
        a row with an error, and the next run tries it again; with ``on_error="raise"`` it ends the sweep with its
        error. What concerns all rows ends the sweep in any case: a lost connection, a server that does not start, a
        full disk, nodes that cost money where the call does not allow them. Cancelling the waiting task, or leaving the
        loop, takes the rows under way off the server; what is done is kept. ``results.csv`` and ``results.jsonl`` are
        written at each of these ends.

        Raises FolderInUseError if another process runs a sweep in this folder, SweepError for a wrong argument,
        DiskFullError and other kinds of OSError.
        """
        return self._running(_folder(folder), parallel, on_error, on_progress).results()

    def _running(
        self, folder: Path, parallel: int, on_error: OnError, on_progress: SweepProgressCallback | None
    ) -> RunningSweep:
        if isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1:
            raise SweepError(f"a whole number from 1 is needed, not {parallel!r}", place="parallel")
        if on_error not in ("return", "raise"):
            raise SweepError(f"'return' or 'raise' is needed, not {on_error!r}", place="on_error")
        if on_progress is not None and not callable(on_progress):
            raise SweepError(f"a function is needed, not {on_progress!r}", place="on_progress")
        return RunningSweep(self._function, self._rows, folder, parallel, on_error == "raise", on_progress)


def _folder(folder: object) -> Path:
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise SweepError(f"the path of a folder is needed, not {folder!r}", place="folder")
    return Path(folder)


def _last_length(rows: Sequence[SweepRow], values: Mapping[str, Any]) -> int | None:
    """How many values the last name has: so many results make a line of the contact sheet."""
    others = list(values)[:-1]
    first = rows[0].values
    count = next((n for n, row in enumerate(rows) if any(row.values[name] is not first[name] for name in others)), 0)
    return count if count > 1 else None
