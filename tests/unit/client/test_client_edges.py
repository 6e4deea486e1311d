"""Rare ends: a server that breaks off in the wrong moment, names and disks that do not fit, uploads that do not end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from unit.client.fake_comfy import FAST, FakeComfy, Job, run_until_interrupted, stay_pending, succeed, tiny_prompt
from waiting import until

from discomfort._system import atomic_files
from discomfort._system.atomic_files import publish
from discomfort._system.filenames import safe_filename
from discomfort.client import upload
from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import Message, RunState, decode_binary, queue_positions, title_and_class
from discomfort.exceptions import RunTimeout, ServerConnectionError, ServerResponseError


async def test_upload_that_is_never_answered(
    server: FakeComfy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with an error in time; the thread goes when the server does."""
    gate = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse | None:
        await gate.wait()
        return None

    server.fault = silent
    monkeypatch.setattr("discomfort.client.rest._LEAST_UPLOAD", 0.2)
    source = tmp_path / "a.png"
    source.write_bytes(b"x")
    call = asyncio.to_thread(upload.upload_blocking, server.url, {}, source, "input", "", True)
    try:
        with pytest.raises(ServerConnectionError, match="no answer within"):
            await call
    finally:
        gate.set()


async def test_upload_that_is_refused(server: FakeComfy, tmp_path: Path) -> None:
    """The server's answer comes out of the thread as the error that it is."""

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=413, text="too large")

    server.fault = refuse
    source = tmp_path / "a.png"
    source.write_bytes(b"x")
    with pytest.raises(ServerResponseError) as caught:
        await asyncio.to_thread(upload.upload_blocking, server.url, {}, source, "input", "", True)
    assert caught.value.status == 413


async def test_withdrawal_that_is_refused(
    server: FakeComfy, client: ComfyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has its timeout in time; that the prompt stays on the server is logged."""

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500) if request.path in {"/queue", "/interrupt"} else None

    server.script = stay_pending
    server.fault = refuse
    with pytest.raises(RunTimeout):
        await client.run(tiny_prompt(), timeout=0.2)
    await until(lambda: "could not be taken off" in caplog.text)


async def test_withdrawal_whose_connection_breaks(server: FakeComfy, client: ComfyClient) -> None:
    """It is sent again: whoever was in the middle of it must not keep the prompt."""
    broken = 0

    async def break_off(request: web.Request) -> web.StreamResponse | None:
        nonlocal broken
        if request.method == "POST" and request.path == "/queue" and not broken:
            broken += 1
            assert request.transport is not None
            request.transport.abort()
        return None

    server.script = stay_pending
    server.fault = break_off
    with pytest.raises(RunTimeout):
        await client.run(tiny_prompt(), timeout=0.2)
    await until(lambda: not server.pending)
    assert broken == 1


async def test_node_that_goes_on_after_its_interrupt(
    server: FakeComfy, client: ComfyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller does not wait for it, and the log says that it runs on."""
    caplog.set_level("INFO", logger="discomfort")
    server.script = run_until_interrupted

    async def swallow(request: web.Request) -> web.StreamResponse | None:
        return web.Response() if request.path == "/interrupt" else None

    server.fault = swallow
    with pytest.raises(RunTimeout):
        await client.run(tiny_prompt(), timeout=0.3)
    await until(lambda: "keeps running until its node ends" in caplog.text)


async def test_client_that_was_never_opened(server: FakeComfy) -> None:
    """It knows nothing, is closed again without a word, and says so when it is used."""
    made = ComfyClient(server.url, limits=FAST)
    assert (made.pending, made.connected) == (0, False)
    await made.aclose()


async def test_poll_whose_round_fails(
    server: FakeComfy, client: ComfyClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in one round is logged; the next one finds the record."""
    assert client._parts is not None
    reconciler = client._parts.reconciler
    whole, failed = reconciler._round, []

    async def fails_once() -> None:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError
        await whole()

    monkeypatch.setattr(reconciler, "_round", fails_once)

    async def silent(job: Job) -> None:
        server.running[job.prompt_id] = job
        server.pending.pop(job.prompt_id)
        job.record()

    server.script = silent
    assert await client.run(tiny_prompt())
    assert failed
    assert "looking after" in caplog.text
    server.script = succeed


def test_names_whose_extension_is_none() -> None:
    """What stands after the last dot of a very long name is only kept where it can be an extension."""
    assert safe_filename("a" * 300 + "." + "b" * 30) == "a" * 180
    assert safe_filename("ä" * 300 + ".png") == "ä" * 88 + ".png"


def test_publish_where_nothing_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links and without room for the file its name is given back; with all names taken it is an error."""
    temporary = tmp_path / "t"
    temporary.write_bytes(b"x")

    def refuse(number: int) -> Callable[..., None]:
        def refused(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        return refused

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse(errno.EOPNOTSUPP))
        patch.setattr(os, "replace", refuse(errno.ENOSPC))
        with pytest.raises(OSError, match="No space"):
            publish(temporary, tmp_path, "a.txt")
    assert not (tmp_path / "a.txt").exists()
    (tmp_path / "a.txt").touch()
    monkeypatch.setattr(atomic_files, "candidates", lambda name: iter([name]))
    with pytest.raises(FileExistsError, match="all names after it"):
        publish(temporary, tmp_path, "a.txt")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0\1\0\0\0\1",
        b"\0\0\0\4\0\0\0\2{]",
        b"\0\0\0\4\0\0\0\2[]rest",
        b"\0\0\0\3\0\0\0\xff",
        b"\0\0\0\x09data",
    ],
    ids=["empty", "no picture", "no JSON", "no object", "cut short", "unknown"],
)
def test_binary_frames_of_nothing(frame: bytes) -> None:
    """They are dropped."""
    assert decode_binary(frame) is None


