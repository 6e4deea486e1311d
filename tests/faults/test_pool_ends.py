"""The end of a program with a pool, however it comes: no process, port or file of its runs is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from contract.engines import EngineUnderTest
from faults.traces import Trace
from PIL import Image
from waiting import until

PROGRAM = Path(__file__).with_name("pool_program.py")


def files_of(engine: EngineUnderTest) -> set[str]:
    """What is in the folders that both servers share."""
    folders = engine.home / "input", engine.home / "output"
    # os.walk passes over a folder that goes meanwhile, as those of runs do.
    return {str(Path(at, name)) for folder in folders for at, _, names in os.walk(folder) for name in names}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
async def test_nothing_of_a_pool_is_left(
    number: signal.Signals, any_engine: EngineUnderTest, trace: Trace, tmp_path: Path
) -> None:
    """In mid-run, with a picture brought and one saved."""
    picture, gate = tmp_path / "red.png", tmp_path / "never"
    Image.new("RGB", (8, 8), (255, 0, 0)).save(picture)
    before = files_of(any_engine)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in any_engine.settings.items()}
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), json.dumps(settings), str(gate), str(picture),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    for address in json.loads(await program.stdout.readline()):
        trace.note_port(address)
    trace.record()
    assert len(files_of(any_engine) - before) == 2
    program.send_signal(number)
    await program.communicate()
    assert program.returncode != 0
    assert await trace.settle() == []
    await until(lambda: files_of(any_engine) == before)
    assert not list((any_engine.home / "output").glob("discomfort-*"))
