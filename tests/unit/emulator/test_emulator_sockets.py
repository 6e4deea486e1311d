"""Sockets: greetings, shared ids, clients that do not read, and messages from clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import aiohttp
import pytest

from comfyui_emulator.http import hub
from comfyui_emulator.http.hub import Client, Hub
from comfyui_emulator.server import EMULATOR

N = Any


async def test_greeting_has_the_id(emulator: N) -> None:
    """The first message has the id, generated if none was given."""
    async with emulator.http.ws_connect("/ws?clientId=abc") as socket:
        greeting = await socket.receive_json(timeout=10)
    async with emulator.http.ws_connect("/ws") as socket:
        anonymous = await socket.receive_json(timeout=10)

    assert greeting == {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "abc"}}
    assert len(anonymous["data"]["sid"]) == 32


async def test_two_sockets_with_one_id(emulator: N, make: N) -> None:
    """The newer receives; if the older closes nothing changes, and if the newer closes the older takes over."""
    graph = {"1": make("PreviewAny", source="x")}

    async def finish(socket: Any) -> str:
        while (message := await socket.receive_json(timeout=10))["type"] != "execution_success":
            pass
        return str(message["type"])

    oldest, middle, newest = [await emulator.socket("same") for _ in range(3)]
    await middle.close()
    await emulator.submit(graph, client_id="same")
    assert await finish(newest) == "execution_success"
    await newest.close()
    await emulator.submit(graph, client_id="same")
    assert await finish(oldest) == "execution_success"
    await oldest.close()


async def test_reconnecting_client_learns_the_running_node(emulator: N, make: N, nodes: N) -> None:
    """A socket that reconnects while its prompt runs gets the node and nothing else."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    async with await emulator.socket("me"):
        await emulator.submit({"7": make("Gate", value=1), "8": make("PreviewAny", source=["7", 0])}, client_id="me")
        assert await asyncio.to_thread(gate.entered.wait, 20)

    async with await emulator.socket("me") as socket:
        message = await socket.receive_json(timeout=10)
    gate.leave.set()

    assert message == {"type": "executing", "data": {"node": "7"}}


async def test_feature_flags_only_as_the_first_message(emulator: N) -> None:
    """The answer comes to the first message only; nonsense is ignored."""
    async with await emulator.socket() as socket:
        await socket.send_json({"type": "feature_flags", "data": {}})
        answer = await socket.receive_json(timeout=10)
        await socket.send_json({"type": "feature_flags", "data": {}})
        await socket.send_str("no json")
        await socket.send_str("[]")
        await socket.ping()
        await emulator.post("/queue", json={"clear": True})
        after = await socket.receive_json(timeout=10)

    assert answer == {"type": "feature_flags", "data": await emulator.get("/features")}
    assert after["type"] == "status"


async def test_too_long_a_message_ends_the_connection(emulator: N) -> None:
    """More than 4 MiB from a client is not read."""
    async with await emulator.socket("long") as socket:
        # The server may reset the connection while the rest is still being sent.
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await socket.send_str("x" * (4 * 1024 * 1024 + 1))
        message = await socket.receive(timeout=10)

    assert message.type.name in ("CLOSE", "CLOSED", "ERROR")


class _Stuck:
    """A socket that never accepts data."""

    closed = False

    async def send_str(self, _: str) -> None:
        await asyncio.Event().wait()

    async def close(self, **_: Any) -> bool:
        self.closed = True
        return True


async def test_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog over the limit disconnects that client; another one gets everything."""
    monkeypatch.setattr(hub, "BACKLOG_BYTES", 1000)
    sockets = Hub({})
    slow, fine = (Client(_Stuck(), sid) for sid in ("slow", "fine"))  # type: ignore[arg-type]
    sockets._clients = {"slow": [slow], "fine": [fine]}
    for _ in range(40):
        sockets.send("status", {"x": "y" * 50})
        fine._waiting.clear()
        fine._bytes = 0
    await asyncio.sleep(0)

    assert slow.socket.closed
    assert not fine.socket.closed
    assert sockets.newest("slow") is None


async def test_closing_leaves_nothing(launch: N, make: N, nodes: N) -> None:
    """A server that is closed while a node runs ends at once, its temporary folder removed."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    async with launch() as client:
        emulator = client.http.app[EMULATOR]
        temp = emulator.folders.temp
        assert temp.is_dir()
        await client.socket("me")
        await client.submit({"1": make("Gate", value=1), "2": make("PreviewAny", source=["1", 0])}, client_id="me")
        assert await asyncio.to_thread(gate.entered.wait, 20)
    gate.leave.set()

    assert not temp.exists()


async def test_temporary_folder_is_never_shared(launch: N) -> None:
    """A second server on the same base uses a folder of its own, and the first one's files stay."""
    async with launch() as first:
        (first.base / "temp" / "mine").touch()
        async with launch() as second:
            other = second.http.app[EMULATOR].folders.temp
            assert other != first.base / "temp"
            assert other.is_dir()
        assert (first.base / "temp" / "mine").exists()
        assert not other.exists()
