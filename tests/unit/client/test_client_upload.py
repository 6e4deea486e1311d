"""Uploads: of files, bytes and file objects, awaited or not, and what ends them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from aiohttp import web
from unit.client.fake_comfy import FakeComfy
from waiting import until

from discomfort._system.http_sessions import open_session
from discomfort.client import content
from discomfort.client.comfy import ComfyClient
from discomfort.client.rest import RestClient
from discomfort.client.upload import upload, upload_blocking
from discomfort.exceptions import ServerConnectionError, ServerResponseError, UploadError

LARGE = bytes(range(256)) * 20_000
"""Some pieces more than one."""


@pytest.fixture
async def rest(server: FakeComfy) -> AsyncIterator[RestClient]:
    """A client of the fake server."""
    async with open_session() as session:
        yield RestClient(session, server.url)


def open_files(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - entries vanish meanwhile
        try:
            found += os.readlink(f"/proc/self/fd/{number}") == str(path)  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


async def test_the_name_for_nodes_comes_back(server: FakeComfy, rest: RestClient, tmp_path: Path) -> None:
    """With its subfolder, as LoadImage takes it, awaited or not."""
    source = tmp_path / "a.png"
    source.write_bytes(b"x")

    assert await asyncio.to_thread(upload_blocking, server.url, {}, source, "input", "sub", False) == "sub/a.png"
    assert await upload(rest, source, "temp", overwrite=True) == "a.png"
    assert await upload(rest, b"y", subfolder="s/t", name="b.png") == "s/t/b.png"
    assert server.files == {"a.png": b"x", "b.png": b"y"}


async def test_folders_that_http_does_not_reach(rest: RestClient, tmp_path: Path) -> None:
    """And files that are not there."""
    with pytest.raises(UploadError, match="models"):
        upload_blocking("http://127.0.0.1:1", {}, tmp_path, "models", "", overwrite=False)
    with pytest.raises(UploadError, match="models"):
        await upload(rest, b"x", "models", name="a")
    with pytest.raises(FileNotFoundError):
        upload_blocking("http://127.0.0.1:1", {}, tmp_path / "none", "input", "", overwrite=False)


def pipe(data: bytes) -> BinaryIO:
    """A file object whose size nobody knows."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    threading.Thread(target=feed).start()
    return os.fdopen(reading, "rb")


@pytest.mark.filterwarnings("ignore:unread_data:DeprecationWarning")  # of the server's own reading
@pytest.mark.parametrize("kind", ["path", "text", "bytes", "bytearray", "memoryview", "BytesIO", "file", "raw", "pipe"])
@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "large"])
async def test_everything_that_can_be_sent(
    server: FakeComfy, rest: RestClient, tmp_path: Path, kind: str, data: bytes
) -> None:
    """It arrives as it is; what the caller opened stays open, and nothing else does."""
    path = tmp_path / "source.bin"
    path.write_bytes(data)
    sources: dict[str, Any] = {
        "path": lambda: path,
        "text": lambda: str(path),
        "bytes": lambda: data,
        "bytearray": lambda: bytearray(data),
        "memoryview": lambda: memoryview(data),
        "BytesIO": lambda: io.BytesIO(data),
        "file": lambda: path.open("rb"),
        "raw": lambda: path.open("rb", buffering=0),
        "pipe": lambda: pipe(data),
    }
    source = sources[kind]()
    stored = await rest.upload(source, "input", "sub", name="name.bin")

    assert stored == {"name": "name.bin", "subfolder": "sub", "type": "input"}
    assert server.files == {"name.bin": data}
    if hasattr(source, "close"):
        assert not source.closed
        source.close()
    assert open_files(path) == 0


async def test_file_objects_are_read_from_where_they_are(server: FakeComfy, rest: RestClient) -> None:
    """The size goes by what is left."""
    source = io.BytesIO(b"headerbody")
    source.seek(6)
    await rest.upload(source, name="a")

    assert server.files == {"a": b"body"}


async def test_the_size_is_told_where_it_is_known(server: FakeComfy, rest: RestClient, tmp_path: Path) -> None:
    """Servers and proxies refuse what is too large before it is sent."""
    path = tmp_path / "a"
    path.write_bytes(LARGE)
    for source in (path, LARGE, io.BytesIO(LARGE)):
        await rest.upload(source, name="a", overwrite=True)

    assert all(int(headers["Content-Length"]) > len(LARGE) for headers in server.headers)


