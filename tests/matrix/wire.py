"""The wire between client and server, to be cut, frozen or closed to sockets."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Wire:
    """Forwards TCP to ``target``. WebSockets are told apart by their first request; HTTP always passes."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._server: asyncio.Server | None = None
        self._sockets: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.accept_sockets = True
        self.made = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Abort every WebSocket, without a close frame."""
        for writer in self._sockets:
            writer.transport.abort()
        self._sockets.clear()

    def freeze(self) -> None:
        """Let nothing through the WebSockets any more, and close none: half open."""
        self._flowing.clear()

    async def sockets(self, made: int) -> None:
        """Wait until that many WebSockets were opened since the beginning."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: self.made >= made)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a connection is served by a task")
        self._tasks.add(task)
        try:
            first = await reader.read(65536)
            if first:
                await self._forward(first, reader, writer)
        except OSError:
            return
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _forward(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, back_writer}
        try:
            ways = [
                asyncio.ensure_future(self._pump(reader, back_writer, ends, first)),
                asyncio.ensure_future(self._pump(back_reader, writer, ends)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._sockets -= ends
            back_writer.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: set[asyncio.StreamWriter],
        data: bytes = b"",
    ) -> None:
        data = data or await source.read(65536)
        while data:
            # A connection that carried HTTP before may become a socket.
            if data.startswith(b"GET /ws"):
                if not self.accept_sockets:
                    return
                self._sockets |= ends
                async with self._news:
                    self.made += 1
                    self._news.notify_all()
            if target in self._sockets:
                await self._flowing.wait()
            target.write(data)
            await target.drain()
            data = await source.read(65536)
