"""Requests that callers share, each of which must be newer than the calls that it answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from unit.client.fake_comfy import FAST, FakeComfy, own_tasks, stay_pending, tiny_prompt
from waiting import until

from discomfort.client.comfy import ComfyClient
from discomfort.client.shared_request import FreshRequest
from discomfort.exceptions import ExecutionInterrupted, ServerConnectionError, StateError
from discomfort.progress import ProgressEvent, Queued


class Numbers:
    """Requests that wait until they are let go, and then answer with their number."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []
        self.fresh = FreshRequest(self.ask, "the numbers")

    async def ask(self) -> int:
        """One request."""
        self.sent.append(asyncio.get_running_loop().create_future())
        number = len(self.sent)
        await self.sent[-1]
        return number

    async def callers(self, count: int, *, sent: int) -> list[asyncio.Task[int]]:
        """So many calls at once, after which so many requests are sent."""
        tasks = [asyncio.create_task(self.fresh.get()) for _ in range(count)]
        await until(lambda: len(self.sent) == sent)
        await asyncio.sleep(0)
        return tasks


async def test_one_request_under_way_and_one_that_follows() -> None:
    """Who calls before it is sent shares it; who calls later gets the next one."""
    numbers = Numbers()
    first = await numbers.callers(3, sent=1)
    second = await numbers.callers(3, sent=1)
    numbers.sent[0].set_result(None)
    assert await asyncio.gather(*first) == [1, 1, 1]
    await until(lambda: len(numbers.sent) == 2)
    third = await numbers.callers(1, sent=2)
    numbers.sent[1].set_result(None)
    assert await asyncio.gather(*second) == [2, 2, 2]
    await until(lambda: len(numbers.sent) == 3)
    numbers.sent[2].set_result(None)
    assert await asyncio.gather(*third) == [3]
    assert not list(own_tasks())


async def test_a_cancelled_caller_ends_it_for_nobody() -> None:
    """Neither the request under way nor the one that follows."""
    numbers = Numbers()
    first = await numbers.callers(2, sent=1)
    second = await numbers.callers(2, sent=1)
    first[0].cancel()
    second[0].cancel()
    numbers.sent[0].set_result(None)
    assert await first[1] == 1
    await until(lambda: len(numbers.sent) == 2)
    numbers.sent[1].set_result(None)
    assert await second[1] == 2


async def test_a_failure_is_of_its_own_callers_only() -> None:
    """Each has an error of its own, and the next request is sent."""
    numbers = Numbers()
    first = await numbers.callers(2, sent=1)
    second = await numbers.callers(1, sent=1)
    numbers.sent[0].set_exception(ServerConnectionError("gone", url="http://x"))
    errors = await asyncio.gather(*first, return_exceptions=True)
    await until(lambda: len(numbers.sent) == 2)
    numbers.sent[1].set_result(None)

    assert [type(error) for error in errors] == [ServerConnectionError] * 2
    assert errors[0] is not errors[1]
    assert await second[0] == 2


async def test_closing_ends_both() -> None:
    """All callers raise StateError, and later ones do."""
    numbers = Numbers()
    tasks = await numbers.callers(2, sent=1) + await numbers.callers(2, sent=1)
    await numbers.fresh.aclose()
    errors = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(error) for error in errors] == [StateError] * 4
    with pytest.raises(StateError):
        await numbers.fresh.get()
    assert not list(own_tasks())


async def test_many_submissions_read_the_queue_a_few_times(server: FakeComfy) -> None:
    """Each answer has all prompts of the queue; every run still knows its own position."""
    server.script = stay_pending
    all_queued = asyncio.Event()
    positions: list[int] = []

    async def hold(request: web.Request) -> None:
        if request.method == "GET" and request.path == "/queue":
            await all_queued.wait()

    def note(event: ProgressEvent) -> None:
        if isinstance(event, Queued):
            positions.append(event.position)

    server.fault = hold
    # The reconciler reads the queue too, but not so soon.
    client = ComfyClient(server.url, limits=replace(FAST, poll=60, poll_blind=60))
    await client.open()
    runs = [asyncio.ensure_future(client.run(tiny_prompt(), on_progress=note)) for _ in range(20)]
    await until(lambda: len(server.pending) == 20)
    all_queued.set()
    await until(lambda: len(positions) == 20)
    reads = server.calls.count(("GET", "/queue", None))
    await client.aclose()
    ends = await asyncio.gather(*runs, return_exceptions=True)

    assert sorted(positions) == list(range(20))
    assert 1 <= reads <= 5
    assert [type(error) for error in ends] == [ExecutionInterrupted] * 20
