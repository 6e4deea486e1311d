"""What we do ourselves: callbacks, exits, forks, full disks, no descriptors, clocks, and several of us.

Ctrl-C once and twice, SIGTERM, SIGHUP, SIGKILL, and a program that just ends: ``faults/test_our_end.py``. Cancellation
at every await: ``test_sweep.py``. Timeouts: ``contract/test_running.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, record_of, show_prompt, texts_of
from faults.test_ended_from_elsewhere import gated, lose, starts
from faults.test_our_end import without_folder
from faults.traces import Trace
from matrix import children
from matrix.conftest import THROUGH_THE_BROWSER
from matrix.test_server_faults import runs
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import RunTimeout
from discomfort.progress import Done, ProgressEvent

CONDITIONS = children.conditions_can_be_set()


@pytest.mark.parametrize("kind", ["plain", "async", "cancels", "slow"])
async def test_us_callback_misbehaves(shared: ComfyConnector, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises, is cancelled or takes its time: the run has its result, the next one its events."""
    seen: list[ProgressEvent] = []

    def plain(event: ProgressEvent) -> None:
        seen.append(event)
        raise ZeroDivisionError("in the callback")

    async def asynchronous(event: ProgressEvent) -> None:
        seen.append(event)
        await asyncio.sleep(0)
        raise ZeroDivisionError("in the callback")

    async def cancels(event: ProgressEvent) -> None:
        seen.append(event)
        raise asyncio.CancelledError

    async def slow(event: ProgressEvent) -> None:
        seen.append(event)
        await asyncio.sleep(0.02)

    callback = {"plain": plain, "async": asynchronous, "cancels": cancels, "slow": slow}[kind]
    prompt = {"1": node("ContractSteps", steps=20, preview="JPEG")}
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(30):
            history = await shared.run_workflow(prompt, False, on_progress=callback)
    assert record_of(history)["status"]["completed"] is True
    if kind == "slow":
        assert isinstance(seen[-1], Done)
    else:
        assert len(seen) == 1
    if kind in {"plain", "async"}:
        assert "in the callback" in caplog.text
    events = Recorder()
    await shared.run_workflow(show_prompt(1), False, on_progress=events)
    assert events.of(Done)


async def test_us_callback_uses_the_connector(shared: ComfyConnector) -> None:
    """A callback that runs another workflow, and one that cancels its own run: neither locks up."""
    results: list[list[str]] = []

    async def nested(event: ProgressEvent) -> None:
        if isinstance(event, Done):
            results.append(texts_of(await shared.run_workflow(show_prompt(31), False)))

    async with asyncio.timeout(30):
        await shared.run_workflow(show_prompt(30), False, on_progress=nested)
    assert results == [["31"]]


async def test_us_clock_jumps(shared: ComfyConnector, monkeypatch: pytest.MonkeyPatch, gate: Path) -> None:
    """The time of day leaps forward and back by years during runs: no timeout fires, none is missed."""
    real = time.time
    jumps = itertools.cycle([1e9, -1e9, 0.0, 3600.0, -86400.0])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    events = Recorder()
    run = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events, timeout=60))
    await events.running()
    async with asyncio.timeout(30):
        behind = [asyncio.create_task(shared.run_workflow(show_prompt(n), False, timeout=60)) for n in range(5)]
        with pytest.raises(TimeoutError):
            await shared.run_workflow(show_prompt(99), False, timeout=0.3)
        gate.touch()
        assert record_of(await run)["status"]["completed"] is True
        assert [texts_of(await task) for task in behind] == [[str(n)] for n in range(5)]


