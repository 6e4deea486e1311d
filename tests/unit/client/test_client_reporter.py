"""Progress callbacks: in order, and never in the way."""

from __future__ import annotations

import asyncio

import pytest

from discomfort.client.event_backlog import BACKLOG
from discomfort.client.reporter import Reporter
from discomfort.progress import Cached, Done, Preview, ProgressEvent, Queued, Started, Step

DONE = Done("p", success=True)


def steps(count: int) -> list[ProgressEvent]:
    """Many events."""
    return [Step("p", "1", "n", value, count) for value in range(count)]


async def test_a_function_gets_events_at_once() -> None:
    """Before emit returns."""
    seen: list[ProgressEvent] = []
    reporter = Reporter(seen.append, "p")

    reporter.emit(Started("p"))

    assert seen == [Started("p")]


async def test_held_events_follow_the_first() -> None:
    """The place in the queue is known late and goes first."""
    seen: list[ProgressEvent] = []
    reporter = Reporter(seen.append, "p")
    reporter.hold()
    reporter.emit(Started("p"))
    reporter.release(Queued("p", 0))
    await reporter.finish(DONE)

    assert seen == [Queued("p", 0), Started("p"), DONE]


async def test_an_async_callback_keeps_the_order() -> None:
    """However long the first takes."""
    seen: list[ProgressEvent] = []
    first = asyncio.Event()

    async def callback(event: ProgressEvent) -> None:
        if not seen:
            await first.wait()
        seen.append(event)

    reporter = Reporter(callback, "p")
    events = steps(20)
    for event in events:
        reporter.emit(event)
    asyncio.get_running_loop().call_soon(first.set)
    await reporter.finish(DONE)

    assert seen == [*events, DONE]


async def slowly(events: list[ProgressEvent], *, held: bool = False) -> list[ProgressEvent]:
    """What a callback gets that takes nothing before everything has happened."""
    seen: list[ProgressEvent] = []
    gate = asyncio.Event()

    async def callback(event: ProgressEvent) -> None:
        await gate.wait()
        seen.append(event)

    reporter = Reporter(callback, "p")
    if held:
        reporter.hold()
    else:
        reporter.emit(Started("p"))
    for event in events:
        reporter.emit(event)
    reporter.release(Started("p") if held else None)
    gate.set()
    await reporter.finish(DONE)
    assert (seen[0], seen[-1]) == (Started("p"), DONE)
    return seen[1:-1]


def preview(node: str, number: int, *, is_result: bool = False) -> Preview:
    """An image."""
    return Preview("p", node, "image/png" if is_result else "image/jpeg", b"%d" % number, is_result)


@pytest.mark.parametrize("held", [False, True])
async def test_a_slow_callback_loses_steps_but_nothing_else(*, held: bool) -> None:
    """Memory is bounded, and the newest are kept."""
    events = steps(BACKLOG + 100)

    assert await slowly([*events, Cached("p", ("1",))], held=held) == [*events[100:], Cached("p", ("1",))]


async def test_a_slow_callback_loses_no_results() -> None:
    """With SaveImageWebsocket the previews are the pictures, and stand nowhere else."""
    results = [preview("9", number, is_result=True) for number in range(3 * BACKLOG)]
    mixed = [each for result in results for each in (preview("1", 0), result)]
    seen = await slowly(mixed)

    assert [event for event in seen if isinstance(event, Preview) and event.is_result] == results
    assert len(seen) == len(results) + BACKLOG


async def test_a_slow_callback_gets_the_last_step_and_preview_of_each_node() -> None:
    """However many come after them."""
    last = [preview("1", 7), Step("p", "1", "n", 20, 20), preview("2", 8)]
    flood = [preview("3", number) for number in range(2 * BACKLOG)]
    seen = await slowly([preview("1", 6), Step("p", "1", "n", 19, 20), *last, *flood])

    assert [event for event in seen if event in last] == last
    assert len(seen) == BACKLOG
    assert seen[-1] == flood[-1]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_callback_that_raises_is_logged_once(caplog: pytest.LogCaptureFixture, *, asynchronous: bool) -> None:
    """With its traceback, and not called again."""
    calls: list[ProgressEvent] = []

    def fail(event: ProgressEvent) -> None:
        calls.append(event)
        raise ValueError("mine")

    async def fail_later(event: ProgressEvent) -> None:
        fail(event)

    reporter = Reporter(fail_later if asynchronous else fail, "p")
    for event in steps(3):
        reporter.emit(event)
    await reporter.finish(DONE)

    assert len(calls) == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_a_callback_that_never_returns_is_cancelled() -> None:
    """The run must end."""
    cancelled = asyncio.Event()

    async def hang(_: ProgressEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    reporter = Reporter(hang, "p")
    reporter.emit(Started("p"))
    await reporter.finish(DONE, deadline=0.01)

    await asyncio.wait_for(cancelled.wait(), 5)
    assert cancelled.is_set()


async def test_cancelling_the_end_cancels_the_callback() -> None:
    """Nothing runs on behind a run that was cancelled."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: ProgressEvent) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    reporter = Reporter(hang, "p")
    task = asyncio.create_task(reporter.finish(DONE))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await asyncio.wait_for(cancelled.wait(), 5)


async def test_mixed_callbacks_keep_the_order() -> None:
    """One that returns an awaitable only for some events."""
    seen: list[ProgressEvent] = []

    async def later(event: ProgressEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    def callback(event: ProgressEvent) -> asyncio.Future[None] | None:
        if isinstance(event, Step) and event.value % 2:
            return asyncio.ensure_future(later(event))
        seen.append(event)
        return None

    reporter = Reporter(callback, "p")
    events = steps(9)
    for event in events:
        reporter.emit(event)
    await reporter.finish(DONE)

    assert seen == [*events, DONE]
