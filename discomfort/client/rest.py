"""ComfyUI's HTTP interface, one method per route that a client needs; every call has a deadline.

Errors of aiohttp and the operating system become :class:`ServerConnectionError`, answers that the protocol does not
provide for become :class:`ServerResponseError`. Nothing else is raised, except for errors of local files.
All methods are safe to cancel; cancelling closes the connection of that request. Closing the client, or the session,
ends each request under way with ServerConnectionError. Routes and answers are those of ComfyUI 0.3.64 and newer;
what came later says so by a fact of ``server_features``.
"""

# Longer than 400 lines: one method per route, and what all of them share.

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from discomfort._json import JsonObject, dumps, loads
from discomfort._system.concurrency import EndableScopes, finish, to_thread
from discomfort._system.http_sessions import DIRECT, ProxyRefused, Route, open_session, reason_of
from discomfort.client.content import Content, ContentPayload, UploadSource
from discomfort.exceptions import ServerConnectionError, ServerResponseError

DEADLINE: Final = 30.0
"""Seconds for one small request. A server whose interpreter is busy loading a model may take several."""

PROMPT_DEADLINE: Final = 300.0
"""Seconds for ``POST /prompt``: giving up early is worse than waiting, since it leaves open whether it was accepted."""

DEFINITIONS_DEADLINE: Final = 120.0
"""Seconds for ``GET /object_info``: a server with many packs builds megabytes of it and scans its model folders."""

STREAM_SILENCE: Final = 60.0
"""Seconds without a byte after which a download is aborted."""

LARGEST_ANSWER: Final = 256 << 20
"""Bytes, decompressed, above which an answer is rejected. Records have megabytes if nodes fail on large inputs, and
``/history`` is only requested for one of them; files are streamed and not limited by this."""

_SLOWEST_UPLOAD: Final = 64 * 1024
"""Bytes per second below which an upload is aborted, once its minimum time has passed."""

_LEAST_UPLOAD: Final = 60.0
"""Minimum seconds for every upload."""

_LONGEST_UPLOAD: Final = 3600.0
"""Seconds for an upload whose size is not known before its end."""

_CHUNK: Final = 1 << 20

UNANSWERED: Final = frozenset({408, 425, 429, 499, 502, 503, 504, *range(520, 528), 530, 598, 599})
"""Statuses with which a proxy reports that the server does not answer; those from 520 on are used by CDNs."""

_NOT_OFFERED: Final = frozenset({403, 404, 405, 501})
"""Statuses with which ComfyUI, or a proxy that passes only some routes, answers a request that it does not know."""

_TRANSPORT = (aiohttp.ClientError, OSError, TimeoutError)


def never_sent(error: BaseException) -> bool:
    """Whether the connection was never made, so that the server cannot have seen the request."""
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | ProxyRefused)


def is_unanswered(error: BaseException) -> bool:
    """Whether a request failed without an answer from the server itself, which may still have received it."""
    if isinstance(error, ServerResponseError):
        return error.status in UNANSWERED
    return isinstance(error, ServerConnectionError)


def upload_deadline(size: int | None) -> float:
    """Seconds for an upload of so many bytes; ``None`` if that is not known before its end."""
    return _LONGEST_UPLOAD if size is None else _LEAST_UPLOAD + size / _SLOWEST_UPLOAD


