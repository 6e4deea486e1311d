"""The server's death: every run that waits learns its cause at once, and the next run has a server again."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, show_prompt, texts_of
from faults.conftest import PORT
from faults.traces import Trace

from discomfort import ComfyConnector
from discomfort.exceptions import ServerDiedError
from discomfort.progress import Done


def lazily(engine: EngineUnderTest) -> dict[str, Any]:
    """Its settings, without a browser."""
    return {**engine.settings, "browser": "lazy"}


def server_pid(connector: ComfyConnector) -> int:
    """The process that serves now."""
    assert connector._parts.supervisor is not None
    return connector._parts.supervisor.pid


async def test_killed_while_running_and_queued(any_engine: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """SIGKILL: the running and the queued prompt both say so, with the signal and the log; the next run restarts."""
    async with await ComfyConnector.create(**lazily(any_engine)) as connector:
        running, queued = Recorder(), Recorder()
        first = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "never"), False, on_progress=running))
        await running.running()
        second = asyncio.create_task(connector.run_workflow(show_prompt(1), False, on_progress=queued))
        prompt_id = (await queued.queued()).prompt_id
        old = server_pid(connector)
        trace.record()
        psutil.Process(old).kill()
        errors = await asyncio.gather(first, second, return_exceptions=True)
        for error in errors:
            assert isinstance(error, ServerDiedError)
            assert isinstance(error, RuntimeError)
            assert error.signal == "SIGKILL"
            assert "SIGKILL" in str(error)
            assert error.log_tail
        assert [error.prompt_id for error in errors] == [running.events[0].prompt_id, prompt_id]
        assert running.events[-1] == Done(running.events[0].prompt_id, success=False)
        assert connector.state == "error"

        assert texts_of(await connector.run_workflow(show_prompt(2), False)) == ["2"]
        assert connector.state == "ready"
        assert server_pid(connector) != old


async def test_exit_code_and_last_words(emulator: EngineUnderTest, trace: Trace) -> None:
    """A server that exits by itself is reported with its exit code and its last line."""
    async with await ComfyConnector.create(**lazily(emulator)) as connector:
        prompt = {"1": node("ContractDie", code=42, signal=0, last_words="the disk is on fire")}
        with pytest.raises(ServerDiedError) as caught:
            await connector.run_workflow(prompt, False)
        assert (caught.value.exit_code, caught.value.signal) == (42, None)
        assert "the disk is on fire" in caught.value.log_tail[-1]
        assert "the disk is on fire" in str(caught.value)
        assert "42" in str(caught.value)


async def test_abort_is_named(emulator: EngineUnderTest, trace: Trace) -> None:
    """A crash in native code ends as its signal's name."""
    async with await ComfyConnector.create(**lazily(emulator)) as connector:
        prompt = {"1": node("ContractDie", code=0, signal=int(signal.SIGABRT), last_words="free(): invalid pointer")}
        with pytest.raises(ServerDiedError) as caught:
            await connector.run_workflow(prompt, False)
        assert caught.value.signal == "SIGABRT"


async def test_killed_while_idle(emulator: EngineUnderTest, trace: Trace) -> None:
    """A server that died while nobody looked is noticed, and started anew by the next run."""
    async with await ComfyConnector.create(**lazily(emulator)) as connector:
        supervisor = connector._parts.supervisor
        assert supervisor is not None
        psutil.Process(supervisor.pid).kill()
        await supervisor.wait()
        assert await connector._validate_resources() is False
        assert await connector._is_api_running() is False
        runs = (connector.run_workflow(show_prompt(number), False) for number in range(3))
        assert [texts_of(history) for history in await asyncio.gather(*runs)] == [["0"], ["1"], ["2"]]
        assert await connector._validate_resources() is True


async def test_create_again_recovers(emulator: EngineUnderTest, trace: Trace) -> None:
    """``create`` on an instance whose server died starts it anew and returns the same instance."""
    async with await ComfyConnector.create(**lazily(emulator)) as connector:
        supervisor = connector._parts.supervisor
        assert supervisor is not None
        psutil.Process(supervisor.pid).kill()
        await supervisor.wait()
        assert await ComfyConnector.create(**lazily(emulator)) is connector
        assert connector.state == "ready"
        assert texts_of(await connector.run_workflow(show_prompt(4), False)) == ["4"]


async def test_uploads_survive_a_restart(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Ephemeral uploads stay until kill_api, also when the server has to be started again in between."""
    source = tmp_path / "kept.bin"
    source.write_bytes(b"x")
    async with await ComfyConnector.create(**lazily(emulator)) as connector:
        uploaded = Path(connector.upload_data(source, is_ephemeral=True))
        supervisor = connector._parts.supervisor
        assert supervisor is not None
        psutil.Process(supervisor.pid).kill()
        await supervisor.wait()
        await connector.run_workflow(show_prompt(5), False)
        assert uploaded.exists()
    assert not uploaded.exists()


async def test_server_that_ignores_sigterm(emulator: EngineUnderTest, trace: Trace) -> None:
    """A server that cannot be asked to stop is killed; stopped (SIGSTOP) processes ignore everything else too."""
    connector = await ComfyConnector.create(**lazily(emulator), stop_grace=0.5)
    trace.record()
    psutil.Process(server_pid(connector)).suspend()
    await connector.kill_api()
    assert trace.left() == []


async def test_busy_port_is_passed_over(emulator: EngineUnderTest, trace: Trace) -> None:
    """Where somebody listens on the first ports, the next free one is taken."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        one.listen()
        try:
            two.bind(("127.0.0.1", port + 1))
        except OSError:
            pass  # somebody else holds it: so much the better
        else:
            two.listen()
        async with await ComfyConnector.create(**{**lazily(emulator), "initial_port": port}) as connector:
            taken = int(connector.server_address.rpartition(":")[2])
            assert port + 1 < taken <= port + 1000
            assert texts_of(await connector.run_workflow(show_prompt(6), False)) == ["6"]


async def test_two_connectors_share_a_port_range(emulator: EngineUnderTest, trace: Trace) -> None:
    """They do not fight for a port: each gets its own."""
    made = [await ComfyConnector.launch(**lazily(emulator)) for _ in range(2)]
    ports = [int(connector.server_address.rpartition(":")[2]) for connector in made]
    assert len(set(ports)) == 2
    assert min(ports) >= PORT
    for connector in made:
        await connector.kill_api()
