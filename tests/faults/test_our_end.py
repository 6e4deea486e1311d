"""However our own process ends, nothing that it started stays."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, gate_prompt, show_prompt
from faults.traces import Trace

from discomfort.config import load_settings
from discomfort.connector.resources import Resources

PROGRAM = Path(__file__).with_name("child_program.py")


@pytest.fixture(autouse=True)
def runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port leases are kept below the folder that is watched: their files must go too."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


class Child:
    """The program in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, trace: Trace) -> None:
        self.process, self.trace = process, trace
        self.uploaded = Path()
        self.watchdog = 0

    @classmethod
    async def start(
        cls, engine: EngineUnderTest, trace: Trace, prompt: Prompt, style: str, upload: Path, **more: Any
    ) -> Child:
        """Start it and wait until its node runs."""
        upload.write_bytes(b"ephemeral")
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in engine.settings.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), json.dumps({**settings, **more}), json.dumps(prompt), str(upload), style,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        child = cls(process, trace)
        assert process.stdout is not None
        async with asyncio.timeout(90):
            line = await process.stdout.readline()
        if not line:
            raise AssertionError((await process.communicate())[1].decode())
        facts = json.loads(line)
        child.uploaded, child.watchdog = Path(facts["uploaded"]), facts["watchdog"]
        trace.note_port(facts["address"])
        assert child.uploaded.exists()
        return child

    async def end(self, *signals: signal.Signals) -> tuple[int, str]:
        """Send signals and wait for its end; returns exit code and stderr."""
        # Program, server, and the watchdog, which is nobody's child.
        assert len(self.trace.record() | {psutil.Process(self.watchdog)}) >= 3
        for number in signals:
            self.process.send_signal(number)
        async with asyncio.timeout(60):
            _, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@pytest.mark.browser
@pytest.mark.parametrize("style", ["tidy", "untidy"])
async def test_ctrl_c(style: str, emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a run, in a program that cleans up and in one that does not."""
    child = await Child.start(emulator, trace, gate_prompt(tmp_path / "never"), style, tmp_path / "up.bin")
    code, err = await child.end(signal.SIGINT)
    assert code != 0
    assert "KeyboardInterrupt" in err
    assert await trace.settle() == []
    assert not child.uploaded.exists()


@pytest.mark.browser
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda s: s.name)
async def test_deadly_signal(number: signal.Signals, emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A signal that gives a program no time, in the middle of a run."""
    child = await Child.start(emulator, trace, gate_prompt(tmp_path / "never"), "untidy", tmp_path / "up.bin")
    code, _ = await child.end(number)
    assert code == -number
    assert await trace.settle() == []
    assert not child.uploaded.exists()


@pytest.mark.browser
async def test_sigkill_with_all_direct_children(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """As Ray and systemd end a process: its children are killed with it, the watchdog among them if it is one."""
    private = without_folder(emulator)
    child = await Child.start(private, trace, gate_prompt(tmp_path / "never"), "untidy", tmp_path / "up.bin")
    trace.record()
    program = psutil.Process(child.process.pid)
    victims = [*program.children(), program]
    for process in victims:
        process.suspend()
    # One that is stopped starts nothing between one kill and the next.
    for process in victims:
        process.kill()
    await child.process.communicate()
    assert await trace.settle(5.0) == []
    assert not child.uploaded.exists()


def without_folder(engine: EngineUnderTest) -> EngineUnderTest:
    """The emulator in a private folder of the connector's."""
    settings = {key: value for key, value in engine.settings.items() if key != "emulator_directory"}
    settings["api_command_line"] = settings["api_command_line"].replace(f"--base-directory {engine.home} ", "")
    return replace(engine, settings=settings)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
async def test_deadly_signal_while_a_node_is_deaf(
    number: signal.Signals, any_engine: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """The same on each engine, while a node runs that ignores interrupts."""
    prompt = gate_prompt(tmp_path / "never", deaf=True)
    child = await Child.start(any_engine, trace, prompt, "untidy", tmp_path / "up.bin", browser="lazy")
    await child.end(number)
    assert await trace.settle() == []
    assert not child.uploaded.exists()


async def test_two_ctrl_c(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """The second Ctrl-C comes while the first is being obeyed."""
    child = await Child.start(
        emulator, trace, gate_prompt(tmp_path / "never"), "tidy", tmp_path / "up.bin", browser="lazy"
    )
    await child.end(signal.SIGINT, signal.SIGINT)
    assert await trace.settle() == []
    assert not child.uploaded.exists()


@pytest.mark.browser
async def test_program_that_just_ends(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A program that returns without kill_api: its exit code is 0 all the same, and nothing stays."""
    child = await Child.start(emulator, trace, show_prompt(1), "leave", tmp_path / "up.bin")
    async with asyncio.timeout(60):
        await child.process.communicate()
    assert child.process.returncode == 0
    assert await trace.settle() == []
    assert not child.uploaded.exists()


@pytest.mark.browser
async def test_power_cut(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """All processes end at once, the watchdog too: the next start removes private folders, upload and lock."""
    child = await Child.start(
        without_folder(emulator), trace, gate_prompt(tmp_path / "never"), "untidy", tmp_path / "up.bin"
    )
    processes = trace.record()
    # The watchdog first: it has no mark, and would clean up as soon as the program ends.
    for process in (psutil.Process(child.watchdog), *processes):
        process.kill()
    await child.process.communicate()
    left = trace.left()
    assert any("discomfort-" in found for found in left)

    parts = Resources(load_settings(engine="emulator", initial_port=emulator.settings["initial_port"]))
    await asyncio.to_thread(parts.prepare)
    parts.take_port()
    assert not child.uploaded.exists()
    assert await parts.release() == []
    assert await trace.settle() == []


LEAVING = Path(__file__).with_name("leaving_program.py")


@pytest.mark.parametrize("how", ["return", "exit"])
@pytest.mark.parametrize("kind", ["asyncio", "sync"])
async def test_normal_end_is_no_death(kind: str, how: str, emulator: EngineUnderTest, trace: Trace) -> None:
    """A program that ends without kill_api(): its end is one line in the log, and nobody is said to have died."""
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in emulator.settings.items()}
    words = [json.dumps({**settings, "browser": "lazy"}), json.dumps(show_prompt(1)), kind, how]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LEAVING), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        _, err = await process.communicate()
    text = err.decode()

    assert process.returncode == 0, text
    _, _, after = text.partition("INFO program: leaving\n")
    lines = after.splitlines()
    assert len(lines) <= 1, text
    assert all(line.startswith("INFO discomfort.") for line in lines), text
    assert "died" not in after
    assert await trace.settle() == []
