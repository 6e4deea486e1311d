"""Faults as real ones: processes, signals, sockets, browsers; every test ends by looking for what is left.

Tests that take ``trace`` start a server of their own; those that take ``shared`` use one server per engine for the
whole session, and put it back in order where they break it.
"""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from contract.engines import ENGINES, EngineUnderTest, prepare, private_environment, with_small_frontend
from contract.sessions import SharedServers
from faults.conftest import private_state, temporary  # noqa: F401 - fixtures
from faults.traces import Trace, nothing_left
from matrix.faulty import Faulty
from ports import first_port
from waiting import until

from discomfort import ComfyConnector

HERE = Path(__file__).resolve().parent
PACK = HERE / "pack"
PORT = first_port(27500)
THROUGH_THE_BROWSER = {"browser": "eager", "native_conversion": "off"}
"""Settings for faults of the browser: each conversion uses it, and nothing else does between them."""
_SERVERS = SharedServers(HERE)


def prepared(kind: str, home: Path, port: int) -> EngineUnderTest:
    """An engine with the nodes of both packs, not started, without a browser until one is needed."""
    engine = prepare(kind, home, initial_port=port)
    if kind == "emulator":
        more = ["--extra-nodes", str(PACK / "matrix_nodes.py")]
    else:
        paths = home / "matrix_paths.yaml"
        paths.write_text(f"matrix:\n  base_path: {HERE}\n  custom_nodes: {PACK.name}\n")
        more = ["--extra-model-paths-config", str(paths)]
    command = f"{engine.settings['api_command_line']} {shlex.join(more)}"
    settings = {**engine.settings, "api_command_line": command, "browser": "lazy"}
    return with_small_frontend(replace(engine, settings=settings))


class LaterTrace(Trace):
    """A trace beside the session's server, whose threads were there before."""

    def __init__(self, folder: Path, mark: str) -> None:
        super().__init__(folder, mark)
        self.earlier_threads = frozenset(threading.enumerate())


@pytest_asyncio.fixture
async def trace(
    temporary: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Trace]:
    """Follows what the test starts; whatever is left at its end fails the test, and is then ended."""
    # torch keeps a cache there for all its processes, which is not the server's to delete.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    # The locks of ports are kept below the folder that is watched, where a user has no folder for such things.
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    async with nothing_left(LaterTrace, temporary, monkeypatch) as followed:
        yield followed


@pytest.fixture
def emulator(tmp_path: Path) -> EngineUnderTest:
    """An emulator, not started."""
    home = tmp_path / "home"
    home.mkdir()
    return prepared("emulator", home, PORT)


@pytest.fixture(params=ENGINES)
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> EngineUnderTest:
    """Each engine, not started."""
    home = tmp_path / "home"
    home.mkdir()
    return prepared(request.param, home, PORT + 100)


@pytest.fixture
def faulty(tmp_path: Path) -> Callable[..., Faulty]:
    """Makes a server with faults: ``faulty("--ignore-sigterm", rules=[…])``, not started."""

    def make(*switches: str, rules: list[dict[str, Any]] | None = None) -> Faulty:
        home = tmp_path / "faulty"
        home.mkdir(exist_ok=True)
        return Faulty(home, switches, rules or [], PORT + 200)

    return make


@pytest.fixture(scope="session", params=ENGINES)
def shared_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineUnderTest:
    """The engine of the session's server."""
    return prepared(request.param, tmp_path_factory.mktemp(f"matrix-{request.param}"), PORT + 300)


@pytest.fixture(scope="session")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Journals and caches of the folder's connector."""
    return tmp_path_factory.mktemp("matrix-state")


@pytest_asyncio.fixture(loop_scope="session")
async def shared(shared_engine: EngineUnderTest, shared_state: Path, gate: Path) -> AsyncIterator[ComfyConnector]:
    """The folder's connector; afterwards nothing of the test is queued, pending, or at work in the background."""
    with private_environment(shared_state):
        connector = await _SERVERS.get(shared_engine.settings)
    yield connector
    gate.touch()
    client = connector._parts.client
    await until(lambda: client is None or not (client.pending or _busy()), 30)
    if connector.state == "ready":
        await until(lambda: idle(connector), 30)


def _busy() -> list[str]:
    names = ("discomfort-withdraw", "discomfort-progress", "discomfort-close")
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() in names]


async def remaining(connector: ComfyConnector) -> int:
    """How many prompts the server has."""
    async with aiohttp.ClientSession() as session, session.get(f"{connector.server_address}/prompt") as response:
        return int((await response.json())["exec_info"]["queue_remaining"])


async def idle(connector: ComfyConnector) -> bool:
    """Whether the server has nothing to do."""
    return not await remaining(connector)


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(shared: ComfyConnector) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP to the session's server, as somebody else would use it."""
    async with aiohttp.ClientSession(shared.server_address) as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def _end_of_session() -> AsyncIterator[None]:
    """Shuts the servers down with the last test of all, before the session's loop is closed."""
    yield
    await _SERVERS.aclose()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Release the session's server with the last test of this folder."""
    _SERVERS.release_after(nextitem)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the session's server run in the loop that its connector lives in."""
    _SERVERS.share_loop(items, lambda item: "shared" in getattr(item, "fixturenames", ()))
