"""Every test here starts real processes, and ends by looking for what is left of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from contract.engines import ENGINES, EngineUnderTest, prepare, private_environment, with_small_frontend
from faults.traces import Trace, nothing_left
from ports import first_port

PORT = first_port(19088)
_PORTS = {"emulator": PORT, "comfyui": PORT + 100}


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
    return with_small_frontend(prepare(kind, home, initial_port=_PORTS[kind]))


@pytest.fixture(params=ENGINES)
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
    async with nothing_left(Trace, temporary, monkeypatch) as followed:
        yield followed
