"""Several workflows on one connector, for ``run`` and ``convert``: one after the other, with one exit code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from discomfort.cli.connect import Holder, ServerTarget, connected
from discomfort.cli.exit_codes import FAILED, OK, USAGE
from discomfort.cli.inputs import Source, UsageError
from discomfort.cli.progress_bars import Display, make_display
from discomfort.cli.report import Result
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import LogHandler, Terminal
from discomfort.exceptions import ConfigurationError, InputSelectorError, PayloadError, UploadError

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector


def exit_code(error: BaseException) -> int:
    """2 if the user must change the command, a file or the configuration; 1 if something failed."""
    wrong = isinstance(error, (ConfigurationError, InputSelectorError, UploadError, UsageError))
    return USAGE if wrong or isinstance(error, (FileNotFoundError, FileExistsError)) else FAILED


class Batch:
    """The workflows of one command and their results.

    After a workflow that fails, the next one is still run. ``results`` has an entry for each, in order.
    """

    stopping_means: ClassVar[str] = "shutting down"

    def __init__(self, sources: Sequence[Source], target: ServerTarget, terminal: Terminal) -> None:
        self.sources, self.target, self.terminal = sources, target, terminal
        self.display: Display = make_display(terminal)
        self.results: list[Result] = []
        self._codes: set[int] = set()

    async def work(self, connector: ComfyConnector, index: int, source: Source, result: Result) -> None:
        """Process one workflow and fill in its result; an exception becomes that workflow's error."""
        raise NotImplementedError

    async def prepare(self, connector: ComfyConnector) -> None:
        """Prepare before the first workflow; an exception ends the command."""

    def finished(self, result: Result) -> None:
        """Called when one workflow has succeeded or failed, and the display is closed."""

    def execute(self) -> int:
        """Run everything and return the exit code. Failures are not raised, but reported on stderr."""
        holder = Holder()
        for source in self.sources:
            if source.error is not None:
                self.terminal.explain(source.error, about=source.name)
                self._codes.add(USAGE)
        if all(source.error is not None for source in self.sources):
            self.results = [Result(source.name, error=source.error) for source in self.sources]
            return USAGE
        with self.terminal.logging() as log:
            try:
                run(lambda: self._run(holder, log), on_stop=self._stopping, on_force=holder.release_now)
            except Exception as error:  # noqa: BLE001 - the border of the program: everything becomes a message
                self._ended_early(error)
            finally:
                self.display.close()
        # 1 if anything failed; 2 if nothing did but the command line or its files were wrong.
        return FAILED if FAILED in self._codes else USAGE if USAGE in self._codes else OK

    async def _run(self, holder: Holder, log: LogHandler) -> None:
        async with connected(self.target, self.terminal, self.display, holder, log) as connector:
            await self.prepare(connector)
            for index, source in enumerate(self.sources):
                result = Result(source.name, error=source.error)
                if source.error is None:
                    await self._one(connector, index, source, result)
                self.results.append(result)

    async def _one(self, connector: ComfyConnector, index: int, source: Source, result: Result) -> None:
        begun = time.monotonic()
        try:
            await self.work(connector, index, source, result)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the next workflow must run whatever this one raised
            result.error = error
            # Here an unsafe prompt, or one whose nodes the server lacks, is a failed run, not a bad file.
            selector = isinstance(error, InputSelectorError)
            self._codes.add(FAILED if isinstance(error, PayloadError) and not selector else exit_code(error))
            self.display.close()
            self.terminal.explain(error, about=source.name)
        result.seconds = time.monotonic() - begun
        self.display.close()
        self.finished(result)

    def _stopping(self, signal_name: str) -> None:
        self.display.phase("stopping")
        self.terminal.note(f"{signal_name}: {self.stopping_means} (once more ends it at once)")

    def _ended_early(self, error: Exception) -> None:
        self.display.close()
        self._codes.add(exit_code(error))
        if isinstance(error, Interrupted):
            self.terminal.fail(f"{error}; everything was shut down")
        else:
            self.terminal.explain(error)
        for source in self.sources[len(self.results) :]:
            self.results.append(Result(source.name, error=source.error or error))
