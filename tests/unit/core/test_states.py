"""States, their arrows, and the shutdown plan."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from discomfort.connector.release import ReleaseStep, release_all
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import StateError

ARROWS = {
    ("uninit", "initializing"),
    ("uninit", "killed"),
    ("initializing", "ready"),
    ("initializing", "error"),
    ("initializing", "killed"),
    ("ready", "killed"),
    ("ready", "error"),
    ("ready", "initializing"),
    ("error", "killed"),
    ("error", "initializing"),
}
WAY = {
    "uninit": [],
    "initializing": ["initializing"],
    "ready": ["initializing", "ready"],
    "error": ["initializing", "error"],
    "killed": ["killed"],
}


def at(state: str) -> Lifecycle:
    lifecycle = Lifecycle()
    for step in WAY[state]:
        lifecycle.to(State(step))
    return lifecycle


@pytest.mark.parametrize(("before", "after"), list(itertools.product(WAY, WAY)))
def test_arrows(before: str, after: str) -> None:
    """Exactly the documented transitions, and the named ones beyond them, are possible."""
    lifecycle = at(before)

    if before == after or (before, after) in ARROWS:
        lifecycle.to(State(after))
        assert lifecycle.state == after
    else:
        with pytest.raises(StateError):
            lifecycle.to(State(after))
        assert lifecycle.state == before


async def test_release_runs_every_step_in_order() -> None:
    """A step that raises and one that hangs do not keep the others from running, and are named."""
    ran: list[str] = []

    async def hang() -> None:
        ran.append("hang")
        await asyncio.Event().wait()

    def fail() -> None:
        ran.append("fail")
        raise OSError("disk")

    async def work() -> None:
        ran.append("work")

    failed = await release_all([ReleaseStep("f", fail, 1), ReleaseStep("h", hang, 0.01), ReleaseStep("w", work, 1)])

    assert ran == ["fail", "hang", "work"]
    assert failed == ["f", "h"]


async def test_release_is_not_broken_off() -> None:
    """Cancelled together with every task that it has, as Ctrl-C does it, it begins the step again and goes on."""
    ran: list[str] = []
    gate, waits = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        ran.append("first")
        waits.set()
        await gate.wait()

    task = asyncio.create_task(
        release_all([ReleaseStep("1", first, 30), ReleaseStep("2", lambda: ran.append("second"), 1)])
    )
    await waits.wait()
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()
    waits.clear()
    await waits.wait()
    gate.set()

    assert await task == []
    assert ran == ["first", "first", "second"]


async def test_release_forces_what_failed() -> None:
    """After an error or the deadline the forceful way is taken, and only then; what it raises is logged."""
    forced: list[str] = []

    def fail() -> None:
        raise OSError("disk")

    def force(name: str) -> None:
        forced.append(name)
        raise OSError("again")

    async def hang() -> None:
        await asyncio.Event().wait()

    steps = [
        ReleaseStep("well", lambda: None, 1, lambda: force("well")),
        ReleaseStep("fails", fail, 1, lambda: force("fails")),
        ReleaseStep("hangs", hang, 0.01, lambda: force("hangs")),
    ]
    assert await release_all(steps) == ["fails", "hangs"]
    assert forced == ["fails", "hangs"]
