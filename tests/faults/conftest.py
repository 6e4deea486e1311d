"""Every test here starts real processes, and ends by looking for what is left of them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from contract.engines import REAL, EngineUnderTest, comfyui_home, emulator_home, private_environment
from faults.traces import MARK, Trace

from discomfort import ComfyConnector

_ENGINES = [pytest.param("emulator", id="emulator")]
if REAL is not None:
    _ENGINES.append(pytest.param("comfyui", id="comfyui", marks=pytest.mark.comfyui))
PORT = 19088


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path) -> Iterator[None]:
    """Journals and caches go to a folder of the test's own; settings in the environment do not count."""
    with private_environment(tmp_path / "private"):
        yield


@pytest.fixture
def emulator(tmp_path: Path) -> EngineUnderTest:
    """An emulator, not started."""
    return _prepared("emulator", tmp_path)


def _prepared(kind: str, tmp_path: Path) -> EngineUnderTest:
    home = tmp_path / "home"
    home.mkdir()
    if kind == "emulator":
        return emulator_home(home, initial_port=PORT)
    if REAL is None:
        raise AssertionError("this parameter exists only where there is a ComfyUI")
    return comfyui_home(home, REAL, initial_port=PORT + 100)


@pytest.fixture(params=_ENGINES)
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> EngineUnderTest:
    """Each engine, not started."""
    return _prepared(request.param, tmp_path)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files of this process and its children; a short name, for the sake of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="dft-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def trace(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trace]:
    """Follows what the test starts; whatever is left at its end fails the test, and is then ended."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    followed = Trace(temporary, mark)
    yield followed
    left = await followed.settle()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    instance, ComfyConnector._instance = ComfyConnector._instance, None
    for process in followed.record():
        process.kill()
    assert left == []
    assert {task.get_name() for task in tasks if task.get_name().startswith("discomfort")} == set()
    assert instance is None
