"""States, their arrows, and the shutdown plan."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from discomfort.connector.lifecycle import Lifecycle, State, Step, release_all
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

    failed = await release_all([Step("f", fail, 1), Step("h", hang, 0.01), Step("w", work, 1)])

    assert ran == ["fail", "hang", "work"]
    assert failed == ["f", "h"]
