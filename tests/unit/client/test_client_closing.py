"""A client that somebody else closes: whoever waits for it gets a typed error at once, and no cancellation."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from unit.client.fake_comfy import (
    FAST,
    FakeComfy,
    own_tasks,
    run_until_interrupted,
    stay_pending,
    succeed,
    tiny_prompt,
)
from waiting import until

from discomfort.client import withdraw
from discomfort.client.comfy import ComfyClient
from discomfort.client.rest import RestClient
from discomfort.client.runs import Limits, PromptRun
from discomfort.client.shared_request import SharedRequest
from discomfort.exceptions import (
    ExecutionInterrupted,
    RunTimeout,
    ServerConnectionError,
    ServerResponseError,
    StateError,
)


class Held:
    """A fault that lets nobody pass on some paths until it is released."""

    def __init__(self, *paths: str) -> None:
        self.paths, self.gate = paths, asyncio.Event()

    async def __call__(self, request: web.Request) -> None:
        if not self.paths or request.path.startswith(self.paths):
            await self.gate.wait()


@pytest.fixture
async def held(server: FakeComfy) -> AsyncIterator[Held]:
    """A server that answers nothing but its socket, once ``paths`` are set."""
    held = Held("/no path")
    server.fault = held
    yield held
    held.gate.set()


async def outcome(task: asyncio.Future[Any]) -> BaseException | None:
    """How a task ends; its cancellation counts, too."""
    await asyncio.wait_for(asyncio.wait([task]), 10)
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def test_everybody_who_waits_for_definitions(server: FakeComfy, client: ComfyClient, held: Held) -> None:
    """In a group, where a cancelled child would vanish without a word."""
    held.paths = ("/object_info",)

    async def callers() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(client.definitions())
            await server.until_called("/object_info")
            await client.aclose()

    with pytest.raises(BaseExceptionGroup) as caught:
        await callers()

    assert {type(error) for error in caught.value.exceptions} == {StateError}


async def test_definitions_whose_request_somebody_else_cancels() -> None:
    """Its waiters are not cancelled with it, and each has an error of its own."""

    async def ask() -> None:
        await asyncio.Event().wait()

    definitions = SharedRequest(ask, "the node definitions")
    waiting = [asyncio.create_task(definitions.get()) for _ in range(2)]
    await until(lambda: definitions._asking is not None)
    assert definitions._asking is not None
    definitions._asking.cancel()
    errors = [await outcome(task) for task in waiting]

    assert [type(error) for error in errors] == [StateError, StateError]
    assert errors[0] is not errors[1]


async def test_an_error_of_the_shared_request_is_each_ones_own(server: FakeComfy, client: ComfyClient) -> None:
    """Tracebacks of two tasks do not mix in one."""

    async def broken(request: web.Request) -> web.Response | None:
        return web.Response(status=500, text="no") if request.path == "/object_info" else None

    server.fault = broken
    errors = await asyncio.gather(client.definitions(), client.definitions(), return_exceptions=True)

    assert server.paths().count("/object_info") == 1
    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])
    assert [type(error) for error in errors] == [ServerResponseError] * 2
    assert vars(errors[0]) == vars(errors[1])
    assert vars(errors[0])["status"] == 500


@pytest.mark.parametrize("reachable", [True, False])
async def test_opening_ends_when_the_client_is_closed(server: FakeComfy, *, reachable: bool) -> None:
    """All who open, at once: the time to connect is half a minute."""
    held = Held("/ws")
    server.fault = held if reachable else None
    server.accept_sockets = reachable
    client = ComfyClient(server.url, limits=FAST)
    opening = [asyncio.create_task(client.open()) for _ in range(2)]
    await server.until_called("/ws")
    await asyncio.wait_for(client.aclose(), 10)
    errors = [await outcome(task) for task in opening]
    held.gate.set()

    assert [type(error) for error in errors] == [StateError, StateError]
    assert not list(own_tasks())


async def test_closing_at_every_turn_of_opening(server: FakeComfy) -> None:
    """Open or StateError, and nothing stays."""
    ends = set()
    for turns in range(60):
        client = ComfyClient(server.url, limits=FAST)
        opening = asyncio.create_task(client.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.aclose()
        ends.add(type(await outcome(opening)))
        assert not list(own_tasks())

    assert ends == {StateError, type(None)}


async def test_refreshing_ends_when_the_client_is_closed(server: FakeComfy, client: ComfyClient) -> None:
    """All of several calls."""
    server.accept_sockets = False
    refreshing = [asyncio.create_task(client.refresh_socket()) for _ in range(2)]
    await server.until_called("/ws", 2)
    await asyncio.wait_for(client.aclose(), 10)

    assert [type(await outcome(task)) for task in refreshing] == [StateError, StateError]


async def test_a_refresh_that_is_cancelled_leaves_a_socket(server: FakeComfy, client: ComfyClient) -> None:
    """At every turn: runs need one."""
    for turns in range(20):
        task = asyncio.create_task(client.refresh_socket())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: client.connected)

    assert await client.run(tiny_prompt())


Use = Callable[[RestClient], Awaitable[object]]
USES: dict[str, Use] = {
    "queue": lambda rest: rest.queue(),
    "delete": lambda rest: rest.delete(["a"]),
    "view": lambda rest: rest.view("a.png"),
    "view_to": lambda rest: rest.view_to(io.BytesIO(), "a.png"),
    "upload": lambda rest: rest.upload(b"x" * 3_000_000, name="a.png"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("whole_session", [False, True])
async def test_requests_under_way_end_with_a_connection_error(
    server: FakeComfy, held: Held, use: Use, *, whole_session: bool
) -> None:
    """Those that wait for an answer, and those that wait for a free connection."""
    held.paths = ("/",)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        rest = RestClient(session, server.url)
        requests = [asyncio.ensure_future(use(rest)) for _ in range(2)]
        await until(lambda: server.calls)
        if whole_session:
            await session.close()
        else:
            rest.close()
        errors = [await outcome(request) for request in requests]
        late = await outcome(asyncio.ensure_future(use(rest)))

    assert [type(error) for error in [*errors, late]] == [ServerConnectionError] * 3


async def test_requests_of_the_client_end_at_once(server: FakeComfy, client: ComfyClient, held: Held) -> None:
    """Also while a withdrawal is waited for."""
    server.script = stay_pending
    run = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    held.paths = ("/queue", "/view")
    view = asyncio.create_task(client.rest.view("a.png"))
    await server.until_called("/view")
    closing = asyncio.create_task(client.aclose())

    assert isinstance(await outcome(view), ServerConnectionError)
    assert isinstance(await outcome(run), ExecutionInterrupted)
    assert not closing.done()
    held.gate.set()
    await closing
    assert not server.pending


async def test_closing_at_every_turn_of_a_run(server: FakeComfy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result or ExecutionInterrupted, never a cancellation; StateError only where it had not begun."""
    monkeypatch.setattr(withdraw, "_LOOKS", (0.0, 0.002, 0.005, 0.02))
    for script, expected in ((run_until_interrupted, {ExecutionInterrupted}), (succeed, None)):
        server.script = script
        ends: list[type[object]] = []
        for turns in range(100):
            client = ComfyClient(server.url, limits=FAST)
            await client.open()
            events: list[object] = []
            run = asyncio.create_task(client.run(tiny_prompt(), on_progress=events.append))
            for _ in range(turns):
                await asyncio.sleep(0)
            await client.aclose()
            ends.append(type(await outcome(run)))
            assert not list(own_tasks())
            assert turns == 0 or run.done()
        assert ends[0] is StateError
        assert set(ends[1:]) == (expected or {ExecutionInterrupted, type(None)})
    await until(lambda: not server.pending and not server.running)


