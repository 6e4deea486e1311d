"""The routes of values: who may use them, what they take and refuse, and what is left on the server."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from waiting import until

from discomfort._system.http_sessions import open_session
from discomfort.client.rest import RestClient
from discomfort.client.value_transfer import ValueTransfer
from discomfort.context.exchange import TOKEN_HEADER, VALUES
from discomfort.exceptions import ConfigurationError, DamagedDataError, ServerConnectionError, ServerResponseError
from discomfort.nodes import value_folder, value_uploads
from discomfort.nodes.value_folder import FolderLimits, ValueFolder
from discomfort.nodes.value_routes import ValueRoutes

SECRET = "a-token-of-24-characters"
HEADERS = {TOKEN_HEADER: SECRET}
DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
UPLOAD = "0" * 32


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Routes:
    """The routes of one server, and a client of them."""

    def __init__(self, folder: ValueFolder, clock: Clock, server: TestServer, session: ClientSession) -> None:
        self.folder, self.clock, self.server, self.session = folder, clock, server, session
        self.transfer = self.other()

    def other(self, token: str = SECRET) -> ValueTransfer:
        """Another client."""
        return ValueTransfer(RestClient(self.session, str(self.server.make_url(""))), VALUES, {TOKEN_HEADER: token})

    @property
    def files(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.folder.path.iterdir())

    async def ask(self, method: str, path: str, data: Any = None, headers: Any = None) -> tuple[int, str]:
        """One request by hand."""
        headers = HEADERS if headers is None else headers
        async with self.session.request(method, self.server.make_url(path), data=data, headers=headers) as answer:
            return answer.status, await answer.text()

    async def put(self, data: bytes, begin: int = 0, size: int | None = None, **query: str) -> tuple[int, str]:
        """A piece of :data:`DATA`, or of something else under its name."""
        told = {"upload": UPLOAD, "begin": str(begin), "size": str(len(DATA) if size is None else size), **query}
        text = "&".join(f"{name}={value}" for name, value in told.items())
        return await self.ask("PUT", f"{VALUES}/{DIGEST}?{text}", data)


Make = Callable[..., Any]


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes routes with limits of a test's own."""
    made: list[Routes] = []

    async def begin(**limits: Any) -> Routes:
        folder = tmp_path / f"values-{len(made)}"
        folder.mkdir(0o700)
        clock, table = Clock(), web.RouteTableDef()
        values = ValueFolder(folder, FolderLimits(**limits), clock)
        ValueRoutes(values, SECRET).add_to(table)
        # The limit of ComfyUI does not hold for what is streamed.
        app = web.Application(client_max_size=1000)
        app.add_routes(table)
        server = TestServer(app)
        await server.start_server()
        made.append(Routes(values, clock, server, open_session()))
        return made[-1]

    yield begin
    for routes in made:
        await routes.session.close()
        await routes.server.close()


@pytest.fixture
def value(tmp_path: Path) -> Path:
    """A file with :data:`DATA`."""
    path = tmp_path / "value"
    path.write_bytes(DATA)
    return path


async def test_there_and_back(make: Make, value: Path, tmp_path: Path) -> None:
    """A value is sent in pieces, once, and comes back as it was; it is then the first to make room."""
    routes = await make()
    assert await routes.transfer.has(DIGEST) is False
    assert await routes.transfer.send(DIGEST, value, 1000) is True
    assert await routes.other().send(DIGEST, value, 1000) is False
    assert await routes.transfer.has(DIGEST) is True
    with (tmp_path / "back").open("wb") as target:
        await routes.transfer.fetch(DIGEST, len(DATA), target.write)
    assert (tmp_path / "back").read_bytes() == DATA
    assert routes.files == [DIGEST]
    assert (routes.folder.path / DIGEST).stat().st_mode & 0o777 == 0o600
    # The server takes note of that once it has sent the last byte, which the client may have read by then.
    await until(lambda: (routes.folder.path / DIGEST).stat().st_mtime < routes.clock.now - 299)
    assert (await routes.transfer.state())["bytes"] == len(DATA)
    assert (await routes.ask("DELETE", f"{VALUES}/{DIGEST}"))[0] == 204
    assert (await routes.ask("DELETE", f"{VALUES}/{DIGEST}"))[0] == 404
    assert routes.files == []


