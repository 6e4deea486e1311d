"""The routes of values, for clients that share no files with this server. They exist if the environment has a token.

``DISCOMFORT_TOKEN`` is in the header ``X-Discomfort-Token`` of each request, or in ``Authorization`` after ``Bearer``.

====== =============================== =========================================================================
method path                            meaning
====== =============================== =========================================================================
GET    ``/discomfort/values``          what fits, and what there is
HEAD   ``/discomfort/values/DIGEST``   whether the value is there; if so, it counts as used now
GET    the same                        its bytes
PUT    the same                        a piece of it: ``upload`` is a random id, ``begin`` the place of the piece,
                                       ``size`` that of the value. 202: go on; 201: it is complete; 200: it was there
DELETE the same                        remove it
====== =============================== =========================================================================

The name of a value is the SHA-256 of its bytes, 64 hex digits; no request has a path. Errors are JSON, ``{"error"}``.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import hmac
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..context.exchange import DIGEST, TOKEN, TOKEN_HEADER, VALUES, is_token
from ..exceptions import ConfigurationError, DamagedDataError, DiskFullError, StateError, UnsupportedValueError
from .own_folder import OwnFolder, remove_abandoned_folders
from .value_folder import PIECE, FolderLimits, ValueFolder
from .value_uploads import UPLOAD, TooManyUploads, ValueUpload, ValueUploads

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("discomfort.nodes")

_ATTRIBUTE = "_discomfort_values"
"""Of ComfyUI's server: the path of the folder, which a second copy of the nodes in this process uses, too."""
_NUMBER = re.compile(r"[0-9]{1,15}")
_CHUNK = 1 << 20
_SILENCE = 60.0
"""Seconds without a byte after which an upload is given up."""


def offer_routes() -> None:
    """Add the routes to ComfyUI's server, if the environment has a token. Never raises."""
    token = os.environ.get(TOKEN)
    if not token:
        return
    try:
        if not is_token(token):
            raise ConfigurationError("must be 16 to 512 visible characters without spaces", key=TOKEN, value="***")  # noqa: TRY301
        server = _server()
        path = getattr(server, _ATTRIBUTE, None) or _new_folder()
        setattr(server, _ATTRIBUTE, path)
        # ComfyUI does not start if a route is there twice.
        if not any(getattr(route, "path", "").startswith(VALUES) for route in server.routes):
            folder = ValueFolder(Path(path), FolderLimits.of_environment(os.environ))
            ValueRoutes(folder, token).add_to(server.routes)
            _log.info("values of clients go through %s, into %s", VALUES, path)
    except (ImportError, AttributeError, LookupError, OSError, ConfigurationError) as error:
        _log.warning("the server has no routes for values: %s", error)


def offered_folder() -> ValueFolder | None:
    """The folder of values that came, or go, through the routes of this process; ``None`` if it has none."""
    if not os.environ.get(TOKEN):
        return None
    try:
        path = getattr(_server(), _ATTRIBUTE, None)
        return None if path is None else ValueFolder(Path(path), FolderLimits.of_environment(os.environ))
    except (ImportError, AttributeError, ConfigurationError):
        return None


def _server() -> Any:
    """ComfyUI's server. Raises ImportError, AttributeError where there is none."""
    from server import PromptServer  # type: ignore[import-not-found,unused-ignore]

    return PromptServer.instance


def _new_folder() -> str:
    remove_abandoned_folders()
    made = OwnFolder()
    atexit.register(made.close)
    return str(made.path)


