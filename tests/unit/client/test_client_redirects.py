"""A server that redirects: nobody but the named server is sent anything, and the error says what to do."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from unit.client.fake_comfy import FAST, FakeComfy, own_tasks

from discomfort.client import upload
from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import ServerConnectionError, ServerError, ServerResponseError

HEADERS = {"Authorization": "Bearer x", "X-Api-Key": "x", "Cookie": "session=x"}


@dataclass
class Elsewhere:
    """Another server, and what it was sent."""

    url: str
    got: list[Any] = field(default_factory=list)

    def redirect(self, status: int) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The fault of a server that sends everybody there."""

        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": self.url + request.path_qs})

        return answer


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """It listens at a port of its own."""
    found = Elsewhere("")

    async def take(request: web.Request) -> web.Response:
        found.got.append((request.method, request.path, dict(request.headers)))
        return web.json_response({"name": "a.png"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    server = TestServer(app)
    await server.start_server()
    found.url = str(server.make_url("/")).rstrip("/")
    yield found
    await server.close()


@pytest.fixture(params=[301, 302, 303, 307, 308])
def status(request: pytest.FixtureRequest) -> int:
    """Each kind of redirect that clients follow."""
    return int(request.param)


Use = Callable[[ComfyClient], Awaitable[object]]
USES: dict[str, Use] = {
    "GET": lambda client: client.rest.queue(),
    "POST": lambda client: client.rest.delete(["a"]),
    "prompt": lambda client: client.rest.prompt(b"{}"),
    "upload": lambda client: client.rest.upload(b"x" * 3_000_000, name="a.png"),
    "view": lambda client: client.rest.view("a.png"),
    "view_to": lambda client: client.rest.view_to(io.BytesIO(), "a.png"),
    "definitions": lambda client: client.definitions(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_requests(server: FakeComfy, elsewhere: Elsewhere, status: int, use: Use) -> None:
    """Those that aiohttp would repeat as they are, and those that it would turn into a GET."""
    client = ComfyClient(server.url, headers=HEADERS, limits=FAST)
    await client.open()
    server.fault = elsewhere.redirect(status)
    with pytest.raises(ServerResponseError, match="use the final address as URL") as caught:
        await use(client)
    await client.aclose()

    assert caught.value.status == status
    assert not elsewhere.got


async def test_uploads_that_block(server: FakeComfy, elsewhere: Elsewhere, status: int, tmp_path: Path) -> None:
    """They have a session of their own."""
    source = tmp_path / "a.png"
    source.write_bytes(b"x")
    server.fault = elsewhere.redirect(status)
    with pytest.raises(ServerResponseError, match="use the final address as URL"):
        await asyncio.to_thread(upload.upload_blocking, server.url, HEADERS, source, "input", "", overwrite=True)

    assert not elsewhere.got


async def test_the_socket_at_the_beginning(server: FakeComfy, elsewhere: Elsewhere, status: int) -> None:
    """``open()`` fails at the first answer, not after half a minute of attempts, and leaves nothing."""
    server.fault = elsewhere.redirect(status)
    client = ComfyClient(server.url, headers=HEADERS, limits=FAST)
    with pytest.raises(ServerConnectionError, match="use the final address as URL") as caught:
        await client.open()

    assert elsewhere.url in str(caught.value)
    assert server.paths().count("/ws") == 1
    assert not elsewhere.got
    assert not list(own_tasks())
    server.fault = None
    await client.open()
    await client.aclose()


async def test_the_socket_of_an_open_client(server: FakeComfy, elsewhere: Elsewhere, status: int) -> None:
    """A session at a login page may end at any time; when it is back, so is the socket."""
    client = ComfyClient(server.url, headers=HEADERS, limits=FAST)
    await client.open()
    server.fault = elsewhere.redirect(status)
    with pytest.raises(ServerError, match="use the final address as URL"):
        await client.refresh_socket()
    server.fault = None
    await client.refresh_socket()

    assert client.connected
    assert not elsewhere.got
    await client.aclose()


async def test_what_the_address_hides(server: FakeComfy) -> None:
    """The error names the place that a server redirects to, but not its query: it may hold a ticket."""

    async def login(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/login?ticket=secret"})

    server.fault = login
    client = ComfyClient(server.url, limits=FAST)
    with pytest.raises(ServerConnectionError, match="/login") as caught:
        await client.open()

    assert "secret" not in str(caught.value)
