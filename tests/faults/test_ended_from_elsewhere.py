"""Somebody else ends, or holds up, what a start, a recovery or a shutdown needs."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import NODES, EngineUnderTest
from contract.graphs import Recorder, gate_prompt, picture_workflow, record_of, show_prompt, texts_of
from faults.test_nothing_left import POINTS, interrupt_at
from faults.traces import Trace
from waiting import until

from discomfort import ComfyConnector
from discomfort.client.comfy import ComfyClient
from discomfort.connector.resources import Resources
from discomfort.connector.run_status import RunStatus
from discomfort.exceptions import ExecutionInterrupted, RunTimeout, StateError

GATED = Path(__file__).with_name("gated_server.py")
CLOSING = Path(__file__).with_name("closing_program.py")


def gated(engine: EngineUnderTest, folder: Path, gate: str) -> dict[str, Any]:
    """Settings for a server that starts or stops when the test lets it."""
    folder.mkdir()
    words = [sys.executable, str(GATED), str(folder), gate, "--base-directory", str(engine.home)]
    words += ["--extra-nodes", str(NODES / "contract_nodes.py")]
    return {**engine.settings, "api_command_line": shlex.join(words), "browser": "lazy"}


def starts(folder: Path) -> int:
    """How often the gated server was started."""
    return len(list(folder.glob("started-*")))


async def lose(connector: ComfyConnector) -> None:
    """Kill the server, and wait until that is known."""
    supervisor = connector._parts.supervisor
    assert supervisor is not None
    psutil.Process(supervisor.pid).kill()
    await supervisor.wait()


@pytest.mark.parametrize("policy", ["raise", "restart"])
async def test_timeouts_leave_a_recovery_alive(
    policy: str, emulator: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """Runs whose time passes before the server is back, and one that is cancelled: that start serves who comes next."""
    folder = tmp_path / "gate"
    settings = gated(emulator, folder, "start")
    async with await ComfyConnector.create(**settings, on_server_death=policy) as connector:
        await lose(connector)
        for _ in range(3):
            with pytest.raises(RunTimeout):
                await connector.run_workflow(show_prompt(1), False, timeout=0.1)
        await until(lambda: starts(folder) == 2)
        cancelled = asyncio.create_task(connector.run_workflow(show_prompt(2), False))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(RunTimeout):
            await connector.run_workflow(show_prompt(3), False, timeout=0.1)
        (folder / "may-start").touch()
        async with asyncio.timeout(60):
            assert texts_of(await connector.run_workflow(show_prompt(4), False)) == ["4"]
        assert starts(folder) == 2


async def test_status_while_a_run_waits_for_a_new_server(
    emulator: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """A run that is resubmitted is neither queued nor running until the new server has its prompt."""
    folder, gate = tmp_path / "gate", tmp_path / "node"
    settings = gated(emulator, folder, "start")
    async with await ComfyConnector.create(**settings, on_server_death="restart_and_resubmit") as connector:
        run = await connector.submit(gate_prompt(gate), False)
        await until(lambda: run.status.phase == "running" and run.started is not None)
        await lose(connector)
        await until(lambda: starts(folder) == 2 and run.status == RunStatus())
        gate.touch()
        (folder / "may-start").touch()
        async with asyncio.timeout(60):
            await run
        assert run.status.phase == "ended"


async def test_kill_api_ends_a_recovery(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A recovery that nobody waits for any more goes with the connector, as does one that somebody waits for."""
    folder = tmp_path / "gate"
    connector = await ComfyConnector.create(**gated(emulator, folder, "start"))
    await lose(connector)
    with pytest.raises(RunTimeout):
        await connector.run_workflow(show_prompt(1), False, timeout=0.1)
    waiting = asyncio.create_task(connector.run_workflow(show_prompt(2), False))
    await until(lambda: starts(folder) == 2)
    async with asyncio.timeout(30):
        await connector.kill_api()
        with pytest.raises(RuntimeError) as caught:
            await waiting
    assert type(caught.value).__module__ == "discomfort.exceptions"
    assert trace.left() == []


