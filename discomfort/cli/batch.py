"""Several runs or conversions on one connector: one after the other, with one exit code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from discomfort.cli.connect import Holder, ServerTarget, connected
from discomfort.cli.exit_codes import FAILED, OK, USAGE
from discomfort.cli.inputs import Source, UsageError
from discomfort.cli.progress_bars import Display, make_display
from discomfort.cli.report import Result
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import LogHandler, Terminal
from discomfort.cli.variants import Variant
from discomfort.exceptions import (
    CallError,
    ConfigurationError,
    InputSelectorError,
    PayloadError,
    PortError,
    SweepError,
    UploadError,
)

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector


def exit_code(error: BaseException) -> int:
    """2 if the user must change the command, a file or the configuration; 1 if something failed."""
    users = (CallError, ConfigurationError, InputSelectorError, PortError, SweepError, UploadError, UsageError)
    wrong = isinstance(error, users)
    return USAGE if wrong or isinstance(error, (FileNotFoundError, FileExistsError)) else FAILED


@dataclass(slots=True)
class Job:
    """One run or conversion: the workflow's place on the command line, and the values for it.

    ``name`` is that of its files, ``is_done`` says that they are there already.
    """

    position: int
    source: Source
    variant: Variant = field(default_factory=Variant)
    name: str | None = None
    is_done: bool = False


class Batch:
    """The workflows of one command and their results.

    After a job that fails, the next one is still done. ``results`` has an entry for each, in order.
    """

    sources: list[Source]
    target: ServerTarget
    terminal: Terminal

    stopping_means: ClassVar[str] = "shutting down"
    hidden_logger: ClassVar[str | None] = None
    """A logger whose records the command shows in its own way."""

    def __init__(self, sources: Sequence[Source], target: ServerTarget, terminal: Terminal) -> None:
        self.sources, self.target, self.terminal = list(sources), target, terminal
        self.display: Display = make_display(terminal)
        self.jobs: list[Job] = [Job(position, source) for position, source in enumerate(sources)]
        self.results: list[Result] = []
        self._codes: set[int] = set()

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Do one job and fill in its result; an exception becomes that job's error."""
        raise NotImplementedError

    async def prepare(self, connector: ComfyConnector) -> None:
        """Prepare before the first job, and decide about ``jobs``; an exception ends the command."""

    def finished(self, result: Result) -> None:
        """Called when one job has succeeded or failed, and the display is closed."""

    def recorded(self, result: Result) -> None:
        """Called when a job's result is final, also of one that was not done."""

    def summary(self) -> str:
        """What was done, for the message about an interruption; empty if it says nothing new."""
        return ""

    def execute(self) -> int:
        """Run everything and return the exit code. Failures are not raised, but reported on stderr."""
        holder = Holder()
        for source in self.sources:
            if source.error is not None:
                self.terminal.explain(source.error, about=source.name)
                self._codes.add(USAGE)
        if all(source.error is not None for source in self.sources):
            self.record_all()
            return USAGE
        with self.terminal.logging(self.hidden_logger) as log:
            try:
                run(lambda: self._run(holder, log), on_stop=self._stopping, on_force=holder.release_now)
            except Exception as error:  # noqa: BLE001 - the border of the program: everything becomes a message
                self._ended_early(error)
            finally:
                self.display.close()
        # 1 if anything failed; 2 if nothing did but the command line or its files were wrong.
        return FAILED if FAILED in self._codes else USAGE if USAGE in self._codes else OK

    def record_all(self) -> None:
        """Record all jobs at once, where none needs a server."""
        for number, job in enumerate(self.jobs, 1):
            self._record(self._result(number, job, source_error(job)))

    def refuse(self, position: int, error: Exception) -> None:
        """Report that a workflow cannot be used after all, before the first job: it gets one job, which fails."""
        source = self.sources[position]
        self.display.close()
        self.terminal.explain(error, about=source.name)
        self._codes.add(exit_code(error))
        self.sources[position] = Source(source.name, source.kind, source.payload, error)

    async def _run(self, holder: Holder, log: LogHandler) -> None:
        async with connected(self.target, self.terminal, self.display, holder, log) as connector:
            await self.prepare(connector)
            for number, job in enumerate(self.jobs, 1):
                result = self._result(number, job, source_error(job))
                if result.error is None and not job.is_done:
                    await self._one(self.work(connector, job, result), job, result)
                self._record(result)

    async def _one(self, work: Awaitable[None], job: Job, result: Result) -> None:
        begun = time.monotonic()
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the next job must be done whatever this one raised
            result.error = error
            # Here an unsafe prompt, or one whose nodes the server lacks, is a failed run, not a bad file.
            is_users = isinstance(error, CallError | InputSelectorError | PortError)
            self._codes.add(FAILED if isinstance(error, PayloadError) and not is_users else exit_code(error))
            self.display.close()
            self.terminal.explain(error, about=self.about(job))
        result.seconds = result.seconds or time.monotonic() - begun
        self.display.close()
        self.finished(result)

    def about(self, job: Job) -> str:
        """The job's name in messages."""
        return job.source.name

    def _result(self, number: int, job: Job, error: Exception | None) -> Result:
        return Result(job.source.name, error=error, index=number, values=job.variant.values, is_skipped=job.is_done)

    def _stopping(self, signal_name: str) -> None:
        self.display.phase("stopping")
        self.terminal.note(f"{signal_name}: {self.stopping_means} (once more ends it at once)")

    def _ended_early(self, error: Exception) -> None:
        self.display.close()
        self._codes.add(exit_code(error))
        if isinstance(error, Interrupted):
            summary = self.summary()
            self.terminal.fail(f"{error}; everything was shut down" + (f"; {summary}" if summary else ""))
        else:
            self.terminal.explain(error)
        known = {result.index for result in self.results}
        for number, job in enumerate(self.jobs, 1):
            if number not in known:
                self._record(self._result(number, job, source_error(job) or error))

    def _record(self, result: Result) -> None:
        self.results.append(result)
        self.recorded(result)


def source_error(job: Job) -> Exception | None:
    """Why the job's workflow cannot be used, if so."""
    return job.source.error