async def test_us_clock_jumps_over_a_life(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It leaps between start, upload and shutdown: what is ours is still known as ours, and goes."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 1e8)
    connector = await ComfyConnector.create(**emulator.settings)
    uploaded = Path(connector.upload_data(source, is_ephemeral=True))
    monkeypatch.setattr(time, "time", lambda: real() + 1e8)
    assert await connector._validate_resources() is True
    assert await runs(connector)
    trace.record()
    async with asyncio.timeout(60):
        await connector.kill_api()
    assert not uploaded.exists()
    assert trace.left() == []


async def test_us_sys_exit(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """``sys.exit(5)`` in the middle of a run: that exit code, and nothing left."""
    child = await children.begin("leave_by_exit", emulator.settings, tmp_path / "never", 5)
    told, _ = await children.end(child, code=5)
    trace.note_port(told["address"])
    assert await trace.settle() == []
    assert not Path(told["uploaded"]).exists()


async def test_us_loop_closed_with_runs_pending(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """The loop is closed under a running prompt: the next ``create``, in another loop, clears up and works."""
    child = await children.begin("close_the_loop", emulator.settings, tmp_path / "never")
    told, _ = await children.end(child)
    assert told == {"other": True, "old_server_gone": True, "text": "3", "state": "killed"}
    assert await trace.settle() == []


async def test_us_fork_after_create(emulator: EngineUnderTest, trace: Trace) -> None:
    """Forked children end, with and without exit handlers: the server, its runs and its files stay the parent's."""
    child = await children.begin("fork", emulator.settings)
    told, _ = await children.end(child)
    assert told == {"codes": [7, 7], "text": "4", "kept": True, "gone": True}
    assert await trace.settle() == []


def with_everything(engine: EngineUnderTest) -> dict[str, Any]:
    """Settings for private folders and a browser that each conversion uses."""
    return {**without_folder(engine).settings, **THROUGH_THE_BROWSER, "prompt_cache": "off"}


@pytest.mark.browser
@pytest.mark.parametrize("how", ["end", "create"])
async def test_us_fork_with_private_folders_and_browser(emulator: EngineUnderTest, trace: Trace, how: str) -> None:
    """A forked child ends normally, or makes a connector of its own: folders, files, server and browser stay ours."""
    child = await children.begin("fork_with_everything", with_everything(emulator), how)
    told, _ = await children.end(child)
    of_child = "True" if how == "create" else ""
    assert told == {
        "code": 0, "child": of_child, "lost": [], "text": "4", "kept": True, "healthy": True, "completed": True,
        "gone": True,
    }  # fmt: skip
    assert await trace.settle() == []


@pytest.mark.browser
@pytest.mark.parametrize("where", ["outside", "within"])
async def test_us_fork_in_a_program_without_coroutines(emulator: EngineUnderTest, trace: Trace, where: str) -> None:
    """The same with SyncConnector, whose child ends by sys.exit, outside or within the ``with`` block."""
    child = await children.begin("fork_without_a_loop", with_everything(emulator), where)
    told, _ = await children.end(child)
    assert told == {"code": 0, "lost": [], "completed": True}
    assert await trace.settle() == []


async def test_us_forked_children_outlive_us(emulator: EngineUnderTest, trace: Trace) -> None:
    """A forked child that lives on does not keep the watchdog waiting after our end."""
    child = await children.begin("leave_with_a_child", emulator.settings)
    told, _ = await children.end(child, code=-9)
    child_of_it = f"process {told['child']} "
    try:
        trace.note_port(told["address"])
        await until(lambda: all(entry.startswith(child_of_it) for entry in trace.left()), 20)
        assert psutil.pid_exists(told["child"])
    finally:
        psutil.Process(told["child"]).kill()


async def test_us_file_size_limit(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A file that the system refuses to let grow: the upload fails with the system's error and leaves no part of it."""
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(8 << 20))
    async with await ComfyConnector.create(**emulator.settings) as connector:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(OSError, match="(?i)large"):
                connector.upload_data(large)
            with pytest.raises(OSError, match="(?i)large"):
                connector.upload_data(large, is_ephemeral=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in (emulator.home / "input").rglob("*") if path.is_file()] == []
        assert await runs(connector)
        assert Path(connector.upload_data(large)).stat().st_size == 8 << 20


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_us_disk_full(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A full disk: uploads fail with ENOSPC and leave nothing, a saving node fails as itself, space heals both."""
    disk, other = tmp_path / "disk", tmp_path / "other"
    disk.mkdir()
    other.mkdir()
    command = emulator.settings["api_command_line"].replace(str(emulator.home), str(disk))
    settings = {**emulator.settings, "api_command_line": command, "emulator_directory": disk}
    child = await children.begin("fill_the_disk", settings, other, prefix=children.small_disk(disk, "8m"))
    told, _ = await children.end(child)
    named = told.pop("told")
    assert told == {"faults": ["ENOSPC"] * 3, "left": ["small.bin"], "end": "ExecutionError", "after": True}
    assert named == [str(disk / "input")] * 3
    assert await trace.settle() == []


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_us_disk_full_of_outputs(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Saving to a full disk raises DiskFullError with folder and file and leaves nothing; with space it works."""
    disk = tmp_path / "disk"
    disk.mkdir()
    child = await children.begin(
        "save_to_a_full_disk", emulator.settings, disk, prefix=children.small_disk(disk, "256k")
    )
    told, _ = await children.end(child)
    folder, filename, text = told.pop("told")
    assert told == {"left": ["ballast"], "after": "picture.png"}
    assert (folder, filename) == (str(disk), str(disk / "picture.png"))
    assert f"the disk of {disk} is full" in text
    assert "Free some space there" in text
    assert await trace.settle() == []


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_us_disk_full_of_temporary_files(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A self-test that finds the temporary folder full is an error that names it and what to do."""
    disk = tmp_path / "disk"
    disk.mkdir()
    settings = {key: value for key, value in emulator.settings.items() if key != "emulator_directory"}
    settings["api_command_line"] = settings["api_command_line"].replace(f"--base-directory {emulator.home} ", "")
    prefix = (*children.small_disk(disk, "256k"), "env", f"TMPDIR={disk}")
    child = await children.begin("start_with_a_full_temporary_folder", settings, disk, prefix=prefix)
    told, _ = await children.end(child)
    assert told["cause"] == "ExecutionError"
    assert f"The disk of {disk}/discomfort-" in told["told"]
    assert "TMPDIR" in told["told"]
    assert await trace.settle() == []


async def test_us_out_of_descriptors(emulator: EngineUnderTest, trace: Trace) -> None:
    """No descriptor is left in the middle of a life: calls fail as our or the system's error; then all works."""
    child = await children.begin("use_up_descriptors", emulator.settings)
    told, _ = await children.end(child)
    assert set(told["kinds"]) <= {"result", "discomfort", "builtins"}, told
    assert told["uploaded"] in {"OSError", "uploaded"}
    assert told["after"] == "2"
    assert await trace.settle() == []


async def test_us_out_of_descriptors_at_the_start(emulator: EngineUnderTest, trace: Trace) -> None:
    """Starts with 1, 3, 6 … descriptors to spare fail as our own error or work; a later one works."""
    child = await children.begin("start_without_descriptors", emulator.settings)
    told, _ = await children.end(child)
    assert told["after"] == "5"
    for name in told["names"]:
        assert name == "started" or name.startswith(("discomfort.", "builtins.OSError")), told
    assert await trace.settle() == []


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_us_read_only_folders(
    emulator: EngineUnderTest, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input, output or state folder may not be written to: the system's error, a node's error, and the rest works."""
    journal = Path(os.environ["XDG_STATE_HOME"]) / "discomfort" / "journal"
    child = await children.begin(
        "find_folders_read_only", emulator.settings, emulator.home, journal, prefix=children.NOBODY
    )
    told, _ = await children.end(child)
    assert told["faults"] == {"input": "PermissionError", "journal": "uploaded"}
    assert told["end"] == "ExecutionError"
    assert told["after"] == "6"
    assert await trace.settle() == []


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_us_read_only_temporary_folder(
    emulator: EngineUnderTest, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be written to the folder for temporary files: an error of ours, or a start that needs none of it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(closed))
        child = await children.begin(
            "start_where_nothing_can_be_written",
            {**emulator.settings, "browser": "eager"},
            prefix=children.NOBODY,
        )
        told, _ = await children.end(child)
    assert told["end"] in {"7", "discomfort.exceptions"}
    assert await trace.settle() == []


async def test_us_several_processes_on_one_folder(emulator: EngineUnderTest, trace: Trace) -> None:
    """Four processes start at once on one folder and one port range: each gets its port and its own results."""
    started = [await children.begin("work_beside_another", emulator.settings, f"name{n}", 30) for n in range(4)]
    ports = [(await children.line(process))["port"] for process in started]
    assert len(set(ports)) == 4
    told = await asyncio.gather(*(children.end(process) for process in started))
    assert [facts for facts, _ in told] == [{"texts": 30, "upload": f"name{n}"} for n in range(4)]
    assert [err for _, err in told if "another program" in err] == []
    for address in ports:
        trace.note_port(address)
    assert await trace.settle() == []
    assert [path.name for path in (emulator.home / "input").rglob("*") if path.is_file()] == []
    saved = [path.name for path in (emulator.home / "output").iterdir()]
    assert sorted(saved) == [f"name{n}_00001_.png" for n in range(4)]


async def test_us_timeout_while_the_server_starts_anew(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """The server died before, and there is no time for a new one: timeouts, and one start serves all who come."""
    folder = tmp_path / "gate"
    async with await ComfyConnector.create(**gated(emulator, folder, "start")) as connector:
        await lose(connector)
        for number in range(5):
            with pytest.raises(TimeoutError):
                await connector.run_workflow(show_prompt(number), False, timeout=0.05)
        late = [asyncio.create_task(connector.run_workflow(show_prompt(n), False, timeout=0.05)) for n in range(5)]
        ends = await asyncio.gather(*late, return_exceptions=True)
        assert [type(end) for end in ends] == [RunTimeout] * 5
        (folder / "may-start").touch()
        assert await runs(connector)
        assert starts(folder) == 2