async def test_a_task_that_ran_can_go_on_after_the_close(server: FakeComfy, client: ComfyClient, held: Held) -> None:
    """The end of its request, and of the run, leave no cancellation in it."""
    held.paths = ("/prompt",)

    async def caller() -> int:
        with pytest.raises(ExecutionInterrupted):
            await client.run(tiny_prompt())
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    task = asyncio.create_task(caller())
    await server.until_called("/prompt")
    await client.aclose()

    assert await asyncio.wait_for(task, 10) == 0


@pytest.mark.parametrize("early", [False, True], ids=["amid it", "before its first step"])
async def test_closing_goes_on_where_every_task_is_cancelled(
    server: FakeComfy, client: ComfyClient, held: Held, *, early: bool
) -> None:
    """As ``asyncio.run`` does at Ctrl-C: the prompt is taken off, and who waits for the close is not cancelled."""
    server.script = stay_pending
    run = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    held.paths = ("/queue",)
    closing = asyncio.create_task(client.aclose())
    if early:
        await asyncio.sleep(0)
    else:
        await until(lambda: "/queue" in server.paths("POST"))
    victims = list(own_tasks())
    for task in victims:
        task.cancel()
    held.gate.set()
    await asyncio.wait_for(closing, 10)
    await client.aclose()

    assert {"discomfort-close", "discomfort-withdraw"} <= {task.get_name() for task in victims}
    assert isinstance(await outcome(run), ExecutionInterrupted)
    assert not server.pending
    assert not list(own_tasks())


async def test_closing_again_after_a_cancelled_close(server: FakeComfy, client: ComfyClient, held: Held) -> None:
    """The caller of the first one was cancelled as well; the second one does the rest."""
    server.script = stay_pending
    run = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    held.paths = ("/queue",)
    closing = asyncio.create_task(client.aclose())
    await until(lambda: "/queue" in server.paths("POST"))
    for task in [closing, *own_tasks()]:
        task.cancel()
    await asyncio.wait([closing])
    held.gate.set()
    await client.aclose()

    assert closing.cancelled()
    assert isinstance(await outcome(run), ExecutionInterrupted)
    assert not server.pending


async def test_a_withdrawal_that_somebody_else_cancels(server: FakeComfy, client: ComfyClient, held: Held) -> None:
    """The run ends as it does without that; the close takes the prompt off."""
    server.script = stay_pending
    runs: list[PromptRun] = []
    task = asyncio.create_task(client.run(tiny_prompt(), timeout=0.3, on_run=runs.append))
    await server.until_called("/prompt")
    held.paths = ("/queue",)
    await until(lambda: "/queue" in server.paths("POST"))
    for withdrawal in [each for each in own_tasks() if each.get_name() == "discomfort-withdraw"]:
        withdrawal.cancel()
    end = await outcome(task)
    assert isinstance(end, RunTimeout)
    assert "may still run it" in str(end)
    held.gate.set()
    await client.aclose()

    assert not server.pending


async def test_a_withdrawal_after_the_close_ends_at_once(server: FakeComfy) -> None:
    """Nothing tries for minutes with a session that is closed."""
    client = ComfyClient(server.url, limits=Limits(withdraw=1))
    await client.open()
    assert client._parts is not None
    parts = client._parts
    await client.aclose()

    assert await asyncio.wait_for(parts.withdrawals.start(["a"], uncertain=[]), 10) is False
