"""A server or a socket that ends at any moment of a run: a result or a typed error in the time that is documented."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from unit.client.fake_comfy import FAST, FakeComfy, own_tasks, stay_pending, succeed, tiny_prompt
from waiting import until

from discomfort.client import multiplexer, rest
from discomfort.client.comfy import ComfyClient
from discomfort.client.runs import Limits
from discomfort.exceptions import ServerConnectionError

SHORT = Limits(
    connect=30, poll=0.02, poll_blind=0.02, request=0.05, post=0.05, refused=0.05, silent=0.2, lost=0.02, withdraw=0.05
)
"""For servers that do not come back."""

TURNS = 80
"""Turns of the event loop in which a run comes to its wait, or to its end, with room to spare."""


async def outcome(task: asyncio.Task[Any]) -> BaseException | None:
    """How a task ends; its cancellation counts, too."""
    await asyncio.wait_for(asyncio.wait([task]), 30)
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def pass_turns(turns: int) -> None:
    """Let the event loop go round."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_the_socket_lost_at_every_turn(
    server: FakeComfy, client: ComfyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no run its result, and the socket comes back."""
    monkeypatch.setattr(multiplexer, "BACKOFF_FIRST", 0.001)
    monkeypatch.setattr(multiplexer, "BACKOFF_LAST", 0.001)
    server.script = succeed
    for turns in range(TURNS):
        if turns % 3 == 0:
            client.forget_definitions()
        run = asyncio.create_task(client.run(tiny_prompt(turns), on_progress=lambda _: None))
        await pass_turns(turns)
        await server.drop_sockets()
        assert await outcome(run) is None
    await until(lambda: client.connected)


async def test_a_server_killed_at_every_turn() -> None:
    """A result where it had ended, else the error after ``limits.silent``."""
    ends = set()
    for turns in range(0, TURNS, 2):
        server = FakeComfy()
        server.script = stay_pending if turns % 4 else succeed
        await server.start()
        client = ComfyClient(server.url, limits=SHORT)
        await client.open()
        run = asyncio.create_task(client.run(tiny_prompt(), on_progress=lambda _: None))
        await pass_turns(turns)
        await kill(server)
        ends.add(type(await outcome(run)))
        await client.aclose()
        await server.close()
        assert not list(own_tasks())

    assert ends <= {ServerConnectionError, type(None)}
    assert ServerConnectionError in ends


async def kill(server: FakeComfy) -> None:
    """Break every connection, now and from now on, as the kernel does for a process that was killed."""

    async def dead(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.fault = dead
    runner = server.server.runner
    assert runner is not None
    assert runner.server is not None
    for connection in list(runner.server.connections):
        if connection.transport is not None:
            connection.transport.abort()


class StoppedServer:
    """Answers nothing from the first request for ``stage`` on, until ``hold`` is set. Connections stay."""

    def __init__(self, stage: str) -> None:
        self.stage, self.stopped, self.hold = stage, asyncio.Event(), asyncio.Event()

    async def stop(self, request: web.Request) -> None:
        """The server's fault."""
        if request.path.startswith(self.stage):
            self.stopped.set()
        if self.stopped.is_set():
            await self.hold.wait()


STAGES = ["/object_info", "/prompt", "/queue", "/history"]


@pytest.mark.parametrize("stage", STAGES)
async def test_a_server_that_stops_at_every_request(
    server: FakeComfy, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """As with SIGSTOP: connections stay, and nothing is answered any more."""
    monkeypatch.setattr(rest.RestClient.object_info, "__kwdefaults__", {"deadline": 0.05})
    gate = StoppedServer(stage)
    server.script, server.fault = succeed if stage == "/history" else stay_pending, gate.stop
    client = ComfyClient(server.url, limits=SHORT)
    await client.open()
    run = asyncio.create_task(client.run(tiny_prompt(), on_progress=lambda _: None))
    await gate.stopped.wait()
    assert isinstance(await outcome(run), ServerConnectionError)
    await asyncio.wait_for(client.aclose(), 30)
    gate.hold.set()
    assert not list(own_tasks())


@pytest.mark.parametrize("stage", STAGES)
async def test_a_server_that_stops_for_a_while(server: FakeComfy, client: ComfyClient, stage: str) -> None:
    """It goes on as if nothing had been."""
    gate = StoppedServer(stage)
    server.script, server.fault = succeed, gate.stop
    run = asyncio.create_task(client.run(tiny_prompt(), on_progress=lambda _: None))
    await gate.stopped.wait()
    await server.drop_sockets()
    gate.hold.set()

    assert await outcome(run) is None


Use = Callable[[ComfyClient], Awaitable[object]]
USES: dict[str, Use] = {
    "definitions": lambda client: client.definitions(),
    "view": lambda client: client.rest.view("a.png"),
    "upload": lambda client: client.rest.upload(b"x" * 3_000_000, name="a.png"),
    "queue": lambda client: client.rest.queue(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_requests_at_a_server_that_is_killed(use: Use) -> None:
    """Each is a typed error at once, and nothing keeps the client from closing."""
    server = FakeComfy()
    await server.start()
    client = ComfyClient(server.url, limits=FAST)
    await client.open()
    hold = asyncio.Event()

    async def hang(_: web.Request) -> None:
        await hold.wait()

    calls = len(server.calls)
    server.fault = hang
    task = asyncio.ensure_future(use(client))
    await until(lambda: len(server.calls) > calls)
    await kill(server)
    await asyncio.wait([task], timeout=10)
    hold.set()

    assert isinstance(task.exception(), ServerConnectionError)
    await asyncio.wait_for(client.aclose(), 10)
    await server.close()
