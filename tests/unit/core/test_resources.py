"""What a connector holds: started where others are in the way, given back where it cannot all be given back."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from contract.engines import private_environment
from ports import first_port
from unit.client.fake_comfy import FakeComfy, own_tasks
from waiting import until

from discomfort import ComfyConnector
from discomfort.config import load_settings
from discomfort.connector.resources import Resources
from discomfort.exceptions import ServerConnectionError, ServerStartError, ServerStartTimeout, StateError

STARTER = """
import pathlib, runpy, sys
count = pathlib.Path(sys.argv[1])
tries = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (tries + 1))
if tries < int(sys.argv[2]):
    sys.exit(sys.argv[3])
sys.argv = ["discomfort", "serve", *sys.argv[4:]]
runpy.run_module("discomfort", run_name="__main__")
"""
Make = Callable[[int, str], Resources]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes parts whose server ends a number of times with a message before it starts; they are released."""
    made: list[Resources] = []
    script = tmp_path / "starter.py"
    script.write_text(STARTER)

    def parts(failures: int, message: str) -> Resources:
        words = [sys.executable, str(script), str(tmp_path / "count"), str(failures), message]
        made.append(
            Resources(
                load_settings(engine="emulator", api_command_line=shlex.join(words), initial_port=first_port(19700))
            )
        )
        return made[-1]

    with private_environment(tmp_path / "private"):
        yield parts
        for each in made:
            assert await each.release() == []


async def test_port_that_was_taken_meanwhile(make: Make, tmp_path: Path) -> None:
    """The server says so and ends, and whoever had the port is gone by then: it is started again."""
    parts = make(1, "[Errno 98] error while attempting to bind on address: address already in use")
    await asyncio.to_thread(parts.prepare)
    await parts.start_server(lambda: None)

    assert (tmp_path / "count").read_text() == "xx"
    assert parts.supervisor is not None
    await parts.start_server(lambda: None)
    assert (tmp_path / "count").read_text() == "xx"


