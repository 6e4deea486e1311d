"""Pools of real servers: owned and attached, killed, frozen and drained."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import gate_prompt, node, picture_prompt, picture_workflow, show_prompt, texts_of
from PIL import Image
from ports import first_port
from waiting import has_ended, until

from discomfort.exceptions import ExecutionError, ExecutionInterrupted, RunLostError, RunTimeout, ServerDiedError
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.pool_events import Assigned, Stalled, Waiting
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.retry import Retry
from discomfort.pool.scheduler import Policy
from discomfort.progress import Done, Started

# A real server takes ten seconds to start, and more while others do.
pytestmark = pytest.mark.timeout(400)

PORT = first_port(18988)


def settings_of(engine: EngineUnderTest) -> dict[str, Any]:
    """Settings of pools whose servers are killed often."""
    return {**with_small_frontend(engine).settings, "initial_port": PORT, "max_restarts": 100, "stop_grace": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(engine: EngineUnderTest) -> AsyncIterator[ComfyPool]:
    """Two owned servers on one folder, which notice silence soon."""
    settings = settings_of(engine)
    async with await ComfyPool.create(servers=2, options=PoolOptions(silent_after=3), **settings) as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _all_ready(request: pytest.FixtureRequest) -> None:
    """Each test begins with two servers, whatever the one before did to them."""
    if "pool" in request.fixturenames:
        made: ComfyPool = request.getfixturevalue("pool")
        await until(lambda: {server.state for server in made.status().servers} == {"ready"}, 120)


def process_of(pool: ComfyPool, server: str) -> psutil.Process:
    """The process of an owned server."""
    supervisor = pool._slots[server].server.connector._parts.supervisor  # type: ignore[attr-defined]
    return psutil.Process(supervisor.pid)


def files_in(engine: EngineUnderTest) -> set[str]:
    """What is in the servers' folders for inputs and outputs."""
    folders = engine.home / "input", engine.home / "output"
    # os.walk passes over a folder that goes meanwhile, as those of runs do.
    return {str(Path(at, name)) for folder in folders for at, _, names in os.walk(folder) for name in names}


async def started(run: PoolRun) -> str:
    """Wait until a run has begun; returns its server."""
    async for event in run.events():
        if isinstance(event, Started):
            return run.server
    raise AssertionError("the run ended before")


async def test_pictures_go_in_and_out_and_nothing_stays(
    pool: ComfyPool, engine: EngineUnderTest, tmp_path: Path
) -> None:
    """The contents come back in memory or in a folder of the run's own; the servers keep neither files nor records."""
    before = files_in(engine)
    source = tmp_path / "red.png"
    Image.new("RGB", (8, 8), (255, 0, 0)).save(source)
    prompt = {
        "1": node("LoadImage", "Photo", image="none.png"),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", "Out", images=["2", 0], filename_prefix="deep/name"),
    }
    run = await pool.submit(prompt, files={"Photo.image": source})
    result = await run
    (output,) = [output for output in result.outputs if output.filename]
    assert (await output.image()).getpixel((3, 3)) == (0, 255, 255)
    assert output.subfolder.endswith(f"/{run.run_id}/deep")
    kept = await (await pool.submit(prompt, files={"Photo.image": source.read_bytes()}, save_to=tmp_path / "runs"))
    (path,) = (tmp_path / "runs" / kept.run_id).iterdir()
    assert Image.open(path).getpixel((0, 0)) == (0, 255, 255)
    await until(lambda: files_in(engine) == before)
    await until(lambda: _has_no_record(pool, {result.prompt_id, kept.prompt_id}))


async def _has_no_record(pool: ComfyPool, prompt_ids: set[str]) -> bool:
    for server in pool.status().servers:
        async with aiohttp.ClientSession(server.url) as session, session.get("/history") as answer:
            if prompt_ids & set(await answer.json()):
                return False
    return True


async def test_repeated_prompt_gives_its_picture_again(pool: ComfyPool) -> None:
    """Although the server has it in its cache, and the file of the first run is gone."""
    prompt = picture_prompt(0x112233, prefix="again")
    for _ in range(3):
        (output,) = (await (await pool.submit(prompt))).outputs
        assert (await output.image()).getpixel((0, 0)) == (0x11, 0x22, 0x33)


async def test_fifty_runs_use_both_servers(pool: ComfyPool) -> None:
    """Each gives its own result, in the order of the values."""
    found = await pool.map(show_prompt(0), ({"Show.value": number} for number in range(50)))
    assert [texts_of(result.history) for result in found] == [[str(number)] for number in range(50)]  # type: ignore[union-attr]
    assert {result.server for result in found} == {"server0", "server1"}  # type: ignore[union-attr]


