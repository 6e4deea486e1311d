"""Several owned servers of one process, and runs as objects, when something ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import gate_prompt, record_of, show_prompt, texts_of
from faults.test_server_dies import server_pid
from faults.traces import Trace
from waiting import until

from discomfort import ComfyConnector, Run
from discomfort.exceptions import ServerDiedError
from discomfort.progress import Done, ProgressEvent, Started

PROGRAM = Path(__file__).with_name("launching_program.py")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
async def test_four_launched_servers_end_with_their_process(
    number: signal.Signals, emulator: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """On one folder, each with an ephemeral upload and a run under way."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"ephemeral")
    chosen = {**emulator.settings, "browser": "lazy"}
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in chosen.items()}
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), json.dumps(settings), json.dumps(gate_prompt(tmp_path / "never")), str(source),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    facts: dict[str, Any] = json.loads(await program.stdout.readline())
    for address in facts["addresses"]:
        trace.note_port(address)
    assert len(trace.ports) == 4
    assert all(Path(path).exists() for path in facts["uploads"])
    trace.record()
    program.send_signal(number)
    await program.communicate()
    assert program.returncode != 0
    assert await trace.settle() == []
    assert not any(Path(path).exists() for path in facts["uploads"])


async def events_of(run: Run) -> list[ProgressEvent]:
    """All events from now on."""
    return [event async for event in run.events()]


async def test_dead_server_ends_waiters_and_readers(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """With the typed error, at once; one that was found dies with it too."""
    async with await ComfyConnector.launch(**{**emulator.settings, "browser": "lazy"}) as connector:
        run = await connector.submit(gate_prompt(tmp_path / "never"), False)
        readers = [asyncio.ensure_future(events_of(run)) for _ in range(2)]
        waiters = [asyncio.ensure_future(_wait(run)) for _ in range(2)]
        await until(lambda: run.status.phase == "running")
        psutil.Process(server_pid(connector)).kill()
        for error in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(error, ServerDiedError), error
        for events in await asyncio.gather(*readers):
            assert events[-1] == Done(run.prompt_id, success=False)
        assert run.status.success is False
    assert await trace.settle() == []


async def test_resubmitted_run_goes_on_as_the_same_object(
    emulator: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """One id, one end; the events begin again with the new server."""
    policy = {"on_server_death": "restart_and_resubmit", "browser": "lazy"}
    gate = tmp_path / "gate"
    async with await ComfyConnector.launch(**{**emulator.settings, **policy}) as connector:
        run = await connector.submit(gate_prompt(gate), False)
        reader = asyncio.ensure_future(events_of(run))
        await until(lambda: run.status.phase == "running")
        prompt_id = run.prompt_id
        psutil.Process(server_pid(connector)).kill()
        gate.touch()
        assert record_of(await run)["status"]["status_str"] == "success"
        assert run.prompt_id == prompt_id
        events = await reader
        assert sum(isinstance(event, Started) for event in events) >= 1
        assert [event for event in events if isinstance(event, Done)] == [Done(prompt_id, success=True)]
        assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]
    assert await trace.settle() == []


async def _wait(run: Run) -> Any:
    return await run
