"""Faults of the socket, the server and other people: every run ends, with its result or the true reason."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from unit.client.fake_comfy import (
    FAST,
    FakeComfy,
    Job,
    close_socket,
    stay_pending,
    succeed,
    tiny_prompt,
)
from waiting import until

from discomfort.client import multiplexer
from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import PromptLostError, ServerConnectionError, ServerDiedError, ServerResponseError


async def reconnected(server: FakeComfy, client: ComfyClient, sockets: int) -> None:
    """Wait until the server has seen that many sockets and the last one is in use."""
    await server.until_called("/ws", sockets)
    async with asyncio.timeout(10):
        assert client._parts is not None
        assert await client._parts.mux.wait_connected(10)


@pytest.mark.parametrize("orderly", [False, True])
async def test_a_socket_that_drops_mid_run_costs_nothing(
    server: FakeComfy, client: ComfyClient, *, orderly: bool
) -> None:
    """The end is found by the poll, and the next socket has a fresh id."""
    before = client.client_id

    async def drop(job: Job) -> None:
        await job.start()
        await (close_socket(server, before) if orderly else server.drop_sockets())
        await job.succeed()

    server.script = drop
    assert await client.run(tiny_prompt())
    await reconnected(server, client, 2)
    server.script = succeed
    assert await client.run(tiny_prompt())

    assert server.bodies("/prompt")[-1]["client_id"] == client.client_id != before
    assert len(server.first_messages) == 2


async def test_a_socket_that_drops_between_success_and_null(server: FakeComfy, client: ComfyClient) -> None:
    """The record was not there yet at the first, and the second never comes."""

    async def drop(job: Job) -> None:
        await job.start()
        await job.tell("execution_success")
        await server.drop_sockets()
        job.record()

    server.script = drop

    assert await client.run(tiny_prompt())


async def test_a_null_that_never_comes(server: FakeComfy, client: ComfyClient) -> None:
    """``execution_success`` alone ends in a look at the history, also while the socket works."""

    async def no_null(job: Job) -> None:
        await job.start()
        await job.tell("execution_success")
        job.record()

    server.script = no_null

    assert await client.run(tiny_prompt())


async def test_a_record_that_comes_late(server: FakeComfy, client: ComfyClient) -> None:
    """History may lag behind every message."""

    async def late(job: Job) -> None:
        await job.start()
        await job.tell("execution_success")
        await job.tell("executing", node=None)
        await server.until_called(f"/history/{job.prompt_id}", 2)
        job.record()

    server.script = late

    assert await client.run(tiny_prompt())


async def test_no_events_at_all(server: FakeComfy, client: ComfyClient) -> None:
    """A run is found by polling alone."""

    async def silent(job: Job) -> None:
        job.messages.append(["execution_success", {}])
        await server.until_called("/queue", 2)
        job.record()

    server.script = silent

    assert await client.run(tiny_prompt())


async def test_a_record_that_was_evicted(server: FakeComfy, client: ComfyClient) -> None:
    """The end was announced and the record is gone: lost, not hung."""

    async def evict(job: Job) -> None:
        await job.start()
        server.running.clear()
        await job.tell("executing", node=None)

    server.script = evict
    with pytest.raises(PromptLostError, match="it was running"):
        await client.run(tiny_prompt())


async def test_a_prompt_that_somebody_deletes(server: FakeComfy, client: ComfyClient) -> None:
    """Nobody is told; the poll finds it in neither place."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/queue")
    server.forget("p")
    with pytest.raises(PromptLostError, match="had not started"):
        await task


async def test_a_long_wait_in_the_queue_is_no_loss(server: FakeComfy, client: ComfyClient) -> None:
    """As long as the queue has it."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/queue", 8)
    await succeed(server.jobs["p"])

    assert "p" in await task


async def test_queue_is_asked_before_history(server: FakeComfy, client: ComfyClient) -> None:
    """A prompt that ends between the two answers is found in the second."""

    async def finish_behind_the_queue(request: web.Request) -> web.Response | None:
        if request.path == "/queue":
            job = server.jobs["p"]
            if "p" not in server.history:
                job.messages.append(["execution_success", {}])
                job.record()
            return web.json_response({"queue_running": [], "queue_pending": []})
        return None

    server.script = stay_pending
    server.fault = finish_behind_the_queue

    assert await client.run(tiny_prompt(), prompt_id="p")
    asked = [path for path in server.paths("GET") if path in {"/queue", "/history/p"}]
    assert asked == ["/queue", "/history/p"]


async def test_history_that_can_not_be_read(server: FakeComfy, client: ComfyClient) -> None:
    """A result that is not JSON makes it answer 500 for ever."""

    async def broken(request: web.Request) -> web.Response | None:
        return web.Response(status=500, text="Server got itself in trouble") if "history" in request.path else None

    server.fault = broken
    with pytest.raises(ServerResponseError, match="result that is not JSON") as caught:
        await client.run(tiny_prompt())

    assert caught.value.status == 500


async def test_history_that_fails_for_a_moment(server: FakeComfy, client: ComfyClient) -> None:
    """Two errors are forgiven."""
    failures = 0

    async def broken(request: web.Request) -> web.Response | None:
        nonlocal failures
        if "history" in request.path and failures < 2:
            failures += 1
            return web.Response(status=500)
        return None

    server.fault = broken

    assert await client.run(tiny_prompt())


async def abort(request: web.Request) -> web.Response:
    """Break the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize("quick", [False, True])