class ValueRoutes:
    """Answers the requests."""

    def __init__(self, folder: ValueFolder, token: str) -> None:
        from aiohttp import web

        self._web, self._folder, self._uploads = web, folder, ValueUploads(folder)
        self._token = token.encode()

    def add_to(self, table: web.RouteTableDef) -> None:
        """Add all routes to a table."""
        one = VALUES + "/{digest}"
        table.get(VALUES)(self._guarded(self._state))
        table.get(one)(self._guarded(self._value))  # and HEAD
        table.put(one)(self._guarded(self._piece))
        table.delete(one)(self._guarded(self._removal))

    def _guarded(self, handler: Handler) -> Handler:
        """The handler, for requests with the token and a digest."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._is_allowed(request):
                return self._refused(401, "the token is missing or wrong")
            if not DIGEST.fullmatch(request.match_info.get("digest", "0" * 64)):
                return self._refused(400, "the name of a value is its SHA-256, 64 hex digits")
            await asyncio.to_thread(self._folder.expire)
            return await handler(request)

        return guarded

    def _is_allowed(self, request: web.Request) -> bool:
        told = request.headers.get(TOKEN_HEADER)
        if told is None:
            scheme, _, told = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return False
        return hmac.compare_digest(told.encode("utf-8", "surrogateescape"), self._token)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        count, size = await asyncio.to_thread(self._folder.usage)
        limits = self._folder.limits
        told = {"values": count, "bytes": size, "room": limits.total, "lifetime": limits.lifetime}
        return self._web.json_response({**told, **limits.told.as_json()})

    async def _removal(self, request: web.Request) -> web.StreamResponse:
        was_there = await asyncio.to_thread(self._folder.remove, request.match_info["digest"])
        return self._web.Response(status=204) if was_there else self._missing()

    async def _value(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        if request.method == "HEAD":
            is_there = await asyncio.to_thread(self._folder.has, digest)
            return self._web.Response(status=200 if is_there else 404)
        try:
            file = await asyncio.to_thread(self._folder.open, digest)
        except FileNotFoundError:
            return self._missing()
        with file:
            response = self._web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            response.content_length = os.fstat(file.fileno()).st_size
            await response.prepare(request)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await response.write(chunk)
            await response.write_eof()
        await asyncio.to_thread(self._folder.release, digest)
        return response

    async def _piece(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        upload_id = request.query.get("upload", "")
        numbers = [request.query.get(name, "") for name in ("begin", "size")]
        if not UPLOAD.fullmatch(upload_id) or not all(map(_NUMBER.fullmatch, numbers)) or not int(numbers[1]):
            return self._refused(400, "upload is 32 hex digits, begin and size are bytes")
        begin, size = map(int, numbers)
        length = request.content_length
        if length is None:
            return self._refused(411, "a piece states its length")
        if length > PIECE or begin + length > size:
            return self._refused(413, f"a piece has at most {PIECE} bytes, and ends with the value")
        if await asyncio.to_thread(self._folder.has, digest):
            # Another client was faster.
            await asyncio.to_thread(self._uploads.abandon, upload_id)
            return self._web.json_response({"complete": True})
        try:
            upload = await asyncio.to_thread(self._uploads.piece, upload_id, digest, size, begin)
        except StateError as error:
            return self._refused(409, str(error))
        except TooManyUploads:
            return self._refused(503, "too many uploads at once")
        except UnsupportedValueError as error:
            return self._refused(413, str(error))
        except DiskFullError as error:
            return self._refused(507, str(error))
        return await self._received(request, upload)

    async def _received(self, request: web.Request, upload: ValueUpload) -> web.StreamResponse:
        is_kept = False
        try:
            await self._written(request, upload)
            is_complete = await asyncio.to_thread(self._uploads.pause, upload)
            is_kept = True
        except DamagedDataError as error:
            return self._refused(422, str(error))
        except (asyncio.TimeoutError, StateError):  # noqa: UP041 - two classes before Python 3.11
            return self._refused(408, f"no data for {_SILENCE:.0f} s")
        except (OSError, self._web.RequestPayloadError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                return self._refused(507, "the disk of the server is full")
            return self._refused(400, f"the upload broke: {type(error).__name__}")
        finally:
            if not is_kept:
                # Without an await, since the request may be cancelled.
                self._uploads.drop(upload)
        status, told = (201, {"complete": True}) if is_complete else (202, {"received": upload.received})
        return self._web.json_response(told, status=status)

    async def _written(self, request: web.Request, upload: ValueUpload) -> None:
        """Write the body as it comes. Raises what reading it raises, DamagedDataError, OSError."""
        waiting = bytearray()
        while True:
            data = await asyncio.wait_for(request.content.readany(), _SILENCE)
            waiting += data
            if len(waiting) >= _CHUNK or (waiting and not data):
                await asyncio.to_thread(self._uploads.write, upload, waiting)
                waiting = bytearray()
            if not data:
                return

    def _missing(self) -> web.StreamResponse:
        return self._refused(404, "there is no such value; it may have expired")

    def _refused(self, status: int, problem: str) -> web.StreamResponse:
        return self._web.json_response({"error": problem}, status=status)
