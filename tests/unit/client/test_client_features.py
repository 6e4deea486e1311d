"""Version and features: read once per connection, never a reason to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from unit.client.fake_comfy import DEFINITIONS, FAST, FakeComfy, tiny_prompt
from waiting import until

from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import MissingNodesError, StateError, ValidationError
from discomfort.server_features import JOB_CANCEL, PROMPT_UUIDS

COMBO = {
    **DEFINITIONS,
    "Show": {
        "input": {"required": {"mode": ["COMBO", {"options": ["a", "b"]}]}},
        "output": [],
        "output_node": True,
    },
}


@asynccontextmanager
async def opened(server: FakeComfy) -> AsyncIterator[ComfyClient]:
    """A client that connects once the server is as the test wants it."""
    client = ComfyClient(server.url, limits=FAST)
    await client.open()
    try:
        yield client
    finally:
        await client.aclose()


async def test_read_once_per_connection(server: FakeComfy) -> None:
    """Runs do not ask again; a new connection does, since another server may answer there."""
    server.version, server.features = "0.33.0", {"assets": False}
    client = ComfyClient(server.url, limits=FAST)
    await client.open()
    for _ in range(2):
        await client.run(tiny_prompt())
    features = await client.features()
    assert (features.version, features.has(JOB_CANCEL), features.features) == ("0.33.0", True, {"assets": False})
    assert server.paths().count("/system_stats") == server.paths().count("/features") == 1

    server.version = "0.3.64"
    await server.drop_sockets()
    await server.until_called("/ws", 2)
    assert (await client.features()).version == "0.3.64"
    await client.aclose()
    with pytest.raises(StateError):
        await client.features()


@pytest.mark.parametrize("status", [404, 500, 401])
async def test_a_server_that_tells_nothing(server: FakeComfy, status: int) -> None:
    """Runs work, and the problem is told in the report."""

    async def refuse(request: web.Request) -> web.Response | None:
        return web.Response(status=status) if request.path in {"/system_stats", "/features"} else None

    server.fault = refuse
    async with opened(server) as client:
        assert await client.run(tiny_prompt())
        features = await client.features()
    assert (features.version, features.has(PROMPT_UUIDS)) == (None, None)
    assert str(status) in features.problem


async def test_connecting_does_not_wait_for_it(server: FakeComfy) -> None:
    """Both answers may take as long as they like: the socket is there, and closing ends the requests."""
    hold = asyncio.Event()

    async def slow(request: web.Request) -> None:
        if request.path in {"/system_stats", "/features"}:
            await hold.wait()

    server.fault = slow
    client = ComfyClient(server.url, limits=FAST)
    await asyncio.wait_for(client.open(), 30)
    assert client.connected
    asking = asyncio.create_task(client.features())
    await server.until_called("/features")
    await client.aclose()
    with pytest.raises(StateError, match="closed"):
        await asking
    hold.set()


async def test_a_server_that_cannot_be_reached_is_asked_again(server: FakeComfy) -> None:
    """Only what a server said is kept."""
    client = ComfyClient(server.url, limits=FAST)
    await client.open()
    assert (await client.features()).problem
    await server.close()
    await until(lambda: client._open_parts().facts.known is None)
    assert "connect" in (await client.features()).problem
    assert client._open_parts().facts.known is None
    await client.aclose()


@pytest.mark.parametrize(("version", "sent"), [("0.3.64", 0), (None, 0), ("0.7.9", 0), ("0.8.0", 1), ("a fork", 1)])
async def test_combos_are_checked_where_the_server_does_not(server: FakeComfy, version: str | None, sent: int) -> None:
    """A newer server compares the value itself, and knows which nodes have a check of their own."""
    server.version, server.definitions = version, COMBO

    async with opened(server) as client:
        prompt = {"1": {"class_type": "Show", "inputs": {"mode": "c"}}}
        if sent:
            assert await client.run(prompt)
        else:
            with pytest.raises(ValidationError, match="the prompt was not sent"):
                await client.run(prompt)
    assert len(server.bodies("/prompt")) == sent


OLD = {"1": {"class_type": "Old", "inputs": {"width": 8}}, "2": tiny_prompt()["2"]}
REPLACEMENTS = {"Old": [{"new_node_id": "EmptyImage", "old_node_id": "Old", "input_mapping": None}]}


@pytest.mark.parametrize("version", ["0.33.0", None])
async def test_a_class_that_the_server_replaces_is_not_missing(server: FakeComfy, version: str | None) -> None:
    """Its list is asked for once, and only if a class is missing; the node is sent with the title that it needs."""
    server.version, server.replacements = version, REPLACEMENTS
    async with opened(server) as client:
        await client.run(tiny_prompt())
        assert "/node_replacements" not in server.paths()
        for _ in range(2):
            await client.run(OLD)
        assert server.paths().count("/node_replacements") == 1
        with pytest.raises(MissingNodesError, match="Older"):
            await client.run({**OLD, "3": {"class_type": "Older", "inputs": {}}})
    assert server.bodies("/prompt")[1]["prompt"]["1"]["_meta"] == {"title": "Old"}
    assert "_meta" not in OLD["1"]


@pytest.mark.parametrize(("version", "asked"), [("0.13.0", 0), ("0.14.0", 1), (None, 1)])
async def test_a_server_without_replacements(server: FakeComfy, version: str | None, asked: int) -> None:
    """The class is missing, whether the server has such a list or not."""
    server.version = version
    async with opened(server) as client:
        with pytest.raises(MissingNodesError, match="Old"):
            await client.run(OLD)
    assert min(server.paths().count("/node_replacements"), 1) == asked