@pytest.mark.browser
async def test_workflow_is_converted_on_one_server(pool: ComfyPool) -> None:
    """Both run it; one browser at most is started."""
    found = await pool.map(picture_workflow(size=8), ({"Source.color": number} for number in range(6)))
    assert len(found) == 6
    browsers = [
        slot.server.connector._parts.converter for slot in pool._slots.slots  # type: ignore[attr-defined]
    ]  # fmt: skip
    assert sum(converter is not None and converter.browser_state == "running" for converter in browsers) <= 1


async def test_kill_of_a_server_in_mid_run(pool: ComfyPool, gate: Path) -> None:
    """The run is lost with its reason; with Retry it goes to the other server; the dead one comes back."""
    lost = await pool.submit(gate_prompt(gate))
    process_of(pool, await started(lost)).kill()
    with pytest.raises(RunLostError) as caught:
        await lost
    assert (caught.value.started, caught.value.server) == (True, lost.server)
    assert isinstance(caught.value.death, ServerDiedError)
    await until(lambda: {server.state for server in pool.status().servers} == {"ready"}, 120)

    again = await pool.submit(gate_prompt(gate), retry=Retry(times=1))
    events = again.events()
    first = await started(again)
    process_of(pool, first).kill()
    await until(lambda: again.server not in ("", first))
    gate.touch()
    result = await again
    assert result.server != first
    seen = [event async for event in events]
    assert [event.server for event in seen if isinstance(event, Assigned)] == [first, result.server]
    assert any(isinstance(event, Waiting) and f"server {first} died" in event.reason for event in seen)
    assert [isinstance(event, Done) for event in seen].index(True) == len(seen) - 1


async def test_frozen_server_is_ended(pool: ComfyPool, gate: Path) -> None:
    """SIGSTOP: its run hears of it, and is lost once the server is certainly dead."""
    run = await pool.submit(gate_prompt(gate))
    process = process_of(pool, await started(run))
    events = run.events()
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(RunLostError, match="stopped|answer"):
        await run
    assert any([isinstance(event, Stalled) async for event in events])
    await until(lambda: has_ended(process))


async def test_cancel_timeout_and_error(pool: ComfyPool, gate: Path) -> None:
    """Each ends with its own error, and both servers take runs afterwards."""
    run = await pool.submit(gate_prompt(gate))
    await started(run)
    assert await run.cancel()
    with pytest.raises(ExecutionInterrupted):
        await run
    with pytest.raises(RunTimeout):
        await (await pool.submit(gate_prompt(gate), timeout=0.5))
    with pytest.raises(ExecutionError):
        await (await pool.submit({"1": node("ContractFail", kind="ValueError", message="broken")}))
    assert len(await pool.map(show_prompt(1), [{}] * 6)) == 6


async def test_attached_servers_are_left_as_they_were(pool: ComfyPool) -> None:
    """Another pool on the same two servers: it runs there, and its end ends none of them."""
    urls = [server.url for server in pool.status().servers]
    async with await ComfyPool.attach(urls) as attached:
        found = await attached.map(show_prompt(0), ({"Show.value": number} for number in range(10)))
        assert {result.server for result in found} == {url.removeprefix("http://") for url in urls}  # type: ignore[union-attr]
    assert texts_of((await (await pool.submit(show_prompt(4)))).history) == ["4"]


async def test_tenants_in_turn(engine: EngineUnderTest, tmp_path: Path) -> None:
    """One server: what a run left in cache, history and folder for temporary files, another tenant's does not see."""
    settings = {**settings_of(engine), "initial_port": PORT + 20}
    options = PoolOptions(Policy(share="in-turn"))
    async with await ComfyPool.create(servers=1, options=options, **settings) as pool:
        first = await (await pool.submit(picture_prompt(), tenant="acme"))
        (preview,) = first.outputs
        folder = pool._slots["server0"].server.connector._parts.engine.folders.temp  # type: ignore[attr-defined, union-attr]
        assert (folder / (preview.filename or "")).exists()
        second = await (await pool.submit(picture_prompt(), tenant="other"))
        assert not (folder / (preview.filename or "")).exists() or second.outputs[0].filename == preview.filename
        messages = second.history[second.prompt_id]["status"]["messages"]
        cached = [data["nodes"] for kind, data in messages if kind == "execution_cached"]
        assert [node_id for nodes in cached for node_id in nodes] == []


async def test_end_of_the_pool_leaves_nothing(engine: EngineUnderTest, gate: Path) -> None:
    """With a run under way: it ends with its error, and the processes are gone."""
    settings = {**settings_of(engine), "initial_port": PORT + 40}
    async with await ComfyPool.create(servers=2, **settings) as pool:
        run = await pool.submit(gate_prompt(gate))
        await started(run)
        processes = [process_of(pool, server.name) for server in pool.status().servers]
    with pytest.raises(ExecutionInterrupted, match="the pool was closed"):
        await run
    assert all(has_ended(process) for process in processes)
