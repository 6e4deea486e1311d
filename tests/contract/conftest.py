"""One suite, two engines: the emulator always, a real ComfyUI where there is one.

One server per engine serves the whole session, through one connector; pytest groups the tests by engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from contract.engines import ENGINES, EngineUnderTest, prepare, private_environment
from contract.sessions import SharedServers
from ports import first_port

from discomfort import ComfyConnector

_PORTS = {"emulator": first_port(18188), "comfyui": first_port(18288)}
_SERVERS = SharedServers(Path(__file__).resolve().parent)


@pytest.fixture(scope="session", autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals and caches go to a folder of the session's own; settings in the environment do not count."""
    with private_environment(tmp_path_factory.mktemp("state")):
        yield


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineUnderTest:
    """The engine under test, not started."""
    return prepare(request.param, tmp_path_factory.mktemp(request.param), initial_port=_PORTS[request.param])


@pytest_asyncio.fixture(loop_scope="session")
async def connector(engine: EngineUnderTest) -> ComfyConnector:
    """The folder's connector of that engine. It is not the process's single instance: tests may make their own."""
    return await _SERVERS.get(engine.settings)


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def _end_of_session() -> AsyncIterator[None]:
    """Shuts the servers down with the last test of all, before the session's loop is closed."""
    yield
    await _SERVERS.aclose()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Release the session's server with the last test of this folder."""
    _SERVERS.release_after(nextitem)


@pytest_asyncio.fixture(loop_scope="session")
async def raw(connector: ComfyConnector) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP to the server under test, as somebody else would use it."""
    async with aiohttp.ClientSession(connector.server_address) as session:
        yield session


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All coroutines of this suite share the loop that the session's connector lives in."""
    _SERVERS.share_loop(items, lambda _: True)
