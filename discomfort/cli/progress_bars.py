"""Progress of a run: moving bars on a terminal, plain lines elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rich.console import RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from discomfort.cli.terminal import Terminal, clean
from discomfort.progress import Cached, Done, NodeStarted, ProgressEvent, Queued, Started, Step


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """Where a batch is: run ``number`` of ``total``, what it is, and the seconds that the rest takes, if known."""

    number: int
    total: int
    label: str
    left: float | None = None

    def __str__(self) -> str:
        about = f", about {_duration(self.left)} left" if self.left is not None else ""
        return f"run {self.number} of {self.total}: {self.label}{about}"


class Display(Protocol):
    """Shows the progress. ``close`` may be called more than once; a closed display shows nothing more."""

    def phase(self, text: str) -> None:
        """Show the beginning of an activity of unknown length: the server's start, a conversion, the shutdown."""

    def place(self, place: BatchPlace) -> None:
        """Show where the batch is, until the display is closed."""

    def event(self, event: ProgressEvent) -> None:
        """Show an event of the run under way."""

    def close(self) -> None:
        """Remove moving parts, so that the next line is a line of its own."""


def make_display(terminal: Terminal) -> Display:
    """The display that fits the terminal."""
    if terminal.quiet:
        return SilentDisplay()
    return BarDisplay(terminal) if terminal.fancy else LineDisplay(terminal)


class SilentDisplay:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def place(self, place: BatchPlace) -> None:
        """Nothing."""

    def event(self, event: ProgressEvent) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class LineDisplay:
    """Single lines, for logs and pipes. The steps of a node are shown at each tenth, not one by one."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._node = ""
        self._tenth = 0

    def phase(self, text: str) -> None:
        """One line."""
        self._terminal.note(f"{text} ...")

    def place(self, place: BatchPlace) -> None:
        """One line."""
        self._terminal.note(str(place))

    def event(self, event: ProgressEvent) -> None:
        """One line for what matters, none for previews and outputs."""
        match event:
            case Queued(position=position):
                self._terminal.note("queued" + (f", {position} before it" if position else ""))
            case Cached(node_ids=ids) if ids:
                self._terminal.note(f"cached: {len(ids)} {_nodes(len(ids))}")
            case NodeStarted():
                self._node, self._tenth = event.node_id, 0
                self._terminal.note(f"[{event.index}/{event.total}] {_named(event)}")
            case Step():
                self._step(event)

    def close(self) -> None:
        """Nothing moves here."""

    def _step(self, event: Step) -> None:
        if event.node_id != self._node:
            self._node, self._tenth = event.node_id, 0
        tenth = int(10 * event.value / event.maximum) if event.maximum > 0 else 0
        if tenth > self._tenth:
            self._tenth = tenth
            self._terminal.note(f"  {event.title}: step {event.value:g} of {event.maximum:g}")


class Bars(Progress):
    """Bars that leave the last columns free: a terminal echoes ``^C`` there, which must not wrap onto another line."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table of bars, a little narrower than the terminal."""
        yield Padding(self.make_tasks_table(self.tasks), (0, 3, 0, 0))


class BarDisplay:
    """A bar for the nodes and, if a node reports steps, one for its steps."""

    def __init__(self, terminal: Terminal) -> None:
        self._progress = Bars(
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
        self._batch: TaskID | None = None
        self._main: TaskID | None = None
        self._steps: TaskID | None = None
        self._steps_of = ""

    def phase(self, text: str) -> None:
        """A pulsing bar."""
        self._drop_steps()
        if self._main is not None:
            self._progress.remove_task(self._main)
        self._main = self._progress.add_task(clean(text), total=None, count="")
        self._progress.start()

    def place(self, place: BatchPlace) -> None:
        """A bar above the others: what runs, how many runs there are, and how long the rest takes."""
        self._drop_batch()
        self._drop_steps()
        if self._main is not None:
            self._progress.remove_task(self._main)
            self._main = None
        left = "" if place.left is None else f", {_duration(place.left)} left"
        self._batch = self._progress.add_task(
            clean(place.label),
            total=place.total,
            completed=place.number - 1,
            count=f"run {place.number}/{place.total}{left}",
        )

    def event(self, event: ProgressEvent) -> None:
        """Move the bars."""
        match event:
            case Queued(position=position):
                self._describe(f"queued, {position} before it" if position else "queued")
            case Started():
                self._describe("running")
            case NodeStarted():
                self._drop_steps()
                self._nodes(event)
            case Step():
                self._step(event)
            case Done():
                self._drop_steps()

    def close(self) -> None:
        """Remove the bars and give the cursor back."""
        self._progress.stop()
        self._drop_steps()
        self._drop_batch()
        if self._main is not None:
            self._progress.remove_task(self._main)
            self._main = None

    def _drop_batch(self) -> None:
        if self._batch is not None:
            self._progress.remove_task(self._batch)
            self._batch = None

    def _describe(self, text: str) -> None:
        if self._main is not None:
            self._progress.update(self._main, description=text)

    def _nodes(self, event: NodeStarted) -> None:
        if self._main is not None:
            self._progress.update(
                self._main,
                description=clean(event.title),
                completed=event.index - 1,
                total=event.total,
                count=f"node {event.index}/{event.total}",
            )

    def _step(self, event: Step) -> None:
        count = f"step {event.value:g}/{event.maximum:g}"
        if self._steps is None or self._steps_of != event.node_id:
            self._drop_steps()
            self._steps_of = event.node_id
            self._steps = self._progress.add_task(f"  {clean(event.title)}", total=event.maximum, count=count)
        self._progress.update(self._steps, completed=event.value, total=event.maximum, count=count)

    def _drop_steps(self) -> None:
        if self._steps is not None:
            self._progress.remove_task(self._steps)
            self._steps = None


def _duration(seconds: float) -> str:
    """A time to wait, as exact as it is known."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _named(event: NodeStarted) -> str:
    kind = f" ({event.class_type})" if event.class_type != event.title else ""
    return f"{event.title}{kind}, node {event.node_id}"


def _nodes(count: int) -> str:
    return "node" if count == 1 else "nodes"
