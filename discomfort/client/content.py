"""The content of an upload: a file, bytes or a binary file object, read in pieces and never in the event loop."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from discomfort._system.concurrency import in_own_thread, to_thread
from discomfort.exceptions import UploadError

T = TypeVar("T")

UploadSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A ``str`` is a path. File objects are binary, are read from their current position, and stay open."""

CHUNK = 256 * 1024
"""Bytes per read: few enough that passing them to the socket takes far less than a millisecond."""


class Content:
    """The content of one upload. ``size`` is in bytes, ``None`` if it is not known before the end.

    ``failure`` is the error that reading raised, if any.
    """

    def __init__(self, source: UploadSource, name: str | None = None) -> None:
        """Opens nothing yet. Raises UploadError for a name that no server accepts, TypeError for other sources."""
        self._is_bytes = isinstance(source, bytes | bytearray | memoryview)
        self._path: Path | None = None
        self._stream: BinaryIO | None = None
        if isinstance(source, bytes | bytearray | memoryview):
            # The caller may change these later; bytes need no copy.
            data = bytes(source)
            self._stream = io.BytesIO(data)
        elif isinstance(source, str | os.PathLike):
            self._path = Path(source)
        elif hasattr(source, "read"):
            self._stream = source
        else:
            raise TypeError(f"an upload is a path, bytes or a binary file object, not {type(source).__name__}")
        self.name: str = _checked(name if name is not None else self._path.name if self._path is not None else None)
        self.size: int | None = None
        self.failure: BaseException | None = None
        self._left: int | None = None
        self._lock = threading.Lock()
        self._reading = self._closed = False

    async def open(self) -> None:
        """Open the file and get its size. Raises FileNotFoundError if it is not a file, OSError."""
        self.size = self._left = await self._do(self._open)

    async def read(self) -> bytes:
        """The next piece, empty at the end. Raises OSError, also if the file became shorter."""
        try:
            return await self._do(self._read)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def close(self) -> None:
        """Close what was opened here. Does not block: if a thread is reading, that thread closes it."""
        with self._lock:
            self._closed = True
            if not self._reading:
                self._let_go()

    async def _do(self, work: Callable[[], T]) -> T:
        if self._path is not None:
            return await to_thread(self._use, work)
        if self._is_bytes:
            return self._use(work)
        # A pipe may block for ever: a thread of its own keeps it from occupying the shared ones.
        return await in_own_thread(partial(self._use, work))

    def _use(self, work: Callable[[], T]) -> T:
        """Do ``work`` with the stream, which stays open until then. Runs in a thread."""
        with self._lock:
            if self._closed:
                raise ValueError("the upload has ended")
            self._reading = True
        try:
            return work()
        finally:
            with self._lock:
                self._reading = False
                if self._closed:
                    self._let_go()

    def _open(self) -> int | None:
        if self._path is not None:
            # Opening a pipe would block until somebody writes to it.
            if not self._path.is_file():
                raise FileNotFoundError(f"{self._path} is not a file")
            self._stream = self._path.open("rb", buffering=0)
            return os.fstat(self._stream.fileno()).st_size
        stream = self._present()
        if not stream.seekable():
            return None
        position = stream.tell()
        end = stream.seek(0, os.SEEK_END)
        stream.seek(position)
        return max(0, end - position)

    def _read(self) -> bytes:
        size = CHUNK if self._left is None else min(CHUNK, self._left)
        chunk: object = self._present().read(size) if size else b""
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError(f"an upload needs a binary file object, this one reads {type(chunk).__name__}")
        if self._left is not None:
            if size and not chunk:
                raise OSError(f"{self.name} became {self._left} bytes shorter while it was sent")
            self._left -= len(chunk)
        return bytes(chunk)

    def _present(self) -> BinaryIO:
        if self._stream is None:
            raise ValueError("the upload was not opened")
        return self._stream

    def _let_go(self) -> None:
        if self._path is not None and self._stream is not None:
            self._stream.close()
        self._stream = None


class ContentPayload(aiohttp.Payload):
    """:class:`Content` as a part of a form. aiohttp's own would read in asyncio's default pool of threads."""

    def __init__(self, content: Content) -> None:
        super().__init__(content, content_type="application/octet-stream")
        self._content = content
        self._size = content.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not possible: the content is read once."""
        raise TypeError("the content of an upload is not text")

    async def write(self, writer: AbstractStreamWriter) -> Any:
        """Send the content."""
        while chunk := await self._content.read():
            await writer.write(chunk)


def _checked(name: str | None) -> str:
    if not name:
        raise UploadError("an upload of bytes or of a file object needs a name")
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise UploadError(f"the file name {name!r} has control characters")
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise UploadError(f"{name!r} is not a plain file name; folders go into subfolder")
    return name