@pytest.mark.browser
@pytest.mark.parametrize("by", ["a thread", "the loop"])
@pytest.mark.parametrize(("owner", "name", "moment"), POINTS, ids=[f"{m} {n}" for _, n, m in POINTS])
async def test_release_now_during_the_start(
    owner: type,
    name: str,
    moment: str,
    by: str,
    emulator: EngineUnderTest,
    trace: Trace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a thread, or in the loop as a signal handler would: the start says so, and nothing of it stays."""
    creating = asyncio.create_task(ComfyConnector.create(**emulator.settings))
    released: list[ComfyConnector] = []

    def release() -> None:
        connector = ComfyConnector.current()
        if connector is None:
            return
        released.append(connector)
        if by == "the loop":
            connector.release_now()
        else:
            thread = threading.Thread(target=connector.release_now)
            thread.start()
            thread.join()

    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, name, moment, release)
        async with asyncio.timeout(60):
            (end,) = await asyncio.gather(creating, return_exceptions=True)
    assert isinstance(end, StateError), repr(end)
    assert [connector.state for connector in released[:1]] == ["killed"]
    assert ComfyConnector.current() is None
    assert await trace.settle() == []


@pytest.mark.parametrize("releases", [1, 2])
@pytest.mark.parametrize("by", ["a thread", "the loop"])
async def test_kill_api_after_release_now(
    by: str, releases: int, emulator: EngineUnderTest, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the connections are closed too; a run under way ends as interrupted, and both can be repeated."""
    connector = await ComfyConnector.create(**{**emulator.settings, "browser": "lazy"})
    recorder, order = Recorder(), list[str]()
    run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=recorder))
    await recorder.running()
    close, release = ComfyClient.aclose, Resources.release

    async def note_close(client: ComfyClient) -> None:
        await close(client)
        # As slow as a connection may be: who does not wait for it has gone on by then.
        for _ in range(500):
            await asyncio.sleep(0)
        order.append("closed")

    async def note_release(parts: Resources) -> list[str]:
        order.append("released")
        return await release(parts)

    monkeypatch.setattr(ComfyClient, "aclose", note_close)
    monkeypatch.setattr(Resources, "release", note_release)
    for _ in range(releases):
        if by == "the loop":
            connector.release_now()
        else:
            await asyncio.to_thread(connector.release_now)
    for _ in range(2):
        await connector.kill_api()
    with pytest.raises(ExecutionInterrupted):
        await run
    assert order == ["closed", "released"]
    assert connector.state == "killed"
    assert ComfyConnector.current() is None
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("discomfort")]
    assert trace.left() == [] or await trace.settle() == []


async def test_ctrl_c_in_kill_api(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Ctrl-C while the server takes its time to stop: it stops by itself, nothing is left, and the program ends."""
    folder = tmp_path / "gate"
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in emulator.settings.items()}
    settings |= {key: str(value) for key, value in gated(emulator, folder, "stop").items() if key in settings}
    settings["initial_port"] = emulator.settings["initial_port"]
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(CLOSING), json.dumps({**settings, "browser": "lazy"}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    async with asyncio.timeout(60):
        assert await program.stdout.readline() == b"ready\n", (await program.communicate())[1].decode()
        await until((folder / "stopping").exists)
        trace.record()
        program.send_signal(signal.SIGINT)
        assert await program.stdout.readline() == b"interrupted\n", (await program.communicate())[1].decode()
        (folder / "may-stop").touch()
        _, err = await program.communicate()
    assert program.returncode != 0
    assert "KeyboardInterrupt" in err.decode()
    assert (folder / "stopped").exists(), "it was killed while it stopped"
    assert await trace.settle() == []


@pytest.fixture
def busy_pool() -> Iterator[threading.Event]:
    """Ends the jobs that keep asyncio's default pool busy, whatever happened."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.browser
async def test_with_a_saturated_default_pool(
    emulator: EngineUnderTest, trace: Trace, busy_pool: threading.Event, tmp_path: Path
) -> None:
    """A program that keeps asyncio's own threads busy: start, conversion, run, upload, shutdown need none of them."""
    loop = asyncio.get_running_loop()
    jobs = [loop.run_in_executor(None, busy_pool.wait) for _ in range(200)]
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")
    async with asyncio.timeout(60):
        connector = await ComfyConnector.create(**emulator.settings)
        uploaded = Path(connector.upload_data(source, is_ephemeral=True))
        assert record_of(await connector.run_workflow(picture_workflow()))["status"]["completed"] is True
        prompt = tmp_path / "prompt.json"
        prompt.write_text(json.dumps(show_prompt(1)))
        assert texts_of(await connector.run_workflow(prompt, False)) == ["1"]
        (await connector.edit(show_prompt(2))).set("ContractShow.value", 3)
        assert await connector._validate_resources() is True
        await connector._restart_browser()
        assert (await connector.explain(picture_workflow(2))).prompt["1"]["inputs"]["color"] == 2
        await connector.diagnostics()
        await lose(connector)
        assert texts_of(await connector.run_workflow(show_prompt(4), False)) == ["4"]
        await connector.kill_api()
    assert not any(job.done() for job in jobs)
    assert not uploaded.exists()
    assert trace.left() == []
    busy_pool.set()
    await asyncio.gather(*jobs)
