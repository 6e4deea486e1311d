"""HTTP sessions: names are resolved in threads of ours."""

from __future__ import annotations

import asyncio
import socket
import threading

import aiohttp
import pytest
from aiohttp import web

from discomfort._system.http_sessions import open_session


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


async def _answer(_: web.Request) -> web.Response:
    return web.Response(text="here")