def test_frames_that_tell_nothing() -> None:
    """Fields that are missing or of another kind give no event and no exception."""
    state = RunState("p", tiny_prompt(), reporting=True)
    told = [
        ("executed", {"node": None}),
        ("executing", {}),
        ("progress", {"value": 1, "max": 2}),
        ("progress", {"node": "1", "value": "x", "max": 2}),
        ("progress_state", {"nodes": {"1": None}}),
        ("progress_state", {"nodes": []}),
        ("execution_cached", {"nodes": None}),
        ("something else", {}),
    ]
    assert [list(state.feed(Message(kind, data, "p"))) for kind, data in told] == [[]] * len(told)
    assert title_and_class({"1": None}, "1") == (None, None)
    assert queue_positions({"queue_running": None, "queue_pending": [[], ["x", "a"], [1.5, "b"]]}) == {"a": 0, "b": 1}


@pytest.mark.parametrize("error", [aiohttp.ClientConnectionResetError("closing"), BrokenPipeError(32, "Broken pipe")])
async def test_a_pong_that_can_not_be_sent(
    server: FakeComfy,
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """The connection is lost like any other: it is replaced, and runs are looked for elsewhere meanwhile."""
    caplog.set_level(logging.INFO, "discomfort.client")
    before = client.client_id

    async def refuse(*_: object) -> None:
        raise error

    async def ping(job: Job) -> None:
        await job.start()
        with monkeypatch.context() as patch:
            patch.setattr(aiohttp.ClientWebSocketResponse, "pong", refuse)
            await server.sockets[before].ping()
            await server.until_called("/ws", 2)
        job.record()

    server.script = ping
    assert client._parts is not None
    drops: list[None] = []
    mark_events_lost = client._parts.mux._on_drop
    client._parts.mux._on_drop = lambda: (drops.append(None), mark_events_lost())[0]
    assert await client.run(tiny_prompt())
    assert await client._parts.mux.wait_connected(10)

    assert client.client_id != before
    assert drops == [None]
    assert f"was lost: {error!r}" in caplog.text
