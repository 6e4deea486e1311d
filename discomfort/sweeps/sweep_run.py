"""One run of a sweep: what is missing in the folder is made, a few rows at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from discomfort._error_text import joined
from discomfort._json import JsonObject
from discomfort._system.concurrency import in_thread
from discomfort.exceptions import (
    BrowserError,
    ConfigurationError,
    DiskFullError,
    PaidNodesError,
    RestartLimitError,
    ServerConnectionError,
    ServerStartError,
    StateError,
    SweepError,
)
from discomfort.progress import ProgressEvent
from discomfort.sweeps.contact_sheet import write_sheets
from discomfort.sweeps.content_keys import ContentKeys
from discomfort.sweeps.result_tables import write_tables
from discomfort.sweeps.row_names import distinct_names, row_label, row_name, varying
from discomfort.sweeps.row_saving import failure_record, result_of, save_call
from discomfort.sweeps.sweep_folder import SweepFolder
from discomfort.sweeps.sweep_results import SweepProgress, SweepProgressCallback, SweepResult, tell
from discomfort.sweeps.sweep_rows import SweepRow
from discomfort.sweeps.swept_function import SweptFunction
from discomfort.sweeps.value_forms import ValueForms

_log = logging.getLogger("discomfort.sweeps")

_OF_ALL_ROWS = (
    BrowserError,
    ConfigurationError,
    DiskFullError,
    PaidNodesError,
    RestartLimitError,
    ServerConnectionError,
    ServerStartError,
    StateError,
)
"""Errors that the next row would have, too; they end the sweep."""


@dataclass(slots=True)
class _Task:
    """The rows with one key: they are called once. ``result`` is that of the first one."""

    rows: list[SweepRow]
    result: SweepResult
    problem: Exception | None = None


@dataclass(slots=True)
class _Counts:
    total: int
    begun: float
    done: int = 0
    failed: int = 0
    kept: int = 0

    def progress(self, row: SweepResult, event: ProgressEvent | None = None) -> SweepProgress:
        """The event with the present counts."""
        made = self.done + self.failed
        waiting = self.total - made - self.kept
        left = (time.monotonic() - self.begun) / made * waiting if made else None
        return SweepProgress(row, self.total, self.done, self.failed, self.kept, left, event)

    def count(self, result: SweepResult, times: int) -> None:
        """Count the rows that have this result."""
        if not result.is_new:
            self.kept += times
        elif result.status == "done":
            self.done += times
        else:
            self.failed += times


@dataclass(slots=True)
class WantedSheets:
    """Contact sheets to make at the end: how many results a line has, if that is known, and where they are then."""

    columns: int | None
    paths: tuple[Path, ...] = ()


@dataclass(slots=True)
class RunningSweep:
    """The rows of one call of :meth:`Sweep.run` or :meth:`Sweep.rows`."""

    function: SweptFunction
    rows: Sequence[SweepRow]
    folder: Path
    parallel: int
    raises: bool
    on_progress: SweepProgressCallback | None
    sheets: WantedSheets | None = None
    _tasks: list[_Task] = field(default_factory=list)
    _held: SweepFolder = field(init=False)
    _counts: _Counts = field(init=False)
    _commits: asyncio.Lock = field(default_factory=asyncio.Lock)
    _telling: asyncio.Lock = field(default_factory=asyncio.Lock)
    _values: ValueForms = field(default_factory=ValueForms)

    def all_rows(self) -> tuple[SweepResult, ...]:
        """The result of each row, in their order, as far as the sweep has come."""
        found = [replace(task.result, index=row.index) for task in self._tasks for row in task.rows]
        return tuple(sorted(found, key=lambda row: row.index))

    async def results(self) -> AsyncGenerator[SweepResult, None]:
        """The results as rows end. See :meth:`Sweep.rows`."""
        self._held = await in_thread(lambda: SweepFolder.open(self.folder))
        is_whole = False
        try:
            self._tasks = await self._plan()
            self._counts = _Counts(len(self.rows), time.monotonic())
            waiting = []
            for task in self._tasks:
                if task.result.status == "done":
                    for result in await self._ended(task):
                        yield result
                else:
                    waiting.append(task)
            async with contextlib.aclosing(self._made(waiting)) as made:
                async for task in made:
                    for result in await self._ended(task):
                        yield result
            if self.sheets is not None:
                columns = self.sheets.columns
                self.sheets.paths = await in_thread(lambda: write_sheets(self._held, self.all_rows(), columns))
            is_whole = True
        finally:
            self._conclude(is_whole)

    def _conclude(self, is_whole: bool) -> None:
        """Write the tables and give the folder free. Not in a thread: nothing may come between it and the end."""
        try:
            if self._tasks:
                self._take_late_ones()
                write_tables(self._held, self.all_rows())
        except OSError as error:
            if is_whole:
                raise
            _log.warning("the tables of %s were not written: %s", self.folder, error)
        finally:
            self._held.close()

    def _take_late_ones(self) -> None:
        """A row may have got into the journal while its call was cancelled."""
        for task in self._tasks:
            if task.result.status == "waiting" and (record := self._held.done(task.result.key)) is not None:
                task.result = result_of(task.result, record, self.folder, is_new=True)

    async def _made(self, waiting: Sequence[_Task]) -> AsyncGenerator[_Task, None]:
        """Each task as it ends. When this is left, nothing of them is under way any more."""
        ended: asyncio.Queue[_Task | BaseException] = asyncio.Queue()
        source = iter(waiting)

        async def work() -> None:
            try:
                for task in source:
                    await self._one(task)
                    ended.put_nowait(task)
            except BaseException as error:  # noqa: BLE001 - raised by whoever reads the queue
                ended.put_nowait(error)

        workers = [asyncio.create_task(work()) for _ in range(min(self.parallel, len(waiting)))]
        try:
            for _ in waiting:
                found = await ended.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _plan(self) -> list[_Task]:
        """The rows by key, with what the folder has of them. A row whose values cannot be read has its own key."""
        keys = ContentKeys(self.function.prompt, self.function.interface)
        found = [await self._forms(row) for row in self.rows]
        names = varying([forms for forms, _ in found])
        tasks: dict[str, _Task] = {}
        for row, (forms, problem) in zip(self.rows, found, strict=True):
            key = keys.key(forms) if problem is None else f"unreadable-{row.index}"
            if key in tasks:
                tasks[key].rows.append(row)
                continue
            name = row_name(forms, names, given=row.name, otherwise=self.function.name)
            label = row.name or row_label(forms, names)
            result = SweepResult(index=row.index, name=name, label=label, values=forms, key=key)
            tasks[key] = _Task([row], result, problem)
        if self.raises:
            self._check(tasks.values())
        await in_thread(lambda: self._look_up(tasks))
        return list(tasks.values())

    def _check(self, tasks: Iterable[_Task]) -> None:
        """Raise what is wrong with the values of all rows before the first one runs."""
        wrong = []
        for task in tasks:
            row = task.rows[0]
            found = [task.problem] if task.problem is not None else self.function.problems(row.values)
            wrong += [f"{row.place or f'row {row.index}'}: {problem}" for problem in found]
        if wrong:
            raise SweepError(joined(wrong), place=f"{self.function.name}: {len(wrong)} wrong value(s)")

    def _look_up(self, tasks: dict[str, _Task]) -> None:
        missing: dict[str, str] = {}
        for key, task in tasks.items():
            record = self._held.done(key)
            if record is not None:
                task.result = result_of(task.result, record, self.folder, is_new=False)
            else:
                missing[key] = task.result.name
        for key, name in distinct_names(missing, self._held.names_taken(missing)).items():
            tasks[key].result = replace(tasks[key].result, name=name)

    async def _forms(self, row: SweepRow) -> tuple[JsonObject, Exception | None]:
        """The forms of a row's values, made once for each content. What is wrong with one is the row's error."""
        forms: JsonObject = {}
        for name, value in row.values.items():
            try:
                forms[name] = await self._values.form(name, value, self.function.interface.inputs.get(name))
            except (OSError, TypeError, ValueError) as error:
                return {**forms, name: str(value)[:200]}, error
        return forms, None

    async def _one(self, task: _Task) -> None:
        """Call one row, and save what it gives. Raises only what ends the sweep."""
        await self._tell(task.result)
        begun = time.monotonic()
        try:
            record = await self._call(task, begun)
        except _OF_ALL_ROWS:
            raise
        except Exception as error:
            record = failure_record(task.result, error, time.monotonic() - begun)
            async with self._commits:
                await in_thread(lambda: self._held.note_failure(record))
            task.result = result_of(task.result, {**record, "status": "failed"}, self.folder, is_new=True)
            if self.raises:
                error.add_note(f"in row {task.result.index} of the sweep: {task.result.label}")
                raise
            return
        task.result = result_of(task.result, record, self.folder, is_new=True)

    async def _call(self, task: _Task, begun: float) -> JsonObject:
        if task.problem is not None:
            raise task.problem
        function = self.function
        if self.on_progress is not None:
            function = function.with_options(on_progress=lambda event: self._tell(task.result, event))
        answer = await function(task.rows[0].values)
        stage = await in_thread(self._held.stage)
        try:
            saved = await save_call(answer, stage)
            record = saved.record(task.result, time.monotonic() - begun)
            # Names are chosen and taken in one go, and so is the end of a row: a cancellation waits for it.
            async with self._commits:
                return await in_thread(lambda: self._held.commit(record, stage, saved.files))
        except BaseException:
            self._held.drop(stage)
            raise

    async def _ended(self, task: _Task) -> list[SweepResult]:
        self._counts.count(task.result, len(task.rows))
        await self._tell(task.result)
        return [replace(task.result, index=row.index) for row in task.rows]

    async def _tell(self, row: SweepResult, event: ProgressEvent | None = None) -> None:
        if self.on_progress is None:
            return
        try:
            async with self._telling:
                await tell(self.on_progress, self._counts.progress(row, event))
        except Exception:  # noqa: BLE001 - a display must not end the work
            _log.exception("on_progress of the sweep raised; it receives no further events")
            self.on_progress = None
