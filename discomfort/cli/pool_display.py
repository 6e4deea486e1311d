"""Progress of many runs on a pool: a bar for all and one for each that is under way, or lines, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from discomfort.cli.progress_bars import Bars, Display, LineDisplay, SilentDisplay
from discomfort.cli.terminal import Terminal, clean
from discomfort.progress import Done, NodeStarted, Step

if TYPE_CHECKING:
    from discomfort.pool.pool_events import PoolEvent


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Run ``number`` of ``total``, and what it is."""

    number: int
    total: int
    label: str

    def __str__(self) -> str:
        return f"run {self.number} of {self.total}: {self.label}" if self.total > 1 else self.label


class PoolDisplay(Display, Protocol):
    """Shows the progress of several runs at once."""

    def begin(self, total: int) -> None:
        """So many runs will be done."""

    def show(self, place: RunPlace, event: PoolEvent) -> None:
        """Show an event of a run."""

    def ended(self, place: RunPlace) -> None:
        """A run has ended."""


def make_pool_display(terminal: Terminal) -> PoolDisplay:
    """The display that fits the terminal."""
    if terminal.quiet:
        return SilentPoolDisplay()
    return PoolBarDisplay(terminal) if terminal.fancy else PoolLineDisplay(terminal)


class SilentPoolDisplay(SilentDisplay):
    """Shows nothing."""

    def begin(self, total: int) -> None:
        """Nothing."""

    def show(self, place: RunPlace, event: PoolEvent) -> None:
        """Nothing."""

    def ended(self, place: RunPlace) -> None:
        """Nothing."""


class PoolLineDisplay(LineDisplay):
    """Single lines, for logs and pipes: where each run is, not its nodes."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self._lines = terminal
        self._placed: set[int] = set()
        """The runs that have, or had, a server."""

    def begin(self, total: int) -> None:
        """Nothing: the runs follow."""

    def show(self, place: RunPlace, event: PoolEvent) -> None:
        """One line for a server, a model that is loaded, a server that is silent, and a run that waits again."""
        text = _told(event)
        if event.kind == "assigned":
            self._placed.add(place.number)
        elif isinstance(reason := getattr(event, "reason", None), str) and event.kind == "waiting":
            text = f"waits again: {reason}" if place.number in self._placed else ""
            self._placed.discard(place.number)
        if text:
            self._lines.note(f"{place}: {text}")

    def ended(self, place: RunPlace) -> None:
        """Nothing: its result follows."""


class PoolBarDisplay:
    """A bar for all runs, and one for each that has a server."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", markup=False, table_column=Column(no_wrap=True, justify="right")),
            TimeElapsedColumn(),
            console=terminal.err,
            transient=True,
            expand=True,
        )
        self._all: TaskID | None = None
        self._phase: TaskID | None = None
        self._done = self._total = 0
        self._runs: dict[int, TaskID] = {}
        self._servers: dict[int, str] = {}

    def phase(self, text: str) -> None:
        """A pulsing bar."""
        self._drop_phase()
        self._phase = self._bars.add_task(clean(text), total=None, count="")
        self._bars.start()

    def place(self, place: object) -> None:
        """Nothing: :meth:`begin` says how many runs there are."""

    def event(self, event: object) -> None:
        """Nothing: :meth:`show` says whose event it is."""

    def begin(self, total: int) -> None:
        """The bar of all runs."""
        self._drop_phase()
        self._total = total
        self._all = self._bars.add_task("runs", total=total, count=f"0/{total}")
        self._bars.start()

    def show(self, place: RunPlace, event: PoolEvent) -> None:
        """Move the bar of its run."""
        match event.kind:
            case "waiting":
                self._drop(place)
            case "assigned":
                self._drop(place)
                self._servers[place.number] = getattr(event, "server", "")
                self._runs[place.number] = self._bars.add_task(self._label(place), total=None, count="")
            case _:
                self._move(place, event)
        self._bars.start()

    def ended(self, place: RunPlace) -> None:
        """Remove the bar of its run, and move that of all."""
        self._drop(place)
        self._done += 1
        if self._all is not None:
            self._bars.update(self._all, completed=self._done, count=f"{self._done}/{self._total}")

    def close(self) -> None:
        """Remove the bars from the screen; the next event shows them again."""
        self._bars.stop()
        self._drop_phase()

    def _move(self, place: RunPlace, event: PoolEvent) -> None:
        task = self._runs.get(place.number)
        if task is None:
            return
        match event:
            case NodeStarted():
                self._bars.update(
                    task, description=self._label(place, event.title), completed=event.index - 1, total=event.total,
                    count=f"node {event.index}/{event.total}",
                )  # fmt: skip
            case Step():
                self._bars.update(task, count=f"step {event.value:g}/{event.maximum:g}")
            case Done():
                self._drop(place)
            case _ if text := _told(event):
                self._bars.update(task, description=self._label(place, text))

    def _label(self, place: RunPlace, doing: str = "") -> str:
        server = self._servers.get(place.number, "")
        return clean(f"{server}: {place.label}" + (f": {doing}" if doing else ""))

    def _drop(self, place: RunPlace) -> None:
        task = self._runs.pop(place.number, None)
        if task is not None:
            self._bars.remove_task(task)

    def _drop_phase(self) -> None:
        if self._phase is not None:
            self._bars.remove_task(self._phase)
            self._phase = None


def _told(event: PoolEvent) -> str:
    """What is said of an event; empty for the usual ones."""
    from discomfort.pool.pool_events import Assigned, Loading, Stalled

    match event:
        case Assigned(server=server):
            return f"on {server}"
        case Loading(model=model):
            return f"loads {model}"
        case Stalled():
            return f"{event.server} has not answered for {event.seconds:.0f} s: {event.reason}"
    return ""
