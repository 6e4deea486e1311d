"""Progress of downloads and installations: a bar for each file on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discomfort.cli.terminal import Terminal, clean

if TYPE_CHECKING:
    from rich.progress import TaskID

    from discomfort.provision.provide_progress import ProvideProgress


class TransferBars:
    """Shows the events of a provision. ``close`` may be called more than once."""

    def __init__(self, terminal: Terminal) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._terminal = terminal
        self._tenths: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[stage]}", markup=False),
            console=terminal.err,
            transient=True,
        )

    def show(self, event: ProvideProgress) -> None:
        """Show one event."""
        if self._terminal.quiet:
            return
        if event.kind != "model":
            if event.text:
                self._terminal.note(f"{event.name}: {event.text}")
        elif self._terminal.fancy:
            self._move(event)
        else:
            self._line(event)

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _move(self, event: ProvideProgress) -> None:
        if event.name not in self._tasks:
            self._bars.start()
            self._tasks[event.name] = self._bars.add_task(clean(event.name), total=event.total, stage="")
        task, stage = self._tasks[event.name], "" if event.stage in ("receiving", "done") else event.stage
        if event.stage in ("receiving", "done"):
            self._bars.update(task, completed=event.received, total=event.total, stage=stage)
        else:
            self._bars.update(task, stage=stage)

    def _line(self, event: ProvideProgress) -> None:
        if event.stage == "done":
            self._terminal.note(f"{event.name}: done")
        elif event.stage == "receiving" and event.total:
            tenth = 10 * event.received // event.total
            if tenth > self._tenths.get(event.name, -1):
                self._tenths[event.name] = tenth
                self._terminal.note(f"{event.name}: {10 * tenth} %")
