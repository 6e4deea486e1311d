"""A proxy that wants a password, as people put one before a server that has none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

_HOP_BY_HOP = {"connection", "transfer-encoding", "upgrade", "keep-alive", "content-length", "content-encoding", "host"}


class AuthProxy:
    """Forwards HTTP and WebSocket to ``target`` for requests that carry ``headers``; others get 401.

    ``refused`` counts the latter, ``seen`` lists the paths of the former. With ``tls`` it speaks HTTPS.
    """

    def __init__(self, target: str, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.target, self.headers, self._tls = target, dict(headers), tls
        self.refused = 0
        self.seen: list[str] = []
        self.url = ""
        self._stack = aiohttp.web.AppRunner(self._app(), shutdown_timeout=0.1)
        self._session: aiohttp.ClientSession | None = None

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self._stack.setup()
        site = web.TCPSite(self._stack, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._stack.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        await self._stack.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if any(request.headers.get(name) != value for name, value in self.headers.items()):
            self.refused += 1
            return web.Response(status=401, text="who are you?")
        self.seen.append(request.path)
        if self._session is None:
            raise AssertionError("not open")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request, self._session)
        # The server's origin check concerns browsers; a proxy speaks for itself.
        dropped = _HOP_BY_HOP | {"origin", "authorization"}
        headers = {key: value for key, value in request.headers.items() if key.lower() not in dropped}
        async with self._session.request(
            request.method,
            self.target + request.raw_path,
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP - {"content-encoding"}}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _websocket(self, request: web.Request, session: aiohttp.ClientSession) -> web.WebSocketResponse:
        front = web.WebSocketResponse(max_msg_size=0)
        await front.prepare(request)
        async with session.ws_connect(self.target + request.raw_path, max_msg_size=0) as back:
            forward = asyncio.create_task(_pump(front, back))
            try:
                await _pump(back, front)
            finally:
                forward.cancel()
                await asyncio.wait([forward])
        return front


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
    await target.close()
