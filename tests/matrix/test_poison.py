"""What poisons a server: sent by others, or by nodes that no client can see through. The next run works all the same.

The prompts that the client itself refuses to send are in ``contract/test_traps.py``.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, picture_prompt, record_of, show_prompt, texts_of
from faults.test_server_dies import server_pid
from faults.traces import Trace
from matrix.faulty import Control, Faulty
from matrix.test_server_faults import runs
from PIL import Image
from unit.client.fake_comfy import FakeComfy, Job, tiny_prompt
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import (
    ExecutionError,
    RunTimeout,
    ServerDiedError,
    ServerResponseError,
    ValidationError,
)
from discomfort.server_features import release_of

LETHAL = {**picture_prompt(), "9": {"class_type": "EmptyImage", "inputs": None}}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeComfy]:
    """A scripted server that somebody else runs."""
    async with FakeComfy() as server:
        yield server


@pytest_asyncio.fixture
async def attached(fake: FakeComfy, trace: Trace) -> AsyncIterator[ComfyConnector]:
    """A connector on the scripted server."""
    async with await ComfyConnector.attach(fake.url, browser="lazy") as connector:
        yield connector


async def post(session: aiohttp.ClientSession, **body: Any) -> int:
    """Send a prompt as somebody else does; the status, 0 where the server broke off."""
    try:
        data = io.BytesIO(json.dumps(body).encode())
        async with session.post("/prompt", data=data, headers={"Content-Type": "application/json"}) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return 0


async def outcome(run: asyncio.Task[Any]) -> Any:
    """What a run ended with, in bounded time."""
    async with asyncio.timeout(60):
        return (await asyncio.gather(run, return_exceptions=True))[0]


FOREIGN: dict[str, dict[str, Any]] = {
    "inputs-null": {"prompt": LETHAL},
    "link-to-nowhere": {"prompt": {**picture_prompt(), "2": node("PreviewImage", images=["1", 0], foo=["99", 0])}},
    "wrapped-link": {"prompt": {**picture_prompt(), "9": node("PreviewAny", source={"__value__": ["99", 0]})}},
    "extra-data-null": {"prompt": picture_prompt(), "extra_data": None},
    "client-id-list": {"prompt": picture_prompt(), "client_id": ["a"]},
    "client-id-object": {"prompt": picture_prompt(), "client_id": {"a": 1}},
}


REFUSED = {"inputs-null", "extra-data-null"}
"""What newer servers, 0.33.0 among them, answer with 500 instead: docs/explanation/versions.md has both."""

REFUSED_BY_THE_EMULATOR = {"client-id-list", "client-id-object"}
"""What the emulator answers with 400, since ComfyUI's worker dies of it."""


@pytest.mark.parametrize("name", FOREIGN)
async def test_poison_from_somebody_else(
    shared: ComfyConnector, shared_engine: EngineUnderTest, stranger: aiohttp.ClientSession, gate: Path, name: str
) -> None:
    """Somebody else's prompt kills worker or process while ours wait: each ends as the server's death, or as it should.

    Real ComfyUI dies of all of these that it accepts; the emulator of none.
    """
    events = Recorder()
    first = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    status = await post(stranger, **FOREIGN[name])
    refused = {500} if name in REFUSED else set()
    if not shared_engine.real and name in REFUSED_BY_THE_EMULATOR:
        refused = {400}
    assert status in {0, 200} | refused
    second = asyncio.create_task(shared.run_workflow(show_prompt(3), False))
    gate.touch()
    ends = [await outcome(first), await outcome(second)]
    if shared_engine.real and status != 500:
        assert isinstance(ends[1], ServerDiedError), ends
        assert ends[1].log_tail
    else:
        assert texts_of(ends[1]) == ["3"]
    assert isinstance(ends[0], dict | ServerDiedError)
    assert await runs(shared)
    assert shared.state == "ready"


async def test_poison_equal_number_and_id(
    shared: ComfyConnector, shared_engine: EngineUnderTest, stranger: aiohttp.ClientSession, gate: Path
) -> None:
    """Two prompts of equal rank and id in the queue break ComfyUI's worker at the next pop."""
    events = Recorder()
    first = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    for prompt in (show_prompt(1), show_prompt(2), show_prompt(3)):
        await post(stranger, prompt=prompt, number=-5, prompt_id=str(uuid.UUID(int=7)))
    second = asyncio.create_task(shared.run_workflow(show_prompt(4), False))
    gate.touch()
    ends = [await outcome(first), await outcome(second)]
    for end in ends:
        assert isinstance(end, dict) or (shared_engine.real and isinstance(end, ServerDiedError))
    assert await runs(shared)


async def test_poison_unreadable_value_of_a_neighbour(
    shared: ComfyConnector, shared_engine: EngineUnderTest, stranger: aiohttp.ClientSession
) -> None:
    """A neighbour's result that is not JSON breaks the listing of the history, which we never read."""
    prompt_id = str(uuid.uuid4())
    assert await post(stranger, prompt={"1": node("ContractBadValue", kind="object")}, prompt_id=prompt_id) == 200
    assert await runs(shared)
    async with stranger.get("/history") as response:
        assert response.status == (500 if shared_engine.real else 200)
    async with stranger.post("/history", json={"delete": [prompt_id]}) as response:
        assert response.status == 200


