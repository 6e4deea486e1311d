"""HTTP sessions: names are resolved in threads of ours, and the way to a server is the one that was asked for."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import traceback

import aiohttp
import pytest
from aiohttp import web

from discomfort._system.http_sessions import ProxyRefused, make_route, open_session, reason_of
from discomfort.exceptions import ConfigurationError


async def test_names_are_resolved_while_the_default_pool_is_busy() -> None:
    """A program that fills asyncio's own pool does not hold up a connection to a server that has a name."""
    app = web.Application()
    app.router.add_get("/", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    release = threading.Event()
    jobs = [asyncio.get_running_loop().run_in_executor(None, release.wait) for _ in range(200)]
    try:
        async with asyncio.timeout(60), open_session() as session:
            async with session.get(f"http://localhost:{runner.addresses[0][1]}/") as answer:
                assert await answer.text() == "here"
            assert not any(job.done() for job in jobs)
    finally:
        release.set()
        await asyncio.gather(*jobs)
        await runner.cleanup()


async def test_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session says that it cannot connect, and to which name."""

    def unknown(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with open_session() as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError, match=r"gpu\.invalid:8188"):
            await session.get("http://gpu.invalid:8188/")


@pytest.mark.parametrize(
    ("proxy", "address", "credentials"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("proxy.example:3128/", "http://proxy.example:3128", None),
        ("HTTP://me:hunter%402@[::1]:8080", "http://[::1]:8080", "me:hunter@2"),
        ("me@proxy.example", "http://proxy.example", "me:"),
    ],
)
def test_proxy_of_a_route(proxy: str, address: str, credentials: str | None) -> None:
    """The address has no credentials, which become a header; no repr shows that."""
    route = make_route(None, proxy)
    header = None if credentials is None else f"Basic {base64.b64encode(credentials.encode()).decode()}"

    assert (route.ssl, route.proxy, route.proxy_authorization) == (True, address, header)
    assert header is None or header not in repr(route)


@pytest.mark.parametrize(
    "proxy", ["", "http://", "https://proxy:1", "socks5://proxy:1", "http://proxy:port", "http://proxy/path", "ftp://a"]
)
def test_proxy_that_is_none(proxy: str) -> None:
    """What cannot be an HTTP proxy is refused, without a word of it: it may contain a password."""
    with pytest.raises(ConfigurationError, match="must be an http URL") as caught:
        make_route(None, proxy)

    assert caught.value.key == "proxy"


@pytest.mark.parametrize(("ssl", "found"), [(None, True), (True, True), (False, False)])
def test_certificates_of_a_route(ssl: bool | None, found: bool) -> None:
    """They are verified unless somebody says no."""
    assert make_route(ssl).ssl is found


async def test_answer_of_a_proxy_to_connect() -> None:
    """The session's own headers are not for the proxy; what it refuses is an error without them."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    route = make_route(None, f"http://me:hunter2@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, open_session(route=route, headers={"Authorization": "Bearer for-the-server"}) as session:
        with pytest.raises(ProxyRefused) as caught:
            await session.get("https://gpu.invalid/")

    assert reason_of(caught.value) == "the proxy refuses the connection: 403 No"
    assert b"proxy-authorization" in heads[0].lower()
    assert b"for-the-server" not in heads[0]
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter2" not in text
    assert (route.proxy_authorization or "") not in text


async def _answer(_: web.Request) -> web.Response:
    return web.Response(text="here")
