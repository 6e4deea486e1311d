"""Notices changes of what the server offers, with as few requests as possible.

A WebSocket of our own ends with the server's process: while it is open, node definitions and extensions are unchanged,
and nothing needs to be requested. Settings can change at any time in somebody's browser, and are small: they are
requested again if the last answer is older than a second. Lists of files are compared only on demand.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from discomfort._json import loads
from discomfort._system.concurrency import to_thread
from discomfort.conversion.environment import Environment

if TYPE_CHECKING:
    from discomfort.conversion.gateway.server import Gateway

logger: logging.Logger = logging.getLogger("discomfort.conversion")

SETTINGS_AGE: Final = 1.0
"""Seconds for which the server's settings count as current; a request takes 1 to 2 ms."""

SETTINGS_TIMEOUT: Final = 5.0
"""Seconds to wait for them; a server that does not answer counts as unchanged."""

AGE_WITHOUT_SOCKET: Final = 5.0
"""Seconds for which everything counts as current if the server has no WebSocket; the requests take 0.1 s."""

PARALLEL_SCRIPTS: Final = 8
"""Extension scripts fetched at once for their digest."""


class ServerWatch:
    """Knows the server's current :class:`Environment`. One per converter; :meth:`aclose` ends its socket."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._environment: Environment | None = None
        self._settings = b""
        self._settings_at = 0.0
        self._taken_at = 0.0
        self._heard = False
        self._address = ""
        """The address of the server that gave all of this; another address is another server."""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        known = self._environment.digest[:8] if self._environment else "nothing"
        return f"<ServerWatch knows {known}, socket={'open' if self._listening else 'none'}>"

    @property
    def _listening(self) -> bool:
        alive = self._socket is not None and not self._socket.closed and self._reader is not None
        return alive and self._address == self._gateway.url

    @property
    def latest(self) -> Environment | None:
        """The last result, however old."""
        return self._environment

    async def current(self) -> Environment:
        """What the server offers now.

        Costs nothing within a second of the last check, one small request after that, and all requests if the server's
        process may be another one. Raises ``aiohttp.ClientError``, ``TimeoutError`` or ``ValueError`` if the server
        does not answer properly.
        """
        if self._environment is not None and self._believed(time.monotonic()):
            return self._environment
        async with self._lock:
            known = self._environment
            if known is not None and (self._believed(time.monotonic()) or await self._settings_unchanged()):
                return known
            return await self._take()

    async def look_again(self) -> Environment:
        """What the server offers now, including lists of files: always requests everything (about 0.1 s)."""
        async with self._lock:
            return await self._take()

    def _believed(self, now: float) -> bool:
        if self._address != self._gateway.url:
            return False
        if self._heard:
            return self._listening and now - self._settings_at < SETTINGS_AGE
        return now - self._taken_at < AGE_WITHOUT_SOCKET

    async def _settings_unchanged(self) -> bool:
        if not self._listening:
            return False
        async with asyncio.timeout(SETTINGS_TIMEOUT):
            _, settings = await self._gateway.get("/api/settings")
        self._settings_at = time.monotonic()
        return settings == self._settings

    async def _take(self) -> Environment:
        for _ in range(3):
            await self._listen()
            address = self._address
            listening = self._listening
            environment = await self._ask()
            if self._listening == listening and self._gateway.url == address:
                break
        self._environment = environment
        self._heard = listening
        self._taken_at = time.monotonic()
        return environment

    async def _ask(self) -> Environment:
        index = await self._gateway.verify_front_end()
        paths = ("/api/object_info", "/api/settings", "/api/extensions", "/api/i18n", "/api/node_replacements")
        answers = await asyncio.gather(*(self._gateway.get(path) for path in paths))
        (status, object_info), (_, self._settings), extensions, *others = answers
        self._settings_at = time.monotonic()
        if status != 200:
            raise ValueError(f"/object_info answered {status}")
        parts = {"index": index.encode(), "settings": self._settings}
        parts |= await self._scripts(extensions)
        parts |= {path: body for path, (code, body) in zip(paths[3:], others, strict=True) if code == 200}
        return await to_thread(Environment.of, parts, object_info)

    async def _scripts(self, extensions: tuple[int, bytes]) -> dict[str, bytes]:
        """The scripts of custom nodes; the frontend's own (``core``) come with it."""
        status, body = extensions
        listed: Any = loads(body) if status == 200 else []
        names = [name for name in listed if isinstance(name, str) and not name.startswith("/extensions/core/")]
        limit = asyncio.Semaphore(PARALLEL_SCRIPTS)

        async def fetch(name: str) -> bytes:
            async with limit:
                return (await self._gateway.get(name if name.startswith("/") else f"/{name}"))[1]

        return dict(zip(names, await asyncio.gather(*map(fetch, names)), strict=True))

    async def _listen(self) -> None:
        if self._listening:
            return
        await self._hang_up()
        self._address = self._gateway.url
        try:
            self._socket = await self._gateway.open_socket()
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.debug("no socket to %s: %r", self._gateway.url, error)
            return
        self._reader = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        # The messages do not matter, but they must be read, since ComfyUI waits for its slowest listener.
        async for _ in socket:
            pass
        logger.debug("the socket to %s ended: the server may have been restarted", self._gateway.url)

    async def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        socket, self._socket = self._socket, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
        if socket is not None and not socket.closed:
            await socket.close()

    async def aclose(self) -> None:
        """Close the socket. Idempotent."""
        await self._hang_up()
