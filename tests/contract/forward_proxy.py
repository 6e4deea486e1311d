"""A proxy as companies have it between their machines and the others, and a certificate that nobody trusts."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from yarl import URL

_TLS = Path(__file__).parents[1] / "tls"
CERTIFICATE = _TLS / "certificate.pem"
"""Made once with openssl for these tests, valid until 2120: localhost, 127.0.0.1, and the name below."""
NAME = "comfyui.invalid"
"""A name in the certificate that no resolver knows: a server of this name can be reached through the proxy alone."""


def server_context() -> ssl.SSLContext:
    """What a server with that certificate needs. It is signed by itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_TLS / "server.pem")
    return context


class ForwardProxy:
    """Connects every client to 127.0.0.1, whatever the host that it names: by CONNECT, or one request at a time.

    ``authorization`` is the header that it wants. ``seen`` lists method, target and headers of each request to it.
    """

    def __init__(self, authorization: str | None = None) -> None:
        self.authorization = authorization
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def targets(self) -> list[str]:
        """Method and target of each request."""
        return [f"{method} {target}" for method, target, _ in self.seen]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two sides is gone, or the test is over
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.seen.append((method, target, headers))
        if self.authorization is not None and headers.get("proxy-authorization") != self.authorization:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        address = URL(target) if method != "CONNECT" else URL(f"http://{target}")
        back, front = await asyncio.open_connection("127.0.0.1", address.port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                front.write(_in_origin_form(method, address, headers))
            await _until_one_ends(_pump(reader, front), _pump(back, writer))
        finally:
            front.close()


def _in_origin_form(method: str, address: URL, headers: dict[str, str]) -> bytes:
    kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
    if "upgrade" not in kept:
        # One request for each connection: the next one could be for another server.
        kept["connection"] = "close"
    lines = [f"{method} {address.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _until_one_ends(*work: asyncio.Future[None] | object) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]  # type: ignore[arg-type]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
