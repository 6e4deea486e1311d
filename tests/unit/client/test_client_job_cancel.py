"""Taking prompts off a server by the one request that newer servers have for it (JOB_CANCEL)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from unit.client.fake_comfy import FAST, FakeComfy, Job, own_tasks, run_until_interrupted, stay_pending, tiny_prompt
from waiting import until

from discomfort.client import withdraw
from discomfort.client.comfy import ComfyClient

IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(8)]
CANCEL = [f"/api/jobs/{prompt_id}/cancel" for prompt_id in IDS]


@pytest.fixture
async def client(server: FakeComfy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ComfyClient]:
    """An open client that knows that the server has the request."""
    monkeypatch.setattr(withdraw, "_LOOKS", (0.0, 0.002, 0.005, 0.02))
    server.version = "0.33.0"
    opened = ComfyClient(server.url, limits=FAST)
    await opened.open()
    await opened.features()
    yield opened
    await opened.aclose()
    assert not list(own_tasks())


async def begin(server: FakeComfy, client: ComfyClient, count: int = 1) -> list[asyncio.Task[Any]]:
    """Runs whose prompts the server has, and said so: nothing is looked for again then."""
    runs = [asyncio.create_task(client.run(tiny_prompt(), prompt_id=prompt_id)) for prompt_id in IDS[:count]]
    await until(lambda: len(client.runs) == count and all(run.accepted for run in client.runs))
    return runs


async def cancelled(*runs: asyncio.Task[Any]) -> None:
    """Cancel and wait for the end."""
    for run in runs:
        run.cancel()
    ends = await asyncio.gather(*runs, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


def by_ladder(server: FakeComfy) -> list[str]:
    """The requests that older servers need."""
    return [path for path in server.paths("POST") if path in {"/queue", "/interrupt"}]


@pytest.mark.parametrize("script", [stay_pending, run_until_interrupted])
async def test_one_request_whatever_the_prompt_does(
    server: FakeComfy, client: ComfyClient, script: Callable[[Job], Awaitable[None]]
) -> None:
    """Queued or running: it is gone, and nothing was deleted or interrupted by the older requests."""
    server.script = script
    await cancelled(*await begin(server, client))

    assert server.pending == server.running == {}
    assert CANCEL[0] in server.paths("POST")
    assert by_ladder(server) == []


async def test_other_prompts_are_not_touched(server: FakeComfy, client: ComfyClient) -> None:
    """Neither a running nor a queued one of somebody else."""
    server.script = run_until_interrupted
    mine, other = await begin(server, client, 2)
    await cancelled(mine)

    assert list(server.running) == [IDS[1]]
    assert CANCEL[1] not in server.paths("POST")
    await cancelled(other)


async def test_an_interrupt_that_is_forgotten_is_sent_again(server: FakeComfy, client: ComfyClient) -> None:
    """ComfyUI clears its flag when it starts a prompt, so one that comes between taking and starting it is lost."""
    forgotten = False

    async def forget(request: web.Request) -> web.Response | None:
        nonlocal forgotten
        if request.path == CANCEL[0] and not forgotten:
            forgotten = True
            return web.json_response({"cancelled": True})
        return None

    server.script, server.fault = run_until_interrupted, forget
    await cancelled(*await begin(server, client))

    assert server.running == {}
    assert server.paths("POST").count(CANCEL[0]) == 2


async def test_a_prompt_that_starts_meanwhile(server: FakeComfy, client: ComfyClient) -> None:
    """It was queued when the run was cancelled, and runs when the request arrives."""

    async def start_first(request: web.Request) -> None:
        if request.path == CANCEL[0] and IDS[0] in server.pending:
            await server.jobs[IDS[0]].start()

    async def wait(job: Job) -> None:
        await job.interrupted.wait()
        job.record({}, success=False)

    server.script, server.fault = wait, start_first
    await cancelled(*await begin(server, client))

    assert server.running == server.pending == {}


async def test_a_prompt_that_ends_meanwhile(server: FakeComfy, client: ComfyClient) -> None:
    """The server says that there was nothing to cancel; its record stays."""

    async def end_first(request: web.Request) -> None:
        if request.path == CANCEL[0] and IDS[0] not in server.history:
            server.jobs[IDS[0]].record()

    server.script, server.fault = stay_pending, end_first
    await cancelled(*await begin(server, client))

    assert list(server.history) == [IDS[0]]
    assert server.paths("POST").count(CANCEL[0]) == 1


async def test_several_are_deleted_by_one_request(server: FakeComfy, client: ComfyClient) -> None:
    """ComfyUI copies its queue for each cancellation; only the one that runs needs it."""
    server.script = stay_pending
    runs = await begin(server, client, 6)
    await server.jobs[IDS[3]].start()
    closing = asyncio.create_task(client.aclose())
    await server.until_called(CANCEL[3])
    server.jobs[IDS[3]].record({}, success=False)
    await closing
    await asyncio.gather(*runs, return_exceptions=True)

    assert server.pending == {}
    assert {path for path in server.paths("POST") if path in CANCEL} == {CANCEL[3]}
    assert server.bodies("/queue")[0] == {"delete": IDS[:6]}
    assert server.bodies("/interrupt") == []


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_a_server_that_does_not_know_it(server: FakeComfy, client: ComfyClient, status: int) -> None:
    """Whatever its version says: the older requests do it, and it is not asked again."""

    async def refuse(request: web.Request) -> web.Response | None:
        return web.Response(status=status) if request.path in CANCEL else None

    server.script, server.fault = run_until_interrupted, refuse
    for run in await begin(server, client, 3):
        await cancelled(run)

    assert server.running == {}
    assert sum(path in CANCEL for path in server.paths("POST")) == 1
    assert {body["prompt_id"] for body in server.bodies("/interrupt")} == set(IDS[:3])


@pytest.mark.parametrize(("version", "asked"), [("0.3.64", False), ("0.25.9", False), (None, True)])
async def test_older_and_unknown_servers(server: FakeComfy, version: str | None, asked: bool) -> None:
    """One whose version is too old is not asked; one without a version is, and answers."""
    server.version, server.script = version, run_until_interrupted
    async with asyncio.timeout(60):
        client = ComfyClient(server.url, limits=FAST)
        await client.open()
        await cancelled(*await begin(server, client))
        await client.aclose()

    assert server.running == {}
    assert (CANCEL[0] in server.paths("POST")) is asked
    assert by_ladder(server)


async def test_an_error_of_the_server_is_not_an_answer(
    server: FakeComfy, client: ComfyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500 is told in the log, and the caller is not held up by it."""

    async def fail(request: web.Request) -> web.Response | None:
        return web.Response(status=500) if request.path in CANCEL else None

    server.script, server.fault = run_until_interrupted, fail
    (run,) = await begin(server, client)
    await cancelled(run)
    assert "could not be taken off the server" in caplog.text
    assert "500" in caplog.text
    server.fault = None
    server.jobs[IDS[0]].interrupted.set()


async def test_cancellation_at_every_turn(server: FakeComfy, client: ComfyClient) -> None:
    """From before the first request to waiting for the end: no prompt stays on the server."""
    server.script = run_until_interrupted
    for turns in range(100):
        run = asyncio.create_task(client.run(tiny_prompt(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancelled(run)
    # What was given up while it was being sent may still arrive.
    await asyncio.wait_for(client.aclose(), 30)

    assert 0 < len(server.jobs) < 100, "some were struck before they were sent, some after"
    assert server.pending == server.running == {}
