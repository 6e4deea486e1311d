"""``discomfort sweep``: one workflow with many values, into a folder that remembers what is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from discomfort.cli.batch import exit_code
from discomfort.cli.connect import Holder, ServerTarget, connected
from discomfort.cli.exit_codes import FAILED, OK
from discomfort.cli.grid_values import grid_values
from discomfort.cli.inputs import STDIN, Source
from discomfort.cli.progress_bars import BatchPlace, Display, make_display
from discomfort.cli.report import seconds_text
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import LogHandler, Terminal

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.sweeps import Sweep, SweepProgress, SweepReport, SweepResult


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """The options of ``discomfort sweep``, read and checked. ``timeout`` is in seconds, for each row."""

    source: Source
    folder: Path
    grid: Mapping[str, str] = field(default_factory=dict)
    table: Path | None = None
    target: ServerTarget = field(default_factory=ServerTarget)
    parallel: int = 2
    on_error: Literal["return", "raise"] = "return"
    contact_sheet: bool = True
    json: bool = False
    timeout: float | None = None
    allow_paid: bool | None = None


def sweep_command(options: SweepOptions, terminal: Terminal) -> int:
    """Make what is missing, and return the exit code."""
    if options.source.error is not None:
        terminal.explain(options.source.error, about=options.source.name)
        return exit_code(options.source.error)
    work = _SweepWork(options, terminal)
    holder = Holder()
    with terminal.logging() as log:
        try:
            report = run(lambda: work.run(holder, log), on_stop=work.stopping, on_force=holder.release_now)
        except Interrupted as error:
            work.display.close()
            terminal.fail(f"{error}; everything was shut down{work.so_far}")
            return FAILED
        except Exception as error:  # noqa: BLE001 - the border of the program: everything becomes a message
            work.display.close()
            terminal.explain(error)
            return exit_code(error)
        finally:
            work.display.close()
    work.conclude(report)
    return FAILED if report.failed else OK


class _SweepWork:
    """One command: the display of its rows, and what it prints."""

    display: Display

    def __init__(self, options: SweepOptions, terminal: Terminal) -> None:
        self._options, self._terminal = options, terminal
        self.display = make_display(terminal)
        self._last: SweepProgress | None = None
        self._running: list[SweepResult] = []

    async def run(self, holder: Holder, log: LogHandler) -> SweepReport:
        """Start, sweep, and shut down."""
        options = self._options
        async with connected(options.target, self._terminal, self.display, holder, log) as connector:
            self.display.phase("loading the workflow")
            sweep = await self._sweep(connector)
            self._terminal.note(f"{len(sweep)} rows into {options.folder}")
            return await sweep.run(
                options.folder,
                parallel=options.parallel,
                on_error=options.on_error,
                on_progress=self._show,
                contact_sheet=options.contact_sheet,
            )

    async def _sweep(self, connector: ComfyConnector) -> Sweep:
        options = self._options
        # By its name, so that the sidecar beside it is found.
        payload = options.source.payload if options.source.name == STDIN else options.source.name
        function = await connector.load(payload)
        function = function.with_options(timeout=options.timeout, allow_paid=options.allow_paid)
        values = grid_values(options.grid, function.interface)
        return function.grid(values) if options.table is None else function.table(options.table, values)

    @property
    def so_far(self) -> str:
        """What was done, for the message about an interruption."""
        if self._last is None:
            return ""
        done = self._last.done + self._last.kept
        return f"; {done} of {self._last.total} rows are done: the same command does the rest"

    def stopping(self, signal_name: str) -> None:
        """Say what happens now."""
        self.display.phase("stopping")
        self._terminal.note(
            f"{signal_name}: taking the runs off the server and shutting down (once more ends it at once)"
        )

    def _show(self, progress: SweepProgress) -> None:
        self._last, row = progress, progress.row
        if progress.event is not None:
            # Rows run side by side; the display follows the one that began first.
            if self._running and self._running[0].index == row.index:
                self.display.event(progress.event)
        elif row.status == "waiting":
            self._running.append(row)
            if len(self._running) == 1:
                self._place(progress)
        else:
            is_shown = bool(self._running) and self._running[0].index == row.index
            self._running = [each for each in self._running if each.index != row.index]
            self._ended(row)
            if is_shown and self._running:
                self._place(progress)

    def _place(self, progress: SweepProgress) -> None:
        number = min(progress.ended + 1, progress.total)
        row = self._running[0]
        self.display.place(BatchPlace(number, progress.total, row.label, progress.left))
        self.display.phase(row.label or row.name)

    def _ended(self, row: SweepResult) -> None:
        if row.error is not None:
            self.display.close()
            self._terminal.fail(f"row {row.index} ({row.label or row.name}): {row.error}")
        if self._options.json:
            told = row.as_json(self._options.folder)
            self._terminal.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
        elif not self._terminal.out_is_terminal:
            for file in row.files:
                self._terminal.write(f"{file.path}\n")

    def conclude(self, report: SweepReport) -> None:
        """Say how it went, and where the results are."""
        kept = sum(row.status == "done" and not row.is_new for row in report)
        counts = [(len(report.done) - kept, "done"), (kept, "there already"), (len(report.failed), "failed")]
        told = ", ".join(f"{number} {what}" for number, what in counts if number)
        self._terminal.note(f"{len(report)} rows in {seconds_text(report.seconds)}: {told}")
        places = [str(report.table), *(str(path) for path in report.contact_sheets[:1])]
        self._terminal.note(f"see {' and '.join(places)}")