async def test_poison_history_that_answers_500(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """The record of our run cannot be read: said so after three tries, with the reason; no hang."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control = Control(connector)
        await control.rules({"path": "/history/.+", "do": "status", "value": 500})
        with pytest.raises(ServerResponseError, match="not JSON") as caught:
            async with asyncio.timeout(30):
                await connector.run_workflow(show_prompt(1), False)
        assert caught.value.status == 500
        await control.rules()
        assert await runs(connector)


async def test_poison_worker_dead_and_said_so(faulty: Callable[..., Faulty], trace: Trace, gate: Path) -> None:
    """The execution thread dies behind a healthy HTTP, and its last words are read: a dead server, started anew."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        pid, events = server_pid(connector), Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
        await events.running()
        await Control(connector).end_worker(says_so=True)
        with pytest.raises(ServerDiedError, match="execution thread") as caught:
            async with asyncio.timeout(30):
                await run
        assert caught.value.exit_code is None
        assert any("prompt_worker" in line for line in caught.value.log_tail)
        assert await runs(connector)
        assert server_pid(connector) != pid


async def test_poison_worker_dead_in_silence(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """The same without a word: the caller's timeout holds, and the prompt is taken off the queue again."""
    connector = await ComfyConnector.create(**faulty().settings)
    await Control(connector).end_worker(says_so=False)
    with pytest.raises(RunTimeout):
        async with asyncio.timeout(30):
            await connector.run_workflow(show_prompt(1), False, timeout=1.0)
    async with aiohttp.ClientSession() as session, session.get(f"{connector.server_address}/queue") as response:
        assert (await response.json())["queue_pending"] == []
    async with asyncio.timeout(60):
        await connector.kill_api()


async def test_poison_status_that_lies(shared: ComfyConnector) -> None:
    """A circle found at run time leaves the status of the node before: the messages are believed, not the status."""
    prompt = {"1": node("ContractShow", value=1), "2": node("MatrixCircle", "Ring")}
    with pytest.raises(ExecutionError) as caught:
        async with asyncio.timeout(60):
            await shared.run_workflow(prompt, False)
    assert caught.value.history["status"]["messages"][-1][0] == "execution_error"
    assert await runs(shared)


async def test_poison_status_says_success(attached: ComfyConnector, fake: FakeComfy) -> None:
    """``completed: true`` beside an error message is an error."""

    async def lie(job: Job) -> None:
        await job.start()
        await job.tell(
            "execution_error", node_id="1", node_type="EmptyImage", exception_type="E", exception_message="x"
        )
        job.record(success=True)
        await job.tell("executing", node=None)

    fake.script = lie
    with pytest.raises(ExecutionError) as caught:
        async with asyncio.timeout(30):
            await attached.run_workflow(tiny_prompt(), False)
    assert caught.value.node_id == "1"
    assert caught.value.history["status"]["status_str"] == "success"


async def test_poison_history_behind_its_messages(shared: ComfyConnector) -> None:
    """Of 200 tiny runs one after another each has its whole record, though success is announced before it is there."""
    for number in range(200):
        record = record_of(await shared.run_workflow(show_prompt(5000 + number), False))
        assert record["outputs"]["1"]["text"] == [str(5000 + number)]
        assert record["status"]["completed"] is True


async def test_poison_second_socket_with_our_id(shared: ComfyConnector, stranger: aiohttp.ClientSession) -> None:
    """A second socket with our id comes and goes: ours may be deaf then; runs end, and a fresh socket hears again."""
    async with stranger.ws_connect(f"/ws?clientId={shared.client_id}") as thief:
        await thief.receive()
        assert await runs(shared)
    assert await runs(shared)
    await shared._ensure_fresh_websocket()
    events = Recorder()
    await shared.run_workflow(show_prompt(8), False, on_progress=events)
    assert await events.running()


async def test_poison_neighbour_that_does_not_read(shared: ComfyConnector, stranger: aiohttp.ClientSession) -> None:
    """A socket that nobody empties holds up everybody's messages on ComfyUI: runs end by the poll."""
    address = urlsplit(shared.server_address)
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((address.hostname, address.port))
        request = f"GET /ws?clientId=lazy HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
        request += (
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        lazy.sendall(request.encode())
        assert b"101" in lazy.recv(12)
        failing = {"1": node("ContractFail", kind="ValueError", message="long " * 5_000_000)}
        assert await post(stranger, prompt=failing, client_id="lazy") == 200
        assert [await runs(shared, number) for number in range(3)] == [True] * 3
    assert await runs(shared)


async def test_poison_pixels_are_truncated(shared: ComfyConnector, shared_engine: EngineUnderTest) -> None:
    """What the server saved is what comes, untouched: ComfyUI cuts off where one would round, 190 becomes 189."""
    prompt = picture_prompt(0x414141, prefix="exact/p")
    prompt["3"] = node("ImageInvert", image=["1", 0])
    prompt["2"]["inputs"]["images"] = ["3", 0]
    (output,) = shared.outputs(await shared.run_workflow(prompt, False))
    assert (await output.image()).convert("RGB").getpixel((0, 0)) == (189, 189, 189)
    assert await output.read() == (shared_engine.home / "output" / "exact" / str(output.filename)).read_bytes()


@pytest.mark.parametrize("kind", ["relative", "absolute"])
async def test_poison_paths_that_leave_the_input_folder(
    shared: ComfyConnector, shared_engine: EngineUnderTest, tmp_path: Path, kind: str
) -> None:
    """Before 0.27 ComfyUI loads them, so a prompt is as trusted as who wrote it; uploads never leave."""
    outside = shared_engine.home / f"outside-{kind}.png"
    Image.new("RGB", (4, 4), (1, 2, 3)).save(outside)
    name = str(outside) if kind == "absolute" else f"../{outside.name}"
    prompt = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
    release = release_of((await shared.diagnostics())["server"]["features"]["version"])
    assert release is not None
    if release < (0, 27, 0):
        (output,) = shared.outputs(await shared.run_workflow(prompt, False))
        assert (await output.image()).convert("RGB").getpixel((0, 0)) == (1, 2, 3)
    else:
        with pytest.raises(ValidationError) as caught:
            await shared.run_workflow(prompt, False)
        assert [(problem.node_id, problem.input_name) for problem in caught.value.problems] == [("1", "image")]
    subfolder = str(tmp_path) if kind == "absolute" else "../outside"
    with pytest.raises(ValueError, match="outside|absolute|leave"):
        shared.upload_data(outside, subfolder=subfolder)
    assert await runs(shared)


async def test_poison_stalls(shared: ComfyConnector) -> None:
    """The server stands still again and again, with prompts on their way to it and in its queue: all runs succeed."""
    process, client = psutil.Process(server_pid(shared)), shared._parts.client
    assert client is not None
    work: list[asyncio.Task[Any]] = []

    def is_stalled() -> bool:
        """Whether the whole batch was sent, and none of it was answered."""
        return [run.stage for run in client._runs.values()].count("sent") == 10

    for begin in range(6000, 6040, 10):
        process.suspend()
        try:
            await until(lambda: process.status() == psutil.STATUS_STOPPED)
            work += [
                asyncio.create_task(shared.run_workflow(show_prompt(number), False))
                for number in range(begin, begin + 10)
            ]
            await until(is_stalled)
        finally:
            process.resume()
        await asyncio.wait(work[-10:], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    async with asyncio.timeout(60):
        histories = await asyncio.gather(*work)
    assert [texts_of(history) for history in histories] == [[str(6000 + number)] for number in range(40)]


async def test_poison_error_of_megabytes_in_a_row(shared: ComfyConnector) -> None:
    """Errors with 2 MB of text, several at once: each carries its text whole, and shows it shortened."""
    prompt = {"1": node("ContractFail", kind="ValueError", message="0123456789" * 200_000)}
    async with asyncio.timeout(60):
        ends = await asyncio.gather(*(shared.run_workflow(prompt, False) for _ in range(4)), return_exceptions=True)
    for end in ends:
        assert isinstance(end, ExecutionError)
        assert len(end.exception_message) >= 2_000_000
        assert len(str(end)) < 10_000
    assert await runs(shared)


async def test_poison_non_finite_numbers(shared: ComfyConnector) -> None:
    """Bare NaN and Infinity in history and messages are numbers, with progress reported too."""
    events = Recorder()
    prompt = {"1": node("ContractBadValue", kind="nan"), "2": node("ContractBadValue", kind="infinity")}
    outputs = record_of(await shared.run_workflow(prompt, False, on_progress=events))["outputs"]
    assert outputs["1"]["value"][0] != outputs["1"]["value"][0]
    assert outputs["2"]["value"] == [float("inf")]
    assert events.events[-1].success is True  # type: ignore[union-attr]


async def test_poison_answer_that_is_no_json(attached: ComfyConnector, fake: FakeComfy) -> None:
    """A proxy's page in place of an answer is told as such, shortened."""
    from aiohttp import web

    async def page(_: Job) -> web.StreamResponse:
        return web.Response(text="<html>" + "please log in " * 10_000, content_type="text/html")

    fake.post = page
    with pytest.raises(ServerResponseError, match="not JSON") as caught:
        async with asyncio.timeout(30):
            await attached.run_workflow(tiny_prompt(), False)
    assert len(str(caught.value)) < 1000


async def test_poison_record_of_a_wrong_shape(attached: ComfyConnector, fake: FakeComfy) -> None:
    """A record without status and outputs is given as it is: the run has ended."""

    async def odd(job: Job) -> None:
        await job.start()
        fake.running.pop(job.prompt_id)
        fake.history[job.prompt_id] = {"status": "fine", "outputs": [1, 2]}
        await job.tell("executing", node=None)

    fake.script = odd
    async with asyncio.timeout(30):
        history = await attached.run_workflow(tiny_prompt(), False)
    assert list(history.values()) == [{"status": "fine", "outputs": [1, 2]}]
