"""Transfer of values over HTTP, to and from a server that shares no files with this program.

A value has the digest of its bytes as its name below ``path``. It is sent in pieces, so that no request is larger than
the server, and a proxy before it, takes. Little of it is in memory at a time; files are read and written in threads.
Closing the client ends a transfer at once, and so does the end of the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from discomfort import _json
from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort._system.descriptors import open_existing
from discomfort.client.rest import RestClient, upload_deadline
from discomfort.exceptions import ConfigurationError, DamagedDataError, ServerResponseError

_CHUNK: Final = 256 << 10


class ValueTransfer:
    """The values of one server. ``headers`` go with each request, beside those of ``rest``: they have the token.

    Several calls at once for one value send it once; ``sent`` counts the values that were sent.
    """

    def __init__(self, rest: RestClient, path: str, headers: Mapping[str, str]) -> None:
        self.rest, self._path, self._headers = rest, path, dict(headers)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self.sent = 0

    async def state(self) -> JsonObject:
        """What the server says of its values.

        Raises ConfigurationError if it does not accept the token, ServerConnectionError, ServerResponseError.
        """
        status, told = await self._asked("GET", "")
        if status != 200:
            raise self._unexpected("GET", "", status, told)
        return told

    async def has(self, digest: str) -> bool:
        """Whether the server has a value, which it then keeps for some time. Raises as :meth:`state`."""
        status, told = await self._asked("HEAD", f"/{digest}")
        if status not in {200, 404}:
            # A HEAD has no body to tell the reason.
            await self.state()
            raise self._unexpected("HEAD", f"/{digest}", status, told)
        return status == 200

    async def send(self, digest: str, file: Path, piece: int) -> bool:
        """Send a file, unless the server has it. Returns whether it was sent.

        No request has more than ``piece`` bytes. What a cancelled call has sent, the server removes by itself. Raises
        OSError if the file cannot be read, and as :meth:`state`.
        """
        lock = self._locks.setdefault(digest, asyncio.Lock())
        async with lock:
            if await self.has(digest):
                return False
            size = await to_thread(lambda: file.stat().st_size)
            upload, begin, is_complete = secrets.token_hex(16), 0, False
            while begin < size and not is_complete:
                part = _FilePart(file, begin, min(piece, size - begin))
                query = urlencode({"upload": upload, "begin": begin, "size": size})
                is_complete = await self._is_complete_with(part, f"/{digest}?{query}")
                begin += piece
            if not is_complete:
                raise self._unexpected(
                    "PUT", f"/{digest}", 202, {"error": "the server wants more than the whole value"}
                )
            self.sent += 1
            return True

    async def fetch(self, digest: str, size: int, write: Callable[[bytes], object]) -> None:
        """Give a value of ``size`` bytes to ``write``, in a thread, which has ended when this returns or raises.

        Raises DamagedDataError if it is not the value with this digest, what ``write`` raises, and as :meth:`state`.
        """
        content = hashlib.sha256()

        def written(chunk: bytes) -> None:
            write(chunk)
            content.update(chunk)

        try:
            received = await self.rest.stream_to(written, f"{self._path}/{digest}", self._headers, most=size)
        except ServerResponseError as error:
            raise self._unexpected("GET", f"/{digest}", error.status, _parsed(error.body.encode())) from error
        if received != size or content.hexdigest() != digest:
            raise DamagedDataError(f"what the server sent is not the value {digest}, which has {size} bytes")

    async def _is_complete_with(self, part: _FilePart, path: str) -> bool:
        try:
            status, told = await self._asked("PUT", path, part)
        except Exception:
            # aiohttp reports a failed read of the file as a broken connection.
            if part.failure is not None:
                raise part.failure from None
            raise
        if status not in {200, 201, 202}:
            raise self._unexpected("PUT", path.partition("?")[0], status, told)
        return status != 202

    async def _asked(self, method: str, path: str, part: _FilePart | None = None) -> tuple[int, JsonObject]:
        deadline = upload_deadline(0 if part is None else part.length)
        status, data = await self.rest.call(method, self._path + path, self._headers, part, deadline=deadline)
        return status, _parsed(data)

    def _unexpected(self, method: str, path: str, status: int, told: JsonObject) -> Exception:
        problem = told.get("error")
        if status == 401 and problem:
            return ConfigurationError(
                f"the server at {self.rest.url} does not accept it", key="token", value="***",
                remedy="It is the value of DISCOMFORT_TOKEN in the environment of that server",
            )  # fmt: skip
        meaning = str(problem or _MEANINGS.get(status) or "unexpected status")[:500]
        return ServerResponseError(meaning, method=method, url=f"{self.rest.url}{self._path}{path}", status=status)


class _FilePart(aiohttp.Payload):
    """A part of a file, ``length`` bytes, as the body of a request. ``failure`` is the error of reading, if any."""

    def __init__(self, file: Path, begin: int, size: int) -> None:
        super().__init__(file, content_type="application/octet-stream")
        self._file, self._begin, self.length = file, begin, size
        self._size = size
        self.failure: OSError | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not possible: a part of a file is not text."""
        raise TypeError("a part of a file is not text")

    async def write(self, writer: AbstractStreamWriter) -> Any:
        """Send it."""
        done = 0
        while done < self.length:
            try:
                chunk = await to_thread(self._read, self._begin + done, min(_CHUNK, self.length - done))
            except OSError as error:
                self.failure = error
                raise
            await writer.write(chunk)
            done += len(chunk)

    def _read(self, begin: int, size: int) -> bytes:
        # Opened each time: a thread may outlive a cancelled request, and must not read what has the descriptor then.
        with os.fdopen(open_existing(self._file), "rb", buffering=0) as file:
            file.seek(begin)
            data = file.read(size)
        if not data:
            raise OSError(f"{self._file} ends at byte {begin}")
        return data


_MEANINGS = {
    401: "not authorized; pass the credentials as headers",
    403: "forbidden: credentials, or a proxy that does not pass these routes",
    404: "not found: the value expired, or the server lost its routes with a restart",
    413: "too large for a proxy before the server",
}


def _parsed(data: bytes) -> JsonObject:
    try:
        found = _json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
