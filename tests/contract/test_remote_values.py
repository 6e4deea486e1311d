"""Values over HTTP, to a server with our nodes that shares no files with this program (tier 2)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shlex
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, node

from discomfort import ComfyConnector, Discomfort, NodeList, Reference, WorkflowContext
from discomfort.context.exchange import TOKEN_HEADER, VALUES
from discomfort.discovery import node_pack
from discomfort.exceptions import ConfigurationError

SECRET = "contract-token-of-32-characters-"
HEADERS = {TOKEN_HEADER: SECRET}


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


INVERT: Prompt = {"1": port("in"), "2": node("ImageInvert", image=["1", 0]), "3": port("out", ["2", 0])}
BACK: Prompt = {"1": port("out"), "2": node("ImageInvert", image=["1", 0]), "3": port("end", ["2", 0])}
FIRST: Prompt = {
    "1": port("in"),
    "2": node("LatentFromBatch", samples=["1", 0], batch_index=1, length=1),
    "3": port("out", ["2", 0]),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """A server as somebody else starts it: with the nodes and a token, and with no folders of ours."""
    settings: Any = {**engine.settings, "browser": "lazy", "environment": {"DISCOMFORT_TOKEN": SECRET}}
    if not engine.real:
        more = shlex.join(node_pack.emulator_options())
        settings["api_command_line"] = f"{settings['api_command_line']} {more}"
    async with await ComfyConnector.launch(**settings) as connector:
        yield connector


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def attached(server: ComfyConnector) -> AsyncIterator[Discomfort]:
    """This program, which knows the server's address and its token."""
    async with await Discomfort.attach(server.server_address, token=SECRET, browser="lazy") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def http(server: ComfyConnector) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP to the server."""
    async with aiohttp.ClientSession(server.server_address) as session:
        yield session


@pytest.fixture
def context() -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


def picture(seed: int, *, batch: int = 1, height: int = 80) -> Any:
    """A picture of random numbers, which eight bits do not hold."""
    return np.random.default_rng(seed).random((batch, height, 96, 3), np.float32)


def digest_of(context: WorkflowContext, unique_id: str) -> str:
    """The name of a value on the server."""
    with context._view() as view:
        data = view.storage.path_of(view.records[unique_id].file or "").read_bytes()
    return hashlib.sha256(data).hexdigest()


async def test_pictures(attached: Discomfort, context: WorkflowContext, http: aiohttp.ClientSession) -> None:
    """They come back exactly, are sent once, and one that the server made is not sent at all."""
    image, before = picture(1, batch=2), attached.Worker._server.values().sent
    results = await attached.run(INVERT, {"in": image}, context=context)
    assert np.array_equal(np.asarray(results["out"]), 1 - image)
    assert (context.get_storage_info("out") or {})["storage_type"] == "ram"
    assert attached.Worker._server.values().sent == before + 1

    again = await attached.run(INVERT, {"in": image.copy()}, use_ram=False, context=context)
    assert np.array_equal(np.asarray(again["out"]), 1 - image)
    back = await attached.run(BACK, context=context)
    assert np.allclose(np.asarray(back["end"]), image, atol=1e-6)
    assert attached.Worker._server.values().sent == before + 1

    async with http.head(f"/api{VALUES}/{digest_of(context, 'in')}", headers=HEADERS) as answer:
        assert answer.status == 200
    async with http.get(f"{VALUES}/{digest_of(context, 'out')}", headers=HEADERS) as answer:
        assert hashlib.sha256(await answer.read()).hexdigest() == digest_of(context, "out")


async def test_latents(attached: Discomfort) -> None:
    """A dictionary of tensors."""
    samples = np.random.default_rng(2).random((2, 4, 64, 64), np.float32)
    results = await attached.run(FIRST, {"in": {"samples": samples}})
    assert np.array_equal(np.asarray(results["out"]["samples"]), samples[1:])


async def test_lists(attached: Discomfort) -> None:
    """Each picture of a list with its own size."""
    pictures = NodeList([picture(3), picture(4, height=48)])
    results = await attached.run(INVERT, {"in": pictures})
    assert type(results["out"]) is NodeList
    assert all(
        np.array_equal(np.asarray(made), 1 - given) for made, given in zip(results["out"], pictures, strict=True)
    )


@pytest.mark.parametrize("value", [{"a": [1, None, "ü"]}, ["x" * 40_000, "y" * 40_000]], ids=["small", "large"])
async def test_texts(attached: Discomfort, value: Any) -> None:
    """A small value travels in the prompt and in the history, a large one as a file."""
    through: Prompt = {"1": port("in"), "2": node("StandInAny", value=["1", 0]), "3": port("out", ["2", 0])}
    results = await attached.run(through, {"in": value})
    assert results["out"] == value


async def test_value_that_the_server_lost(
    attached: Discomfort, context: WorkflowContext, http: aiohttp.ClientSession
) -> None:
    """It is sent again, also one that only a reference needs."""
    image, before = picture(5), attached.Worker._server.values().sent
    rules = attached.Tools.pass_by_rules
    rules["IMAGE"] = "ref"
    try:
        made = await attached.run(INVERT, {"in": image}, context=context)
    finally:
        rules["IMAGE"] = "val"
    assert isinstance(made["out"], Reference)
    async with http.delete(f"{VALUES}/{digest_of(context, 'in')}", headers=HEADERS) as answer:
        assert answer.status == 204
    results = await attached.run(BACK, context=context)
    assert np.allclose(np.asarray(results["end"]), image, atol=1e-6)
    assert attached.Worker._server.values().sent == before + 2


async def test_wrong_tokens(server: ComfyConnector, caplog: pytest.LogCaptureFixture) -> None:
    """An error at once, which shows no token; what was opened is closed."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationError, match="DISCOMFORT_TOKEN in the environment of that server") as caught:
        await Discomfort.attach(server.server_address, token="a-wrong-token-of-ours", browser="lazy")
    assert "a-wrong-token" not in caplog.text + str(caught.value) + repr(caught.value)
    with pytest.raises(ConfigurationError, match="16 to 512 visible characters") as caught:
        await Discomfort.attach(server.server_address, token="short", browser="lazy")
    assert "'short'" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="does not accept it"):
        await asyncio.to_thread(
            Discomfort.sync_attach, server.server_address, token="a-wrong-token-of-ours", browser="lazy"
        )
    with pytest.raises(ConfigurationError, match="unknown key; the nearest known key is TOKEN") as caught:
        await Discomfort.attach(server.server_address, tokn="another-secret-of-ours")  # type: ignore[call-arg]
    assert "another-secret" not in str(caught.value)


async def test_token_shows_nowhere(attached: Discomfort, http: aiohttp.ClientSession) -> None:
    """Neither in what the server tells everybody, nor in a report."""
    async with http.get("/object_info") as answer:
        assert SECRET not in await answer.text()
    assert SECRET not in str(await attached.Worker.diagnostics())


async def test_only_values_are_left(attached: Discomfort, http: aiohttp.ClientSession) -> None:
    """What is on the server afterwards is known by its digest, and expires."""
    await attached.run(INVERT, {"in": picture(6)})
    async with http.get(VALUES, headers=HEADERS) as answer:
        told = await answer.json()
    assert told["values"] > 0
    assert told["lifetime"] == 24 * 3600
