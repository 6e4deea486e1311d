"""finish, first_failure: what was begun is known to have ended."""

from __future__ import annotations

import asyncio

import pytest

from discomfort._async import finish, first_failure


async def test_finish_returns_the_result() -> None:
    """Without a cancellation it is a plain await."""

    async def work() -> int:
        return 3

    assert await finish(work()) == 3


async def test_finish_waits_for_the_end_when_cancelled() -> None:
    """The work ends first, then the cancellation is delivered."""
    gate, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        ended.set()

    task = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_finish_raises_the_works_error() -> None:
    """An error of the work is the caller's."""

    async def work() -> None:
        raise OSError("x")

    with pytest.raises(OSError, match="x"):
        await finish(work())


def test_first_failure_looks_through_groups_and_cancellations() -> None:
    """A sibling's cancellation is not the reason; the error beside it is."""
    cause = OSError("x")
    group = BaseExceptionGroup("a", [asyncio.CancelledError(), BaseExceptionGroup("b", [cause])])

    assert first_failure(group) is cause