@pytest.mark.parametrize("whole", [False, True], ids=["a file object", "a path"])
async def test_reading_happens_in_threads_and_in_pieces(
    server: FakeComfy, rest: RestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    """A slow disk does not hold up the loop, and a large file does not fill the memory."""
    threads: set[int] = set()
    largest = 0
    read = content.Content._read

    def note(self: content.Content) -> bytes:
        nonlocal largest
        threads.add(threading.get_ident())
        piece = read(self)
        largest = max(largest, len(piece))
        return piece

    monkeypatch.setattr(content.Content, "_read", note)
    path = tmp_path / "a"
    path.write_bytes(LARGE)
    if whole:
        await rest.upload(path)
    else:
        with path.open("rb") as stream:
            await rest.upload(stream, name="a")

    assert threads
    assert threading.get_ident() not in threads
    assert largest == content.CHUNK < len(LARGE)
    assert server.files == {"a": LARGE}


@pytest.mark.parametrize("name", [None, "", "a/b", "a\\b", "..", "a\nb"])
async def test_names_that_are_none(server: FakeComfy, rest: RestClient, name: str | None) -> None:
    """Nothing is sent."""
    with pytest.raises(UploadError, match="name"):
        await rest.upload(b"x", name=name)

    assert server.paths() == []


async def test_sources_that_are_none(server: FakeComfy, rest: RestClient, tmp_path: Path) -> None:
    """Folders, pipes that would be waited for, objects of another kind, texts."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="not a file"):
            await rest.upload(path)
    with pytest.raises(TypeError, match="binary file object"):
        await rest.upload(5, name="a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary file object"):
        await rest.upload(io.StringIO("text"), name="a")  # type: ignore[arg-type]
    assert server.files == {}


class Broken(io.BytesIO):
    """A disk that fails in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        """The first piece, then an error."""
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(size)


async def test_errors_of_the_source_are_not_the_servers(server: FakeComfy, rest: RestClient) -> None:
    """They come out as they are."""
    with pytest.raises(OSError, match="Input/output") as caught:
        await rest.upload(Broken(LARGE), name="a")

    assert not isinstance(caught.value, ServerConnectionError)
    assert server.files == {}


async def test_a_file_that_becomes_shorter(
    server: FakeComfy, rest: RestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, instead of waiting until the server gives up."""
    path = tmp_path / "a"
    path.write_bytes(LARGE)
    read = content.Content._read

    def shorten(self: content.Content) -> bytes:
        piece = read(self)
        os.truncate(path, len(piece))
        return piece

    monkeypatch.setattr(content.Content, "_read", shorten)
    with pytest.raises(OSError, match="shorter"):
        await rest.upload(path)
    assert server.files == {}
    assert open_files(path) == 0


class Slow(io.RawIOBase):
    """A file object whose read does not return before it may."""

    def __init__(self) -> None:
        self.reads, self.gate = threading.Event(), threading.Event()

    def read(self, size: int = -1) -> bytes:
        """Wait."""
        self.reads.set()
        self.gate.wait(60)
        return b""


@pytest.mark.parametrize("end", ["cancelled", "closed"])
async def test_uploads_whose_source_hangs(server: FakeComfy, rest: RestClient, end: str) -> None:
    """They end at once; the thread goes when the read returns."""
    source = Slow()
    task = asyncio.create_task(rest.upload(source, name="a"))  # type: ignore[arg-type]
    await until(source.reads.is_set)
    if end == "cancelled":
        task.cancel()
    else:
        rest.close()
    await asyncio.wait([task], timeout=10)
    source.gate.set()

    assert task.done()
    assert task.cancelled() if end == "cancelled" else isinstance(task.exception(), ServerConnectionError)
    assert server.files == {}


@pytest.mark.parametrize("end", ["cancelled", "closed", "broken"])
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 10, 20])
async def test_the_end_of_an_upload_closes_the_file(
    server: FakeComfy, client: ComfyClient, tmp_path: Path, end: str, turns: int
) -> None:
    """Wherever it is: while the file is opened, read, sent, or its answer waited for."""
    path = tmp_path / "a"
    path.write_bytes(LARGE * 4)
    hold = asyncio.Event()

    async def take_nothing(request: web.Request) -> None:
        if request.path == "/upload/image":
            if end == "broken":
                assert request.transport is not None
                request.transport.abort()
            await hold.wait()

    server.fault = take_nothing
    task = asyncio.create_task(client.rest.upload(path))
    if turns == 20:
        await server.until_called("/upload/image")
    for _ in range(turns):
        await asyncio.sleep(0)
    if end == "cancelled":
        task.cancel()
    elif end == "closed":
        await client.aclose()
    await asyncio.wait([task], timeout=10)
    hold.set()

    assert task.done()
    assert task.cancelled() if end == "cancelled" else isinstance(task.exception(), ServerConnectionError)
    await until(lambda: open_files(path) == 0)


async def test_a_server_that_refuses_before_it_has_everything(
    server: FakeComfy, rest: RestClient, tmp_path: Path
) -> None:
    """The answer is the error, and the rest is not sent."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=413)

    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.truncate(200 << 20)
    server.fault = refuse
    with pytest.raises((ServerResponseError, ServerConnectionError)):
        await rest.upload(path)
    await until(lambda: open_files(path) == 0)


async def test_an_answer_that_names_no_file(server: FakeComfy, rest: RestClient) -> None:
    """It is a typed error."""

    async def odd(_: web.Request) -> web.Response:
        return web.json_response({"stored": True})

    server.fault = odd
    with pytest.raises(ServerResponseError, match="names no file"):
        await upload(rest, b"x", name="a")


async def test_an_interrupted_upload_that_blocks(
    server: FakeComfy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the caller ends the transfer, and its thread."""
    source = tmp_path / "a.png"
    source.write_bytes(b"x")
    gone = asyncio.Event()
    called = threading.Event()

    async def hang(request: web.Request) -> None:
        called.set()
        try:
            await until(lambda: request.transport is None)
        finally:
            gone.set()

    result = concurrent.futures.Future.result

    def interrupted(future: concurrent.futures.Future[Any], timeout: float | None = None) -> Any:
        if threading.get_ident() not in callers:
            return result(future, timeout)
        callers.clear()
        called.wait(60)
        raise KeyboardInterrupt

    callers: set[int] = set()

    def work() -> str:
        callers.add(threading.get_ident())
        with pytest.raises(KeyboardInterrupt):
            upload_blocking(server.url, {}, source, "input", "", overwrite=True)
        return "interrupted"

    server.fault = hang
    monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
    assert await asyncio.to_thread(work) == "interrupted"
    await asyncio.wait_for(gone.wait(), 60)
    await until(lambda: "discomfort-upload" not in {thread.name for thread in threading.enumerate()})
