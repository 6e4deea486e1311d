"""A small HTTP server on loopback that serves one file, with every fault that a host can have."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Asked:
    """A request: its path with the query, and its headers with small names."""

    path: str
    headers: dict[str, str]
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def start(self) -> int:
        """The first byte that it wants."""
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0


Answer = Callable[["FileHost", Asked], Awaitable[None]]


class FileHost:
    """Serves ``content`` under every path, by ranges. ``script`` has other answers, one for each request to come."""

    def __init__(self, content: bytes = b"", *, etag: str = '"v1"') -> None:
        self.content, self.etag = content, etag
        self.script: deque[Answer] = deque()
        self.asked: list[Asked] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for asked in self.asked:
            asked.writer.transport.abort()

    def url(self, path: str = "/model.safetensors", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        assert self._server is not None
        return f"http://{host}:{self._server.sockets[0].getsockname()[1]}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                asked = Asked(first.split(" ")[1], headers, writer)
                self.asked.append(asked)
                await (self.script.popleft() if self.script else well)(self, asked)
                await writer.drain()
                if writer.transport.is_closing():
                    return

    def send(self, asked: Asked, status: str, headers: dict[str, object], body: bytes = b"") -> None:
        """Write a head and a body, whatever the head says of it."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        asked.writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


async def well(host: FileHost, asked: Asked) -> None:
    """As a good host does."""
    start, size = asked.start, len(host.content)
    known: dict[str, object] = {"ETag": host.etag} if host.etag else {}
    if start and asked.headers.get("if-range", host.etag) == host.etag:
        if start >= size:
            host.send(asked, "416 Range Not Satisfiable", {"Content-Range": f"bytes */{size}", "Content-Length": 0})
            return
        more = {"Content-Range": f"bytes {start}-{size - 1}/{size}", "Content-Length": size - start}
        host.send(asked, "206 Partial Content", known | more, host.content[start:])
        return
    host.send(asked, "200 OK", known | {"Content-Length": size}, host.content)


def status(line: str, **headers: object) -> Answer:
    """An answer without a file."""

    async def answer(host: FileHost, asked: Asked) -> None:
        host.send(
            asked, line, {"Content-Length": 0, **{name.replace("_", "-"): text for name, text in headers.items()}}
        )

    return answer


def redirect(location: str, line: str = "302 Found", **headers: object) -> Answer:
    """An answer that names another address."""
    return status(line, Location=location, **headers)


def cut(after: int) -> Answer:
    """The file, of which only ``after`` more bytes come before the connection ends."""

    async def answer(host: FileHost, asked: Asked) -> None:
        await _begin(host, asked, after)
        asked.writer.close()

    return answer


async def _begin(host: FileHost, asked: Asked, after: int) -> None:
    start, size = asked.start, len(host.content)
    headers: dict[str, object] = {"ETag": host.etag, "Content-Length": size - start}
    line = "200 OK"
    if start:
        line, headers["Content-Range"] = "206 Partial Content", f"bytes {start}-{size - 1}/{size}"
    host.send(asked, line, headers, host.content[start : start + after])
    await asked.writer.drain()


def silent(after: int, gate: asyncio.Event) -> Answer:
    """The file, of which ``after`` bytes come; nothing more until the gate opens, when the connection ends."""

    async def answer(host: FileHost, asked: Asked) -> None:
        await _begin(host, asked, after)
        await gate.wait()
        asked.writer.close()

    return answer


def body(text: bytes, **headers: object) -> Answer:
    """An answer with these bytes, and the headers exactly as given; the connection ends after it."""

    async def answer(host: FileHost, asked: Asked) -> None:
        host.send(asked, "200 OK", {name.replace("_", "-"): value for name, value in headers.items()}, text)
        await asked.writer.drain()
        asked.writer.close()

    return answer
