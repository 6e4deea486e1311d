"""The displays: what a person sees of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from discomfort.cli.progress_bars import BarDisplay, BatchPlace, LineDisplay, SilentDisplay, make_display
from discomfort.cli.terminal import Terminal
from discomfort.progress import Cached, Done, NodeOutput, NodeStarted, Preview, ProgressEvent, Queued, Started, Step

EVENTS: list[ProgressEvent] = [
    Queued("p", 2),
    Queued("p", 0),
    Started("p"),
    Cached("p", ("1", "2")),
    NodeStarted("p", "3", "My sampler", "KSampler", 1, 2),
    Step("p", "3", "My sampler", 1, 4),
    Preview("p", "3", "image/png", b""),
    Step("p", "3", "My sampler", 4, 4),
    Step("p", "3", "My sampler", 1, 0),
    NodeStarted("p", "4", "SaveImage", "SaveImage", 2, 2),
    NodeOutput("p", "4", "SaveImage", {}),
    Done("p", True),
]


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Every event that matters is one line."""
    display = LineDisplay(Terminal())
    display.phase("starting")
    for event in EVENTS:
        display.event(event)
    display.close()

    assert capsys.readouterr().err.splitlines() == [
        "starting ...",
        "queued, 2 before it",
        "queued",
        "cached: 2 nodes",
        "[1/2] My sampler (KSampler), node 3",
        "  My sampler: step 1 of 4",
        "  My sampler: step 4 of 4",
        "[2/2] SaveImage, node 4",
    ]


def test_bars() -> None:
    """Bars show node n of m and step k of n, and are gone at the end."""
    terminal = Terminal()
    screen = io.StringIO()
    terminal.err = Console(file=screen, force_terminal=True, width=80, color_system=None)
    display = BarDisplay(terminal)
    display.phase("starting the server")
    shown = []
    for event in EVENTS:
        display.event(event)
        display._progress.refresh()
        shown.append(screen.getvalue())
    display.close()
    display.close()

    text = screen.getvalue()
    assert "queued, 2 before it" in shown[0]
    assert "My sampler" in shown[4]
    assert "node 1/2" in shown[4]
    assert "step 4/4" in shown[7]
    assert "node 2/2" in shown[9]
    assert display._progress.tasks == []
    assert text.endswith("\x1b[2K")


def test_a_closed_bar_can_begin_again() -> None:
    """Between two workflows the display is closed; the next phase opens it."""
    terminal = Terminal()
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=40)
    display = BarDisplay(terminal)
    display.event(Started("p"))
    display.phase("one")
    display.close()
    display.phase("two")

    assert [task.description for task in display._progress.tasks] == ["two"]
    display.close()


def test_bars_of_a_batch() -> None:
    """The bar above the others stays during a run and is gone when the display is closed."""
    terminal = Terminal()
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = BarDisplay(terminal)
    display.phase("uploading")
    display.place(BatchPlace(2, 5, "wf.json seed=1", 130.0))
    display.phase("preparing")
    display.event(NodeStarted("p", "3", "My sampler", "KSampler", 1, 2))

    batch, run = display._progress.tasks
    assert (batch.description, batch.completed, batch.total) == ("wf.json seed=1", 1, 5)
    assert batch.fields["count"] == "run 2/5, 2 min left"
    assert run.description == "My sampler"
    display.place(BatchPlace(3, 5, "wf.json seed=2"))
    assert [task.description for task in display._progress.tasks] == ["wf.json seed=2"]
    display.close()
    assert display._progress.tasks == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89.4, "89 s"), (91, "2 min"), (5400, "1 h 30 min"), (7260, "2 h 01 min")]
)
def test_times_to_wait(seconds: float, text: str) -> None:
    """No more exact than they are known."""
    assert str(BatchPlace(1, 2, "wf", seconds)) == f"run 1 of 2: wf, about {text} left"
    assert str(BatchPlace(1, 2, "wf")) == "run 1 of 2: wf"


@pytest.mark.parametrize(
    ("quiet", "tty", "environment", "expected"),
    [
        (True, True, {}, SilentDisplay),
        (False, False, {}, LineDisplay),
        (False, True, {}, BarDisplay),
        (False, True, {"NO_COLOR": "1"}, LineDisplay),
        (False, True, {"TERM": "dumb"}, LineDisplay),
    ],
)
def test_the_display_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, tty: bool, environment: dict[str, str], expected: type
) -> None:
    """Bars only where they can move; nothing where nothing was asked for."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: tty, raising=False)

    assert type(make_display(Terminal(quiet=quiet))) is expected


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """The silent display says nothing, whatever happens."""
    display = SilentDisplay()
    display.phase("x")
    display.place(BatchPlace(1, 2, "x"))
    display.event(EVENTS[0])
    display.close()

    assert capsys.readouterr() == ("", "")
