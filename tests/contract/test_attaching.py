"""``attach``: the same object on a server that somebody else runs, with headers for auth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from contract.graphs import Recorder, gate_prompt, node, picture_workflow, record_of, show_prompt, texts_of
from contract.proxy import AuthProxy
from PIL import Image

from discomfort import ComfyConnector
from discomfort.exceptions import ExecutionInterrupted, ServerConnectionError, ServerError, StateError, UploadError
from discomfort.progress import Done, NodeStarted

HEADERS = {"Authorization": "Bearer let-me-in", "X-Tenant": "seven"}


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(connector: ComfyConnector) -> AsyncIterator[AuthProxy]:
    """A password before the server under test."""
    async with AuthProxy(connector.server_address, HEADERS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def attached(proxy: AuthProxy) -> AsyncIterator[ComfyConnector]:
    """A connector attached through the proxy, without a browser until it needs one."""
    made = await ComfyConnector.attach(proxy.url, headers=HEADERS, browser="lazy")
    yield made
    await made.kill_api()


async def test_attached_connector_runs_prompts(attached: ComfyConnector, proxy: AuthProxy) -> None:
    """Runs, progress and results go through the proxy with the headers; nothing was run as a test."""
    assert (attached.state, attached.engine, attached.server_address) == ("ready", "attached", proxy.url)
    assert attached.ws_address.startswith(proxy.url.replace("http", "ws") + "/ws?clientId=")
    assert "/prompt" not in [path for path in proxy.seen if path == "/api/prompt"]
    events = Recorder()
    history = await attached.run_workflow(show_prompt(41), False, on_progress=events)
    assert texts_of(history) == ["41"]
    assert events.of(NodeStarted)
    assert events.of(Done)[0].success
    assert "/ws" in proxy.seen
    assert proxy.refused == 0
    assert await attached._validate_resources() is True


@pytest.mark.browser
async def test_attached_connector_converts_and_reads_outputs(
    attached: ComfyConnector, proxy: AuthProxy, tmp_path: Path
) -> None:
    """The browser too gets through the proxy; the picture comes back over HTTP."""
    history = await attached.run_workflow(picture_workflow(0xABCDEF, prefix="attached/picture"))
    (output,) = attached.outputs(history)
    assert (await output.image()).getpixel((0, 0)) == (0xAB, 0xCD, 0xEF)
    assert (await output.save(tmp_path)).exists()
    assert proxy.refused == 0


async def test_upload_over_http(attached: ComfyConnector, tmp_path: Path) -> None:
    """A file goes over HTTP, and what is returned is the name that a node takes."""
    source = tmp_path / f"ü {tmp_path.name}.png"
    Image.new("RGB", (4, 4), (9, 8, 7)).save(source)
    name = await asyncio.to_thread(attached.upload_data, source, subfolder="attached")
    assert name == f"attached/{source.name}"
    prompt = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
    (output,) = attached.outputs(await attached.run_workflow(prompt, False))
    assert (await output.image()).convert("RGB").getpixel((0, 0)) == (9, 8, 7)


async def test_upload_of_another_file_by_a_taken_name(attached: ComfyConnector, tmp_path: Path) -> None:
    """Equal content is found again, other content gets another name, unless overwriting was asked for."""
    source = tmp_path / f"{tmp_path.name}.png"
    Image.new("RGB", (4, 4), (1, 1, 1)).save(source)
    first = await asyncio.to_thread(attached.upload_data, source)
    assert await asyncio.to_thread(attached.upload_data, source) == first
    Image.new("RGB", (4, 4), (2, 2, 2)).save(source)
    assert await asyncio.to_thread(attached.upload_data, source) != first
    assert await asyncio.to_thread(attached.upload_data, source, overwrite=True) == first


@pytest.mark.parametrize(
    "arguments",
    [{"folder_type": "models", "subfolder": "loras"}, {"is_ephemeral": True}, {"folder_type": "nowhere"}],
    ids=str,
)
async def test_uploads_that_http_can_not_do(
    attached: ComfyConnector, tmp_path: Path, arguments: dict[str, object]
) -> None:
    """Models, ephemeral files and unknown folders are refused before anything is sent."""
    source = tmp_path / "file.bin"
    source.write_bytes(b"x")
    with pytest.raises(UploadError):
        attached.upload_data(source, **arguments)  # type: ignore[arg-type]


async def test_upload_of_a_missing_file_over_http(attached: ComfyConnector, tmp_path: Path) -> None:
    """A source that is not there is the builtin error here too."""
    with pytest.raises(FileNotFoundError):
        attached.upload_data(tmp_path / "missing.png")


async def test_wrong_headers_are_an_error_that_keeps_them_secret(proxy: AuthProxy) -> None:
    """Without the right headers there is no connection, and the error does not print them."""
    for headers in (None, {"Authorization": "Bearer wrong-secret"}):
        with pytest.raises(ServerError) as caught:
            await ComfyConnector.attach(proxy.url, headers=headers, browser="lazy")
        assert "wrong-secret" not in str(caught.value)
    assert proxy.refused > 0


async def test_nobody_answers(unused_tcp_port: int) -> None:
    """An address where nothing listens is a ConnectionError that names it."""
    with pytest.raises(ServerConnectionError, match=str(unused_tcp_port)) as caught:
        await ComfyConnector.attach(f"127.0.0.1:{unused_tcp_port}", browser="lazy")
    assert isinstance(caught.value, ConnectionError)


async def test_kill_api_leaves_the_server_and_its_runs(
    connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path
) -> None:
    """Releasing an attached connector ends its own runs and nothing of anybody else."""
    other = await ComfyConnector.attach(connector.server_address, browser="lazy")
    running, queued = Recorder(), Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=running))
    await running.running()
    second = asyncio.create_task(other.run_workflow(show_prompt(42), False, on_progress=queued))
    await queued.queued()
    await other.kill_api()
    with pytest.raises(ExecutionInterrupted):
        await second
    assert other.state == "killed"
    async with raw.get("/queue") as response:
        queue = await response.json()
    assert [item[1] for item in queue["queue_running"]] == [running.events[0].prompt_id]
    assert queue["queue_pending"] == []
    gate.touch()
    assert record_of(await first)["status"]["completed"] is True
    assert connector.state == "ready"
    with pytest.raises(StateError):
        await other.run_workflow(show_prompt(43), False)


async def test_several_attached_at_once(connector: ComfyConnector) -> None:
    """Attached connectors are not the process's single instance: there may be many, also with headers of no use."""
    url = connector.server_address
    many = [await ComfyConnector.attach(url + "/", headers=HEADERS, browser="lazy") for _ in range(3)]
    histories = await asyncio.gather(*(c.run_workflow(show_prompt(50 + i), False) for i, c in enumerate(many)))
    assert [texts_of(history) for history in histories] == [["50"], ["51"], ["52"]]
    assert len({made.client_id for made in many}) == 3
    for made in many:
        await made.kill_api()