@pytest.mark.parametrize("headers", [
    {}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: SECRET[:-1]}, {TOKEN_HEADER: SECRET + "x"}, {TOKEN_HEADER: "ü" * 24},
    {"Authorization": SECRET}, {"Authorization": f"Basic {SECRET}"}, {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {SECRET}", TOKEN_HEADER: "another-token-here"},
], ids=str)  # fmt: skip
async def test_wrong_tokens(make: Make, headers: dict[str, str]) -> None:
    """No route answers anything else, and none shows the token."""
    routes = await make()
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        for path in (VALUES, f"{VALUES}/{DIGEST}"):
            status, text = await routes.ask(method, path, headers=headers)
            assert status == (401 if (method, path) not in {("PUT", VALUES), ("DELETE", VALUES)} else 405)
            assert SECRET not in text
    assert routes.files == []


async def test_bearer(make: Make) -> None:
    """The token may be where tools expect it."""
    routes = await make()
    assert (await routes.ask("GET", VALUES, headers={"Authorization": f"bearer {SECRET}"}))[0] == 200


async def test_client_with_a_wrong_token(make: Make, value: Path) -> None:
    """Each call says what to do, and shows neither token."""
    routes = await make()
    client = routes.other("another-token-of-ours")
    for call in (client.state(), client.has(DIGEST), client.send(DIGEST, value, 1000)):
        with pytest.raises(ConfigurationError, match="DISCOMFORT_TOKEN in the environment of that server") as caught:
            await call
        assert "another-token" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("name", [
    "x", "A" * 64, "0" * 63, "0" * 65, "..%2f..%2fetc%2fpasswd", "%00" * 64, "owner", "0" * 32, "0" * 32 + ".part",
    "\u0660" * 64,
])  # fmt: skip
async def test_names(make: Make, name: str) -> None:
    """Only a digest is a name."""
    routes = await make()
    (routes.folder.path / "owner").write_text("x")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert (await routes.ask(method, f"{VALUES}/{name}?upload={UPLOAD}&begin=0&size=1", b"x"))[0] == 400
    assert routes.files == ["owner"]


async def test_links_are_not_followed(make: Make, value: Path) -> None:
    """Though nobody else can make one there."""
    routes = await make()
    (routes.folder.path / DIGEST).symlink_to(value)
    assert (await routes.ask("GET", f"{VALUES}/{DIGEST}"))[0] == 500


@pytest.mark.parametrize("query", [
    {"upload": ""}, {"upload": "../" + "0" * 29}, {"upload": "G" * 32}, {"begin": "-1"}, {"begin": ""},
    {"begin": "1e3"}, {"begin": "\u00b2"}, {"size": "0"}, {"size": "9" * 16}, {"size": "0x10"}, {"size": " 5"},
], ids=str)  # fmt: skip
async def test_numbers(make: Make, query: dict[str, str]) -> None:
    """Whatever else is not a number of bytes is refused."""
    routes = await make()
    assert (await routes.put(b"x", **query))[0] == 400
    assert routes.files == []


async def test_pieces_in_order(make: Make) -> None:
    """A piece begins where the one before it ended, and belongs to the same value; uploads go on side by side."""
    routes = await make()
    assert (await routes.put(DATA[:100], 5))[0] == 409
    assert await routes.put(DATA[:100]) == (202, '{"received": 100}')
    for begin in (0, 99, 101):
        assert (await routes.put(DATA[:1], begin))[0] == 409
    assert (await routes.put(DATA[:1], 100, len(DATA) + 1))[0] == 409
    assert (await routes.put(DATA, upload="1" * 32))[0] == 201
    assert routes.files == [UPLOAD + ".part", DIGEST]
    assert await routes.put(DATA[100:], 100) == (200, '{"complete": true}')
    routes.clock.now += value_folder.IDLE + 1
    await routes.ask("GET", VALUES)
    assert routes.files == [DIGEST]