async def test_a_server_does_not_get_the_key(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node packs can read their environment; the key comes with the prompts that need it."""
    monkeypatch.setenv("DISCOMFORT_API_KEY", "comfyui-key")
    parts = make(0, "")
    await asyncio.to_thread(parts.prepare)
    await parts.start_server(lambda: None)

    assert parts.supervisor is not None
    assert "DISCOMFORT_API_KEY" not in psutil.Process(parts.supervisor.pid).environ()
    assert os.environ["DISCOMFORT_API_KEY"] == "comfyui-key"


@pytest.mark.parametrize(("message", "tries"), [("address already in use", "xxx"), ("no such thing", "x")])
async def test_start_that_fails_again_and_again(make: Make, tmp_path: Path, message: str, tries: str) -> None:
    """Three ports at most; another failure is not tried again."""
    parts = make(9, message)
    await asyncio.to_thread(parts.prepare)
    with pytest.raises(ServerStartError) as caught:
        await parts.start_server(lambda: None)

    assert caught.value.exit_code == 1
    assert (tmp_path / "count").read_text() == tries


async def test_start_timeout_holds_for_all_tries(tmp_path: Path) -> None:
    """The time of a try that lost its port is not given to the next one; the error names the setting's seconds."""
    clock = tmp_path / "count"
    words = [sys.executable, str(tmp_path / "starter.py"), str(clock), "1", "address already in use", "--fault"]
    (tmp_path / "starter.py").write_text(STARTER)
    settings = load_settings(
        engine="emulator",
        api_command_line=shlex.join([*words, "never_listen=1"]),
        initial_port=first_port(19700),
        start_timeout=2.5,
    )
    with private_environment(tmp_path / "private"):
        parts = Resources(settings)
        await asyncio.to_thread(parts.prepare)
        try:
            with pytest.raises(ServerStartTimeout, match=r"within 2\.5 s"):
                await parts.start_server(lambda: None)
            assert parts._budget_left(time.monotonic() - 1.0) < 1.5
        finally:
            assert await parts.release() == []


async def test_journal_that_can_not_be_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No state folder: a warning; the watchdog alone knows the private folders, and they go at the release."""
    (tmp_path / "state").write_text("a file, no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    parts = make(0, "")
    await asyncio.to_thread(parts.prepare)

    assert "not in the journal" in caplog.text
    assert parts.engine is not None
    folders = parts.engine.private
    assert [folder.is_dir() for folder in folders] == [True]
    assert await parts.release() == []
    assert not folders[0].exists()


async def test_emergency_release(make: Make) -> None:
    """Everything is given back at once and without a loop; a part that raises does not keep the others."""
    parts = make(0, "")
    await asyncio.to_thread(parts.prepare)
    parts.take_port()
    assert parts.engine is not None
    assert parts.lease is not None
    folder, lock = parts.engine.private[0], parts.lease.path
    assert lock is not None
    assert lock.exists()
    assert parts.files is not None
    parts.files.delete_ephemeral = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]

    await asyncio.to_thread(parts.kill_now)

    assert not folder.exists()
    assert not lock.exists()
    assert (parts.engine, parts.lease, parts.journal, parts.watchdog) == (None, None, None, None)
    # What could not be deleted is not forgotten: a release tries again.
    assert await parts.release() == ["ephemeral files"]
    del parts.files.delete_ephemeral


async def test_server_before_its_preparation() -> None:
    """That is a mistake of ours, and said so."""
    with pytest.raises(AssertionError, match="prepare"):
        await Resources(load_settings(engine="emulator")).start_server(lambda: None)


class Gate:
    """Answers ``/ws`` with ``answer`` once it is open; ``None`` lets the server answer."""

    def __init__(self, answer: web.Response | None = None) -> None:
        self.answer, self.opened = answer, asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.path != "/ws":
            return None
        await self.opened.wait()
        return self.answer


@pytest.fixture
async def server() -> AsyncIterator[FakeComfy]:
    """A fake ComfyUI that listens; no client of it is left at the end."""
    async with FakeComfy() as fake:
        yield fake
    assert not list(own_tasks())


async def test_client_whose_socket_opens(server: FakeComfy) -> None:
    """Until it is open nobody sees it, and whoever looks sees no connection; then all who opened have the same one."""
    server.fault = gate = Gate()
    connector = ComfyConnector(load_settings(engine="emulator"), attach_url=server.url)
    opening = [asyncio.create_task(connector._parts.open_client()) for _ in range(2)]
    await server.until_called("/ws", 2)
    record = {"p": {"prompt": [0, "p", {}, {}, []], "outputs": {"1": {"text": ["x"]}}}}

    assert connector._parts.client is None
    assert await connector.health() == {"client": "is not connected"}
    assert [output.kind for output in connector.outputs(record)] == ["text"]
    assert (await connector.diagnostics())["server"] == {"problem": "not connected"}

    gate.opened.set()
    clients = await asyncio.gather(*opening)
    assert clients[0] is clients[1] is connector._parts.client
    assert (await connector.health())["WebSocket"] == ""
    await until(lambda: len(server.sockets) == 1)
    await connector.kill_api()


async def test_client_whose_socket_does_not_open(server: FakeComfy) -> None:
    """It is not kept; the next try starts afresh."""
    server.fault = gate = Gate(web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}))
    gate.opened.set()
    connector = ComfyConnector(load_settings(engine="emulator"), attach_url=server.url)
    with pytest.raises(ServerConnectionError, match="redirect"):
        await connector._parts.open_client()
    assert connector._parts.client is None
    assert await connector.health() == {"client": "is not connected"}
    assert connector.outputs({}) == []

    server.fault = None
    assert await connector._parts.open_client() is connector._parts.client
    await connector.kill_api()


async def test_client_that_opens_when_all_was_released(server: FakeComfy) -> None:
    """It is closed again, and its caller learns why."""
    server.fault = gate = Gate()
    parts = Resources(load_settings(engine="emulator"), attach_url=server.url)
    opening = asyncio.create_task(parts.open_client())
    await server.until_called("/ws")
    await asyncio.to_thread(parts.kill_now)
    gate.opened.set()
    with pytest.raises(StateError, match="shut down"):
        await opening
    assert parts.client is None
    await until(lambda: not server.sockets)
