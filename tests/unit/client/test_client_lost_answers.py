"""POST /prompt without an answer of the server itself: the prompt is found, or taken off, but never left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web
from unit.client.fake_comfy import FakeComfy, Job, stay_pending, succeed, tiny_prompt
from waiting import until

from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import ExecutionInterrupted, ServerResponseError

Answer = Callable[[], web.Response]
NO_ANSWERS: dict[str, Answer] = {
    **{str(status): lambda status=status: web.Response(status=status) for status in (408, 429, 502, 503, 504, 524)},
    "500": lambda: web.Response(status=500, text="Server got itself in trouble"),
    "a page": lambda: web.Response(text="<html>please wait"),
}


@pytest.fixture(params=NO_ANSWERS.values(), ids=NO_ANSWERS)
def no_answer(request: pytest.FixtureRequest) -> Answer:
    """What a proxy answers, or a server whose own answer got lost."""
    answer: Answer = request.param
    return answer


@pytest.mark.parametrize("quick", [False, True], ids=["queued", "done"])
async def test_the_run_goes_on(server: FakeComfy, client: ComfyClient, no_answer: Answer, *, quick: bool) -> None:
    """The server has the prompt; it is not sent again."""

    async def accept(job: Job) -> web.Response:
        server.queue_job(job)
        if quick:
            await until(lambda: server.history)
        return no_answer()

    async def after_lookup(job: Job) -> None:
        await server.until_called("/queue", 2)
        await succeed(job)

    server.post = accept
    server.script = succeed if quick else after_lookup

    assert await client.run(tiny_prompt())
    assert len(server.bodies("/prompt")) == 1
    assert server.bodies("/queue") == []


async def test_a_prompt_that_did_not_arrive(server: FakeComfy, client: ComfyClient, no_answer: Answer) -> None:
    """The answer is the error."""

    async def lose(_: Job) -> web.Response:
        return no_answer()

    server.post = lose
    with pytest.raises(ServerResponseError) as caught:
        await client.run(tiny_prompt())

    assert caught.value.status == no_answer().status
    assert caught.value.method == "POST"
    assert len(server.bodies("/prompt")) == 1


async def test_a_prompt_that_arrives_after_the_error(server: FakeComfy, client: ComfyClient, no_answer: Answer) -> None:
    """A proxy may hold the request. It is taken off, as nobody waits for it any more."""
    lost: list[Job] = []

    async def hold(job: Job) -> web.Response:
        lost.append(job)
        return no_answer()

    async def arrive(request: web.Request) -> None:
        if request.method == "POST" and request.path == "/queue" and len(server.bodies("/queue")) == 2:
            server.queue_job(lost[0])

    server.script, server.post, server.fault = stay_pending, hold, arrive
    with pytest.raises(ServerResponseError):
        await client.run(tiny_prompt())
    await until(lambda: lost[0].prompt_id in server.jobs and not server.pending)


async def test_a_server_that_cannot_be_asked(server: FakeComfy, client: ComfyClient, no_answer: Answer) -> None:
    """Patience ends; the prompt is taken off when the server answers again."""

    async def accept(job: Job) -> web.Response:
        server.queue_job(job)
        return no_answer()

    async def unavailable(request: web.Request) -> web.Response | None:
        return web.Response(status=503) if request.path == "/queue" else None

    server.script, server.post, server.fault = stay_pending, accept, unavailable
    with pytest.raises(ServerResponseError):
        await client.run(tiny_prompt())
    assert server.pending
    server.fault = None
    await until(lambda: not server.pending)


async def test_closing_while_it_is_looked_for(server: FakeComfy, client: ComfyClient, no_answer: Answer) -> None:
    """The close takes it off."""
    hold = asyncio.Event()

    async def accept(job: Job) -> web.Response:
        server.queue_job(job)
        return no_answer()

    async def slow(request: web.Request) -> None:
        if request.method == "GET" and request.path == "/queue" and not hold.is_set():
            await hold.wait()

    server.script, server.post, server.fault = stay_pending, accept, slow
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/queue")
    closing = asyncio.create_task(client.aclose())
    with pytest.raises(ExecutionInterrupted):
        await task
    hold.set()
    await closing

    assert not server.pending


@pytest.mark.parametrize("status", [401, 403, 404, 413])
async def test_a_refusal_is_believed(server: FakeComfy, client: ComfyClient, status: int) -> None:
    """Nothing is looked for."""

    async def refuse(_: Job) -> web.Response:
        return web.Response(status=status)

    server.post = refuse
    with pytest.raises(ServerResponseError):
        await client.run(tiny_prompt())

    assert "/queue" not in server.paths()


async def test_a_withdrawal_that_a_proxy_answers(server: FakeComfy, client: ComfyClient, no_answer: Answer) -> None:
    """It is tried again, where the server itself has not answered."""
    answers = [no_answer()] if no_answer().status not in {200, 500} else []

    async def unavailable(request: web.Request) -> web.Response | None:
        return answers.pop() if answers and request.method == "POST" and request.path == "/queue" else None

    server.script, server.fault = stay_pending, unavailable
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: not server.pending)

    assert task.cancelled()
    assert not answers