async def test_lengths(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is longer than it may be, ends after the value, or does not say how long it is."""
    routes = await make()

    async def chunked() -> AsyncIterator[bytes]:
        yield b"x"

    assert (await routes.ask("PUT", f"{VALUES}/{DIGEST}?upload={UPLOAD}&begin=0&size=9", chunked()))[0] == 411
    assert (await routes.put(DATA, size=len(DATA) - 1))[0] == 413
    assert (await routes.put(DATA, 1))[0] == 413
    assert (await routes.put(b"", size=5)) == (202, '{"received": 0}')
    monkeypatch.setattr("discomfort.nodes.value_routes.PIECE", 10)
    assert (await routes.put(DATA[:11], upload="1" * 32))[0] == 413


async def test_wrong_digest(make: Make) -> None:
    """What is not the value that it was said to be gets no name, and nothing is left."""
    routes = await make()
    assert (await routes.put(DATA[:-1] + b"?"))[0] == 422
    assert (await routes.put(DATA[:9]))[0] == 202
    assert (await routes.put(DATA[:-9], 9))[0] == 422
    assert routes.files == []


async def test_same_value_at_once(make: Make, value: Path) -> None:
    """Of two clients: both succeed, one file is left. Of one client: it is sent once."""
    routes = await make()
    clients = [routes.transfer, routes.transfer, routes.other()]
    await asyncio.gather(*(client.send(DIGEST, value, 700) for client in clients))
    assert routes.transfer.sent <= 1
    assert routes.files == [DIGEST]
    assert (routes.folder.path / DIGEST).read_bytes() == DATA


async def test_broken_body(make: Make) -> None:
    """An upload whose connection breaks is removed at once."""
    routes = await make()
    host, port = routes.server.host, routes.server.port
    assert port is not None
    reader, writer = await asyncio.open_connection(host, port)
    head = f"PUT {VALUES}/{DIGEST}?upload={UPLOAD}&begin=0&size={len(DATA)} HTTP/1.1\r\nHost: x\r\n"
    writer.write(f"{head}{TOKEN_HEADER}: {SECRET}\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:100])
    await until(lambda: routes.files == [UPLOAD + ".part"])
    writer.transport.abort()
    await until(lambda: not routes.files)
    del reader


async def test_silent_body(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload from which nothing comes any more is given up."""
    routes = await make()
    monkeypatch.setattr("discomfort.nodes.value_routes._SILENCE", 0.01)
    host, port = routes.server.host, routes.server.port
    assert port is not None
    reader, writer = await asyncio.open_connection(host, port)
    head = f"PUT {VALUES}/{DIGEST}?upload={UPLOAD}&begin=0&size={len(DATA)} HTTP/1.1\r\nHost: x\r\n"
    writer.write(f"{head}{TOKEN_HEADER}: {SECRET}\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:100])
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    assert routes.files == []


async def test_limits(make: Make, value: Path) -> None:
    """One value and all values have one; what was not used for some minutes goes for a new one, the oldest first."""
    routes = await make(largest=len(DATA), total=2 * len(DATA))
    assert (await routes.put(b"x", size=len(DATA) + 1))[0] == 413
    assert (await routes.put(DATA))[0] == 201
    for number in (1, 2):
        other = DATA[:-1] + bytes([number])
        value.write_bytes(other)
        name = hashlib.sha256(other).hexdigest()
        if number == 2:
            with pytest.raises(ServerResponseError, match=r"507.*DISCOMFORT_VALUES_GB"):
                await routes.transfer.send(name, value, 1 << 20)
            routes.clock.now += 301
            assert await routes.transfer.has(DIGEST)
        await routes.transfer.send(name, value, 1 << 20)
    assert routes.files == sorted([DIGEST, name])


async def test_promised_room(make: Make) -> None:
    """What two uploads are going to need counts from their beginning."""
    routes = await make(total=int(len(DATA) * 1.5))
    assert (await routes.put(DATA[:10]))[0] == 202
    assert (await routes.put(DATA[:10], upload="1" * 32))[0] == 507


async def test_too_many_uploads(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit, too."""
    routes = await make()
    monkeypatch.setattr(value_uploads, "_MOST", 1)
    assert (await routes.put(DATA[:10]))[0] == 202
    assert (await routes.put(DATA[:10], upload="1" * 32))[0] == 503


async def test_expiry(make: Make) -> None:
    """What nobody used for its lifetime is gone; what is used begins anew."""
    routes = await make(lifetime=1000.0)
    await routes.put(DATA)
    routes.clock.now += 999
    assert (await routes.ask("HEAD", f"{VALUES}/{DIGEST}"))[0] == 200
    routes.clock.now += 999
    assert (await routes.ask("HEAD", f"{VALUES}/{DIGEST}"))[0] == 200
    routes.clock.now += 1001
    assert (await routes.ask("HEAD", f"{VALUES}/{DIGEST}"))[0] == 404
    assert (await routes.ask("GET", f"{VALUES}/{DIGEST}"))[0] == 404
    assert routes.files == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_full_disk(make: Make, value: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """While it writes, and before: 507, and nothing is left."""
    routes = await make()

    def full(descriptor: int, data: memoryview) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(value_uploads, "write_all", full)
        with pytest.raises(ServerResponseError, match="507: the disk of the server is full"):
            await routes.transfer.send(DIGEST, value, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(value_folder, "_RESERVE", 1 << 60)
        with pytest.raises(ServerResponseError, match="507.*full"):
            await routes.transfer.send(DIGEST, value, 1000)
    assert routes.files == []


async def test_damaged_value(make: Make, tmp_path: Path) -> None:
    """What is shorter, longer or other than its name says is an error of the client."""
    routes = await make()
    for data in (DATA[:-1], DATA + b"x", DATA[:-1] + b"?"):
        (routes.folder.path / DIGEST).write_bytes(data)
        with (tmp_path / "back").open("wb") as target, pytest.raises(DamagedDataError, match=DIGEST):
            await routes.transfer.fetch(DIGEST, len(DATA), target.write)


async def test_missing_value(make: Make, tmp_path: Path) -> None:
    """It says what may have happened to it."""
    routes = await make()
    with (tmp_path / "back").open("wb") as target, pytest.raises(ServerResponseError, match="it may have expired"):
        await routes.transfer.fetch(DIGEST, 1, target.write)


async def test_files_of_the_client(make: Make, value: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be read, became shorter, or cannot be written is this program's error, not the server's."""
    routes = await make()
    with pytest.raises(FileNotFoundError):
        await routes.transfer.send(DIGEST, tmp_path / "missing", 1000)
    other = tmp_path / "other"
    other.write_bytes(DATA)

    def shortened(descriptor: int, data: memoryview) -> None:
        os.write(descriptor, data)
        os.truncate(other, 1000)

    with monkeypatch.context() as patch:
        patch.setattr(value_uploads, "write_all", shortened)
        with pytest.raises(OSError, match="ends at byte 1000") as caught:
            await routes.transfer.send(DIGEST, other, 1000)
    assert not isinstance(caught.value, ServerConnectionError)
    await routes.transfer.send(DIGEST, value, 1000)
    with value.open("rb") as target, pytest.raises(OSError, match="write"):
        await routes.transfer.fetch(DIGEST, len(DATA), target.write)


class Stuck:
    """A server that accepts a request, answers with ``head``, and waits until it is told to go."""

    def __init__(self, head: bytes) -> None:
        self._head, self.asked = head, asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        self._writers.append(writer)
        if line.startswith(b"HEAD"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        writer.write(self._head)
        self.asked.set()

    def die(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.die()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@pytest.mark.parametrize("ends", ["server", "client", "caller"])
@pytest.mark.parametrize("direction", ["send", "fetch"])
async def test_end_of_a_transfer(direction: str, ends: str, value: Path, tmp_path: Path) -> None:
    """By the end of the server, of the client, or of the call: its error comes at once."""
    head = b"" if direction == "send" else f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:9]
    stuck = Stuck(head)
    server = await asyncio.start_server(stuck.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_session() as session:
        rest = RestClient(session, f"http://127.0.0.1:{port}")
        transfer = ValueTransfer(rest, VALUES, HEADERS)
        target = (tmp_path / "back").open("wb")
        work = transfer.send(DIGEST, value, 1 << 20) if direction == "send" else transfer.fetch(
            DIGEST, len(DATA), target.write)  # fmt: skip
        task = asyncio.ensure_future(work)
        await stuck.asked.wait()
        if ends == "server":
            # A request without an answer is sent once more: nobody may be there to take it.
            server.close()
        {"server": stuck.die, "client": rest.close, "caller": task.cancel}[ends]()
        expected: Any = {"caller": asyncio.CancelledError}.get(ends, (ServerConnectionError, OSError))
        with pytest.raises(expected):
            await task
        target.close()
    server.close()
    await stuck.close()
