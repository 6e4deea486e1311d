"""The web service of the examples, behind uvicorn, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from examples.desk import EXAMPLES, Desk, server_of
from ports import first_port
from waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PORT = first_port(19288)
ENDLESS = {"KSampler.steps": 99999}


@pytest_asyncio.fixture
async def service(desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
    """The service, ready to be asked."""
    words = ("-m", "uvicorn", "web_service:app", "--port", str(PORT), "--log-level", "warning")
    program = desk.start(*words, path=EXAMPLES)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}") as session:

        async def answers() -> bool:
            assert program.poll() is None, program.communicate()[0]
            return await _health(session) == 200

        await until(answers, seconds=200)
        yield session


async def _health(session: aiohttp.ClientSession) -> int | None:
    try:
        async with session.get("/health") as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return None


async def _post(session: aiohttp.ClientSession, values: dict[str, object], **query: str) -> tuple[int, bytes]:
    async with session.post("/runs", json=values, params=query) as answer:
        return answer.status, await answer.read()


async def test_pictures_events_and_errors(service: aiohttp.ClientSession) -> None:
    """One request for a picture; or an id, its events as they come, and its picture."""
    status, picture = await _post(service, {"Positive.text": "a fox"}, wait="true")
    assert (status, picture[:4]) == (200, b"\x89PNG")

    _, prompt_id = await _post(service, {"Positive.text": "a wolf"})
    async with service.get(f"/runs/{prompt_id.decode()}/events") as answer:
        assert answer.content_type == "text/event-stream"
        lines = (await answer.text()).splitlines()
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert kinds[-1] == "done"
    assert [event["kind"] for event in events] == kinds
    assert {event["prompt_id"] for event in events} == {prompt_id.decode()}
    async with service.get(f"/runs/{prompt_id.decode()}/picture") as answer:
        assert await answer.read() not in {b"", picture}

    status, text = await _post(service, {"KSampler.steps": 0}, wait="true")
    assert status == 422
    assert b"'KSampler.steps'" in text
    async with service.get("/runs/unknown/picture") as answer:
        assert answer.status == 503


@pytest.mark.parametrize("way", ["picture", "events", "post"])
async def test_a_client_that_leaves_ends_its_run(service: aiohttp.ClientSession, way: str) -> None:
    """However it waited: the server takes the next run, which would otherwise wait for a quarter of an hour."""
    if way == "post":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await _post(service, ENDLESS, wait="true")
    else:
        _, prompt_id = await _post(service, ENDLESS)
        async with service.get(f"/runs/{prompt_id.decode()}/events") as answer:
            async for line in answer.content:
                if line == b"event: step\r\n":
                    break
            if way == "picture":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await service.get(f"/runs/{prompt_id.decode()}/picture")
            else:
                answer.close()

    async with asyncio.timeout(60):
        status, picture = await _post(service, {"Positive.text": way}, wait="true")
    assert (status, picture[:4]) == (200, b"\x89PNG")


async def test_a_dead_server_comes_back_without_a_request(service: aiohttp.ClientSession, desk: Desk) -> None:
    """The load balancer hears that it is ill, sends nothing, and hears that it is well again."""
    first = server_of(desk.started[0].pid)
    os.kill(first, signal.SIGKILL)

    async def is_ill() -> bool:
        return await _health(service) == 503

    async def is_well() -> bool:
        return await _health(service) == 200 and server_of(desk.started[0].pid) != first

    await until(is_ill)
    await until(is_well, seconds=200)
    assert (await _post(service, {}, wait="true"))[0] == 200