class RestClient:
    """HTTP requests to the server at ``url`` through ``session``, which the caller closes and which takes ``route``.

    ``headers`` are sent with every request and appear in no message or log.
    """

    url: str

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str] | None = None,
        route: Route = DIRECT,
    ) -> None:
        self.url, self._route = url.rstrip("/"), route
        self._session = session
        self._headers = dict(headers or {})
        self._json_headers = {**self._headers, "Content-Type": "application/json"}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._scopes = EndableScopes()

    def __repr__(self) -> str:
        return f"<RestClient {self.url}{' closed' if self.closed else ''}>"

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[RestClient]:
        """A client of the same server with a session of its own, for another event loop."""
        async with open_session(route=self._route) as session:
            yield RestClient(session, self.url, self._headers, self._route)

    @property
    def closed(self) -> bool:
        """Whether every request raises ServerConnectionError from now on."""
        return self._scopes.closed or self._session.closed

    def close(self) -> None:
        """Make requests under way, and all later ones, raise ServerConnectionError; the session stays open."""
        self._scopes.close(self._is_closed)

    async def prompt(self, body: bytes, *, deadline: float = PROMPT_DEADLINE) -> tuple[int, JsonObject]:
        """Queue a prompt; ``body`` is the JSON of ``POST /prompt``.

        Returns status and answer for 200 (accepted, perhaps in part) and 400 (refused).
        Raises ServerConnectionError (see :func:`never_sent`) and ServerResponseError.
        """
        status, data = await self._call("POST", "/prompt", body, deadline)
        if status not in {200, 400}:
            raise self._unexpected("POST", "/prompt", status, data, _UNREADABLE if status == 500 else None)
        answer = self._parse("POST", "/prompt", status, data)
        return status, answer

    async def queue(self, *, deadline: float = DEADLINE) -> JsonObject:
        """``{"queue_running": [item…], "queue_pending": [item…]}``, items ``[number, prompt_id, prompt, …]``."""
        return await self._get("/queue", deadline)

    async def history(self, prompt_id: str, *, deadline: float = DEADLINE) -> JsonObject:
        """``{prompt_id: record}``, or ``{}`` for a prompt that is unknown or not finished."""
        return await self._get("/history/" + quote(prompt_id, safe=""), deadline)

    async def delete(self, prompt_ids: Iterable[str], *, deadline: float = DEADLINE) -> None:
        """Take prompts off the queue; ids that are running or unknown are ignored by the server."""
        await self._post("/queue", {"delete": list(prompt_ids)}, deadline)

    async def forget(self, prompt_ids: Iterable[str] | None, *, deadline: float = DEADLINE) -> None:
        """Delete the history records of these prompts, or all of them; unknown ids are ignored by the server."""
        await self._post("/history", {"clear": True} if prompt_ids is None else {"delete": list(prompt_ids)}, deadline)

    async def cancel(self, prompt_id: str, *, deadline: float = DEADLINE) -> bool | None:
        """Take that prompt off the queue, or interrupt it, whichever it is at that moment; no other prompt is touched.

        Returns whether it was queued or running; ``None`` if the server does not offer this (JOB_CANCEL).
        """
        path = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
        status, data = await self._call("POST", path, b"{}", deadline)
        if status in _NOT_OFFERED:
            return None
        if status != 200:
            raise self._unexpected("POST", path, status, data)
        return bool(self._parse("POST", path, status, data).get("cancelled"))

    async def interrupt(self, prompt_id: str, *, deadline: float = DEADLINE) -> None:
        """Interrupt that prompt if it is running. Raises ValueError for ``""``, which would interrupt any prompt."""
        if not prompt_id:
            raise ValueError("an empty prompt_id would interrupt whatever is running")
        await self._post("/interrupt", {"prompt_id": prompt_id}, deadline)

    async def interrupt_any(self, *, deadline: float = DEADLINE) -> None:
        """Interrupt whatever prompt is running, whoever queued it."""
        await self._post("/interrupt", {}, deadline)

    async def object_info(self, *, deadline: float = DEFINITIONS_DEADLINE) -> JsonObject:
        """The definitions of all node classes, by class name (about 500 KB for a bare ComfyUI)."""
        return await self._get("/object_info", deadline)

    async def system_stats(self, *, deadline: float = DEADLINE) -> JsonObject:
        """Versions, memory and devices of the server."""
        return await self._get("/system_stats", deadline)

    async def features(self, *, deadline: float = DEADLINE) -> JsonObject:
        """The features that the server announces to clients, by name."""
        return await self._get("/features", deadline)

    async def node_replacements(self, *, deadline: float = DEADLINE) -> JsonObject:
        """For classes that are not installed, what may take their place; not every server has such a list."""
        return await self._get("/node_replacements", deadline)

    async def logs(self, *, deadline: float = DEADLINE) -> JsonObject:
        """The server's last 300 writes to its log, ``{"entries": [{"t", "m"}…]}``; not every server offers them."""
        return await self._get("/internal/logs/raw", deadline)

    async def remaining(self, *, deadline: float = DEADLINE) -> int:
        """How many prompts are pending or running: the cheapest request that the server offers."""
        info = (await self._get("/prompt", deadline)).get("exec_info")
        remaining = info.get("queue_remaining") if isinstance(info, dict) else None
        return remaining if isinstance(remaining, int) else 0

    async def free(self, *, unload_models: bool = True, free_memory: bool = True, deadline: float = DEADLINE) -> None:
        """Ask the server to unload its models and drop its node cache; it does so before its next prompt."""
        await self._post("/free", {"unload_models": unload_models, "free_memory": free_memory}, deadline)

    async def upload(
        self,
        source: UploadSource,
        type: str = "input",  # noqa: A002 - the name of the form field
        subfolder: str = "",
        overwrite: bool = False,
        *,
        name: str | None = None,
    ) -> JsonObject:
        """Send a file, bytes or a binary file object, streamed, to the server's folder ``type``.

        ``type`` is ``input``, ``output`` or ``temp``. ``name`` is the file name on the server, required for bytes and
        file objects. Files are read in threads, a piece at a time. A file object is read from its current position and
        stays open; one that blocks occupies its thread until its read returns, even after a cancellation.

        Returns ``{"name", "subfolder", "type"}`` as the server stored it: without ``overwrite``, a name that another
        file has becomes ``name (1)`` and so on. Raises FileNotFoundError, OSError if the file cannot be read to its
        end, ValueError for a name that is not plain, ServerConnectionError, ServerResponseError. The deadline grows
        with the size.
        """
        content = Content(source, name)
        try:
            async with self._guard():
                await content.open()
            # Percent-encoded file names would be stored as they are: the server does not decode them.
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("type", type)
            form.add_field("subfolder", subfolder)
            form.add_field("overwrite", "true" if overwrite else "false")
            form.add_field("image", ContentPayload(content), filename=content.name)
            status, data = await self._call("POST", "/upload/image", form, upload_deadline(content.size))
        except ServerConnectionError:
            # aiohttp reports a failed read of the file as a broken connection.
            if content.failure is not None:
                raise content.failure from None
            raise
        finally:
            content.close()
        if status != 200:
            raise self._unexpected("POST", "/upload/image", status, data)
        stored = self._parse("POST", "/upload/image", status, data)
        if not isinstance(stored.get("name"), str):
            raise self._unexpected("POST", "/upload/image", status, data, "the answer names no file")
        return stored

    async def has_file(self, filename: str, subfolder: str = "", type: str = "output") -> bool:  # noqa: A002
        """Whether the server's folder ``type`` has a file. Raises ServerConnectionError, ServerResponseError."""
        query = URL("/view").with_query(filename=filename, subfolder=subfolder, type=type)
        status, data = await self._call("HEAD", str(query), None, DEADLINE)
        if status not in {200, 404}:
            raise self._unexpected("HEAD", "/view", status, data)
        return status == 200

    async def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:  # noqa: A002
        """The bytes of a file in the server's folder ``type``. Raises ServerResponseError for a missing file."""
        async with self._guard(), contextlib.aclosing(self._chunks(filename, subfolder, type)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def view_up_to(self, most: int, filename: str, subfolder: str, type: str) -> bytes | None:  # noqa: A002
        """The bytes of a file, ``None`` if it has more than ``most``. Raises as :meth:`view`."""
        data = bytearray()
        async with self._guard(), contextlib.aclosing(self._chunks(filename, subfolder, type)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > most:
                    return None
        return bytes(data)

    async def view_to(
        self,
        target: BinaryIO,
        filename: str,
        subfolder: str = "",
        type: str = "output",  # noqa: A002
    ) -> int:
        """Stream a file into ``target``, which is written to in a thread. Returns the number of bytes.

        Raises as :meth:`view`, and OSError if ``target`` cannot be written.
        """
        written = 0
        async with self._guard(), contextlib.aclosing(self._chunks(filename, subfolder, type)) as chunks:
            async for chunk in chunks:
                await to_thread(target.write, chunk)
                written += len(chunk)
        return written

    async def stream_to(
        self, write: Callable[[bytes], object], path: str, headers: Mapping[str, str], *, most: int
    ) -> int:
        """Stream the answer of ``GET path`` to ``write``, which is called in a thread; none is at work afterwards.

        Returns the number of bytes; stops when they are more than ``most``. Raises ServerConnectionError,
        ServerResponseError, and what ``write`` raises.
        """
        written = 0
        url = URL(self.url + path, encoded=True)
        async with self._guard(), contextlib.aclosing(self._streamed(url, path, headers)) as chunks:
            async for chunk in chunks:
                written += len(chunk)
                if written > most:
                    break
                await finish(to_thread(write, chunk))
        return written

    def _chunks(self, filename: str, subfolder: str, folder: str) -> AsyncGenerator[bytes, None]:
        url = URL(self.url + "/view").with_query(filename=filename, subfolder=subfolder, type=folder)
        return self._streamed(url, "/view", {})

    async def _streamed(self, url: URL, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=DEADLINE, sock_read=STREAM_SILENCE)
        try:
            async with self._session.get(
                url, headers={**self._headers, **headers}, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise self._unexpected("GET", path, response.status, await response.content.read(2000))
                async for chunk in response.content.iter_chunked(_CHUNK):
                    yield chunk
        except _TRANSPORT as error:
            raise self._broken(error, STREAM_SILENCE) from error

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: aiohttp.Payload | None = None,
        *,
        deadline: float = DEADLINE,
    ) -> tuple[int, bytes]:
        """Any other request: returns status and body of the answer, whatever they are. Raises ServerConnectionError."""
        return await self._call(method, path, body, deadline, headers)

    async def _get(self, path: str, deadline: float) -> JsonObject:
        status, data = await self._call("GET", path, None, deadline)
        if status != 200:
            raise self._unexpected("GET", path, status, data)
        return self._parse("GET", path, status, data)

    async def _post(self, path: str, value: object, deadline: float) -> None:
        status, data = await self._call("POST", path, dumps(value), deadline)
        if status not in {200, 204}:
            raise self._unexpected("POST", path, status, data)

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | aiohttp.FormData | aiohttp.Payload | None,
        deadline: float,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        timeout = self._timeouts.get(deadline)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=deadline)
            # The few usual ones; each upload has one of its own.
            if len(self._timeouts) < 16:
                self._timeouts[deadline] = timeout
        headers = {**self._headers, **more} if more else self._headers
        data: Any = body
        if isinstance(body, bytes):
            headers = self._json_headers
            if len(body) >= _CHUNK:
                # aiohttp writes a stream in pieces, large bytes at once (and warns that this holds up the loop).
                data = io.BytesIO(body)
        url = URL(self.url + path, encoded=True)
        try:
            # Redirects are not followed: they would turn a POST into a GET and carry headers to another server.
            async with (
                self._guard(),
                self._session.request(
                    method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False
                ) as response,
            ):
                return response.status, await self._body(method, path, response)
        except ServerConnectionError:
            raise
        except _TRANSPORT as error:
            raise self._broken(error, deadline) from error

    def _guard(self) -> _Guard:
        return _Guard(self._scopes, self._session, self._is_closed)

    def _is_closed(self) -> ServerConnectionError:
        return ServerConnectionError("the client is closed", url=self.url)

    async def _body(self, method: str, path: str, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > LARGEST_ANSWER:
                problem = f"the answer is larger than {LARGEST_ANSWER >> 20} MiB"
                raise self._unexpected(method, path, response.status, b"", problem)
            chunks.append(chunk)
        return b"".join(chunks)

    def _parse(self, method: str, path: str, status: int, data: bytes) -> JsonObject:
        try:
            value = loads(data)
        except (ValueError, RecursionError) as error:
            raise self._unexpected(method, path, status, data, "the answer is not JSON") from error
        if not isinstance(value, dict):
            raise self._unexpected(method, path, status, data, "the answer is not a JSON object")
        return value

    def _broken(self, error: BaseException, deadline: float) -> ServerConnectionError:
        if isinstance(error, TimeoutError):
            return ServerConnectionError(f"no answer within {deadline:.0f} s", url=self.url)
        return ServerConnectionError(reason_of(error), url=self.url)

    def _unexpected(
        self, method: str, path: str, status: int, data: bytes, problem: str | None = None
    ) -> ServerResponseError:
        body = data[:4000].decode(errors="replace")
        problem = problem or _MEANINGS.get(status) or "unexpected status"
        return ServerResponseError(problem, method=method, url=self.url + path, status=status, body=body)


class _Guard(contextlib.AbstractAsyncContextManager[None]):
    """Makes its block raise ``is_closed()`` as soon as the client or its session is closed."""

    __slots__ = ("_before", "_block", "_is_closed", "_session", "_task")

    def __init__(
        self,
        scopes: EndableScopes,
        session: aiohttp.ClientSession,
        is_closed: Callable[[], ServerConnectionError],
    ) -> None:
        self._block, self._session, self._is_closed = scopes.enter(), session, is_closed
        self._task: asyncio.Task[Any] | None = None
        self._before = 0

    async def __aenter__(self) -> None:
        if self._session.closed:
            raise self._is_closed()
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task is not None else 0
        await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._block.__aexit__(kind, error, trace)
        # Closing the session cancels whatever waits for a free connection; the caller did not cancel anything.
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and self._session.closed and self._task is not None and self._task.cancelling() <= self._before:
            raise self._is_closed() from error


_UNREADABLE = (
    "the server failed while it read the prompt; ComfyUI answers like this to a graph that it cannot read, and its log "
    "has the traceback"
)
_MEANINGS = {
    301: "redirected; use the final address as URL",
    302: "redirected; use the final address as URL",
    303: "redirected; use the final address as URL",
    307: "redirected; use the final address as URL",
    308: "redirected; use the final address as URL",
    401: "not authorized; pass the credentials as headers",
    403: "forbidden: credentials, or the server's check of the origin",
    404: "not found",
    413: "larger than the server's --max-upload-size",
}
