"""One suite, two engines: the emulator always, a real ComfyUI where there is one.

One server per engine serves the whole session, through one connector; pytest groups the tests by engine.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from contract.engines import REAL, EngineUnderTest, comfyui_home, emulator_home, private_environment

from discomfort import ComfyConnector

HERE = Path(__file__).resolve().parent
_ENGINES = [pytest.param("emulator", id="emulator")]
if REAL is not None:
    _ENGINES.append(pytest.param("comfyui", id="comfyui", marks=pytest.mark.comfyui))
_OPEN: list[tuple[asyncio.AbstractEventLoop, ComfyConnector]] = []


@pytest.fixture(scope="session", autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals and caches go to a folder of the session's own; settings in the environment do not count."""
    with private_environment(tmp_path_factory.mktemp("state")):
        yield


@pytest.fixture(scope="session", params=_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineUnderTest:
    """The engine under test, not started."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "emulator":
        return emulator_home(home)
    if REAL is None:
        raise AssertionError("this parameter exists only where there is a ComfyUI")
    return comfyui_home(home, REAL)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connector(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """The session's connector of that engine. It is not the process's single instance: tests may make their own."""
    made = await ComfyConnector.create(**engine.settings)
    # It steps aside, as if it lived in another process, for the tests of the life cycle.
    ComfyConnector._instance = None
    _OPEN.append((asyncio.get_running_loop(), made))
    yield made
    await made.kill_api()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Release the session's server with the last test of this folder: other suites should not run beside it."""
    if nextitem is not None and nextitem.path.is_relative_to(HERE):
        return
    while _OPEN:
        loop, open_connector = _OPEN.pop()
        if not loop.is_closed():
            loop.run_until_complete(open_connector.kill_api())


@pytest_asyncio.fixture(loop_scope="session")
async def raw(connector: ComfyConnector) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP to the server under test, as somebody else would use it."""
    async with aiohttp.ClientSession(connector.server_address) as session:
        yield session


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The file that opens a ContractGate; it is opened at the end of the test whatever happened."""
    path = tmp_path / "open"
    yield path
    path.touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All coroutines of this suite share the loop that the session's connector lives in."""
    mark = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.is_relative_to(HERE) and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(mark, append=False)