async def test_a_lost_answer_is_looked_up(server: FakeComfy, client: ComfyClient, *, quick: bool) -> None:
    """The prompt is there, queued or done already, and is not sent again."""

    async def accept_and_abort(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        job = Job(server, 0, await request.json())
        server.queue_job(job)
        return await abort(request)

    async def after_lookup(job: Job) -> None:
        await server.until_called("/queue", 2)
        await succeed(job)

    server.script = succeed if quick else after_lookup
    server.fault = accept_and_abort

    assert await client.run(tiny_prompt())
    assert len(server.bodies("/prompt")) == 1


async def test_a_prompt_that_never_arrived(server: FakeComfy, client: ComfyClient) -> None:
    """Looked up twice, then said so; not sent again."""

    async def lose(request: web.Request) -> web.Response | None:
        return await abort(request) if request.path == "/prompt" else None

    server.fault = lose
    with pytest.raises(ServerConnectionError, match="did not reach the server"):
        await client.run(tiny_prompt())

    assert len(server.bodies("/prompt")) == 1
    assert server.paths("GET").count("/queue") >= 2


async def test_a_server_that_dies_while_it_is_sent_a_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """It cannot be asked whether it has the prompt: the first error is raised when patience ends.

    The prompt is taken off when the server answers again, as nobody waits for it any more.
    """

    async def die(request: web.Request) -> web.Response | None:
        if request.path == "/prompt":
            server.queue_job(Job(server, 0, await request.json()))
        return await abort(request) if request.path != "/ws" else None

    server.script = stay_pending

    await client.definitions()
    server.fault = die
    with pytest.raises(ServerConnectionError, match="broke") as caught:
        await client.run(tiny_prompt())

    assert caught.value.__cause__ is not None
    assert len(server.bodies("/prompt")) == 1
    server.fault = None
    await until(lambda: not server.pending)


async def test_a_prompt_that_arrives_late_is_found(server: FakeComfy, client: ComfyClient) -> None:
    """A busy server reads a request whose sender has given up."""
    release = asyncio.Event()

    async def late(request: web.Request) -> web.Response | None:
        if request.path == "/queue":
            release.set()
        if request.path != "/prompt":
            return None
        job = Job(server, 0, await request.json())
        asyncio.get_running_loop().create_task(queue_later(job))
        return await abort(request)

    async def queue_later(job: Job) -> None:
        await release.wait()
        server.queue_job(job)

    server.fault = late

    assert await client.run(tiny_prompt())


async def test_a_server_that_refuses_for_long(server: FakeComfy, client: ComfyClient) -> None:
    """Nobody watches it: the run fails after the limit, and says for how long it waited."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/queue")
    await server.close()
    with pytest.raises(ServerConnectionError, match="not reachable for") as caught:
        await task

    assert isinstance(caught.value.__cause__, ServerConnectionError)


async def test_a_server_that_accepts_and_never_answers(server: FakeComfy) -> None:
    """The longer limit; requests time out one by one."""
    client = ComfyClient(
        server.url, limits=type(FAST)(poll=0.02, poll_blind=0.02, request=0.05, silent=0.2, withdraw=0.1)
    )
    await client.open()
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    hold = asyncio.Event()

    async def hang(_: web.Request) -> None:
        await hold.wait()

    server.fault = hang
    with pytest.raises(ServerConnectionError, match="no answer within"):
        await task
    hold.set()
    await client.aclose()


async def test_a_stall_shorter_than_the_limit_is_forgiven(server: FakeComfy) -> None:
    """Requests that time out while a model loads fail no run."""
    client = ComfyClient(server.url, limits=type(FAST)(poll=0.02, poll_blind=0.02, request=0.05, silent=30))
    await client.open()
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/prompt")
    hold = asyncio.Event()

    async def hang(_: web.Request) -> None:
        await hold.wait()

    server.fault = hang
    await server.until_called("/queue", 4)
    server.fault = None
    hold.set()
    await succeed(server.jobs["p"])

    assert "p" in await task
    await client.aclose()


async def test_death_that_is_known_is_the_reason(server: FakeComfy, client: ComfyClient) -> None:
    """``fail_pending`` reaches every run at once, with its own id."""
    server.script = stay_pending
    tasks = [asyncio.create_task(client.run(tiny_prompt(), prompt_id=name)) for name in "abc"]
    await server.until_called("/prompt", 3)
    client.fail_pending(lambda prompt_id: ServerDiedError("gone", prompt_id=prompt_id))
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [error.prompt_id for error in results if isinstance(error, ServerDiedError)] == list("abc")
    assert server.bodies("/queue") == []


async def test_death_goes_before_a_refused_connection(server: FakeComfy, client: ComfyClient) -> None:
    """Whoever watches the server knows more, a little later."""
    await client.definitions()
    await server.close()
    task = asyncio.create_task(client.run(tiny_prompt()))
    asyncio.get_running_loop().call_later(
        0.05, client.fail_pending, lambda prompt_id: ServerDiedError("killed", prompt_id=prompt_id)
    )
    with pytest.raises(ServerDiedError, match="killed"):
        await task


async def test_a_half_open_socket_is_replaced(
    server: FakeComfy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pings stay unanswered while HTTP works."""
    caplog.set_level(logging.INFO)
    client = ComfyClient(server.url, limits=type(FAST)(ping=0.02))
    server.answer_pings = False
    await client.open()
    before = client.client_id
    monkeypatch.setattr(multiplexer, "CLOSE_DEADLINE", 0.05)
    await reconnected(server, client, 2)

    assert client.client_id != before
    assert any("silent while the server answers" in record.message for record in caplog.records)
    await client.aclose()


async def test_a_socket_that_waits_for_a_busy_server_is_kept(server: FakeComfy) -> None:
    """Neither pings nor HTTP are answered: it is not the socket. Once the server answers, a new ping shows that."""
    client = ComfyClient(server.url, limits=type(FAST)(ping=0.5))
    await client.open()
    before = client.client_id
    server.answer_pings = False
    hold = asyncio.Event()

    async def hang(_: web.Request) -> None:
        await hold.wait()

    server.fault = hang
    await server.until_called("/prompt", 1)
    server.answer_pings = True
    server.fault = None
    heard = client._parts.mux.last_heard if client._parts is not None else 0.0
    hold.set()

    await until(lambda: client._parts is not None and client._parts.mux.last_heard > heard)
    assert await client.run(tiny_prompt())
    assert client.client_id == before
    await client.aclose()


async def test_refreshing_keeps_runs_under_way(server: FakeComfy, client: ComfyClient) -> None:
    """They are found by polling; new ones use the new socket."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/prompt")
    before = client.client_id
    await asyncio.gather(client.refresh_socket(), client.refresh_socket())
    await succeed(server.jobs["p"])
    server.script = succeed

    assert "p" in await task
    assert client.client_id != before
    assert before not in server.sockets
    assert await client.run(tiny_prompt())


async def test_garbage_and_strangers_on_the_socket(server: FakeComfy, client: ComfyClient) -> None:
    """Unknown types, broken frames and other people's prompts change nothing."""

    async def noisy(job: Job) -> None:
        for frame in (
            "",
            "{",
            '{"type": "logs", "data": {"entries": []}}',
            '{"type": "executing", "data": {"node": null}}',
        ):
            await server.send(job.client_id, frame)
        for blob in (b"", b"\0\0\0\x09junk", b"\0\0\0\x04\xff\xff\xff\xff", b"\0\0\0\x01"):
            await server.send(job.client_id, blob)
        await server.send(job.client_id, '{"type": "executing", "data": {"node": null, "prompt_id": "somebody else"}}')
        await succeed(job)

    server.script = noisy

    assert await client.run(tiny_prompt(), on_progress=lambda _: None)


async def test_a_message_of_megabytes(server: FakeComfy, client: ComfyClient) -> None:
    """Error messages hold whole inputs."""

    async def large(job: Job) -> None:
        await job.start()
        await job.tell("executed", node="2", output={"text": ["x" * 6_000_000]})
        await job.succeed()

    server.script = large

    assert await client.run(tiny_prompt())


async def test_messages_out_of_order(server: FakeComfy, client: ComfyClient) -> None:
    """A success before its nodes, a null before anything."""

    async def backwards(job: Job) -> None:
        job.record()
        await job.tell("execution_success")
        await job.tell("executing", node=None)
        await job.tell("executing", node="1")
        await job.tell("execution_start")

    server.script = backwards

    assert await client.run(tiny_prompt(), on_progress=lambda _: None)
