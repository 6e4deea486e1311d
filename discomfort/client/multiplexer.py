"""One WebSocket for many runs.

The socket reports events early, but is never the only source (see :mod:`discomfort.client.reconciler`). So a lost
socket is replaced in the background, and no run fails because of it.

Facts of ComfyUI 0.3.64 that shape this module: if two sockets share a client id, the newer one receives nothing more
once the older one closes, so each connection gets an id of its own; messages about a prompt are sent only to the id
that it was queued with, and are lost if that is not connected; the server never pings, and answers pings even while
one slow client holds up the messages to all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from discomfort._system.concurrency import EndableScopes
from discomfort._system.http_sessions import RedirectRefused
from discomfort.client.protocol import (
    FEATURE_FLAGS,
    PROGRESS_STATE_PREFIX,
    STATUS_PREFIX,
    Message,
    PreviewFrame,
    decode_binary,
    decode_text,
)
from discomfort.exceptions import ServerConnectionError, StateError

_log = logging.getLogger("discomfort.client")

PING_INTERVAL = 10.0
"""Seconds between pings (``ping_interval=10``)."""

BACKOFF_FIRST, BACKOFF_LAST = 0.1, 5.0
"""Seconds before the first and between later attempts to reconnect; the pause doubles."""

CONNECT_DEADLINE = 30.0
"""Seconds for one attempt to connect; a server that loads a model may need many of them to answer."""

LARGEST_FRAME = 256 << 20
"""Bytes above which a frame ends the connection. Error messages hold the inputs of the node and can be many megabytes;
the run's end is then found by the poll."""

CLOSE_DEADLINE = 2.0
"""Seconds to wait for the server's close frame."""

_BURST = 200  # frames handled in a row: receive() does not suspend while frames are buffered, so other tasks would wait


class Listener(Protocol):
    """Receives the messages of one prompt; with ``wants_progress`` also those that only describe progress."""

    wants_progress: bool

    def receive(self, frame: Message | PreviewFrame) -> None:
        """Take one frame; called in the event loop, in order; must not block."""


class Multiplexer:
    """Keeps one socket to ``url`` connected and passes its messages to the listener of their prompt.

    ``alive`` asks the server over HTTP whether it answers: a socket that is silent while HTTP works is half open and
    gets replaced; one that is silent while HTTP is silent too only waits for a busy server. ``on_drop`` is called
    whenever a connection has ended.
    """

    client_id: str
    last_heard: float
    news_at: float

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Mapping[str, str],
        alive: Callable[[], Awaitable[bool]],
        on_drop: Callable[[], None],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._session, self._url, self._headers = session, url.rstrip("/"), dict(headers)
        self._alive, self._on_drop, self._ping_interval = alive, on_drop, ping_interval
        self._listeners: dict[str, Listener] = {}
        self._progress_listeners = 0
        self._current: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._connected = asyncio.Event()
        self._waiting = EndableScopes()
        self._problem = "the socket was never connected"
        self.client_id = new_client_id()
        self.last_heard = 0.0
        """When the socket last received anything (a pong counts), in seconds of the event loop's clock."""
        self.news_at = 0.0
        """The same for messages about a prompt that has a listener."""

    @property
    def connected(self) -> bool:
        """Whether the socket is open, as far as is known."""
        return self._connected.is_set()

    @property
    def ws_url(self) -> str:
        """Address of the socket with the current client id; while reconnecting, with that of the next socket."""
        scheme, _, rest = self._url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?clientId={self.client_id}"

    def register(self, prompt_id: str, listener: Listener) -> None:
        """Send the messages of a prompt to ``listener`` from now on."""
        self._listeners[prompt_id] = listener
        self._progress_listeners += listener.wants_progress

    def unregister(self, prompt_id: str, listener: Listener) -> None:
        """Remove a listener; it receives nothing more."""
        # A run that reuses the id may have registered since: only the listener's own entry goes.
        if self._listeners.get(prompt_id) is listener:
            del self._listeners[prompt_id]
            self._progress_listeners -= listener.wants_progress

    async def open(self, deadline: float) -> None:
        """Connect, and stay connected from then on.

        Raises ServerConnectionError after ``deadline`` seconds, or at once if the server redirects; the attempts
        continue in the background then, until :meth:`close`. Raises StateError at once if closed meanwhile.
        """
        async with self._waiting.enter():
            if self._task is None or self._task.done():
                self._start()
            await self._until_connected(deadline)

    async def wait_connected(self, seconds: float) -> bool:
        """Wait until the socket is connected, for ``seconds`` at most. Returns whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    async def refresh(self, deadline: float) -> None:
        """Close the socket and connect a new one with a fresh client id. Raises as :meth:`open`.

        Concurrent calls each get a socket that was connected after they called. If cancelled, the new socket is still
        connected, because runs need it.
        """
        async with self._waiting.enter():
            self._retire()
            self._start()
            await self._until_connected(deadline)

    def close(self) -> None:
        """Begin to close the socket for good; calls that wait for one raise StateError. Idempotent."""
        self._waiting.close(lambda: StateError(f"the client of {self._url} is closed"))
        self._retire()

    async def aclose(self) -> None:
        """:meth:`close`, and wait until it is closed: :data:`CLOSE_DEADLINE` and a little at most."""
        self.close()
        while self._retired:
            await asyncio.wait(set(self._retired))

    def _start(self) -> None:
        self._task = asyncio.create_task(self._keep_connected(), name="discomfort-socket")

    def _retire(self) -> None:
        """Drop the current socket; :meth:`_keep_connected` of the next one waits until it is closed."""
        task, self._task = self._task, None
        self._connected.clear()
        if task is not None:
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
            task.cancel()

    async def _until_connected(self, deadline: float) -> None:
        if not await self.wait_connected(deadline):
            raise self._unconnected(f"no WebSocket within {deadline:.0f} s")

    def _unconnected(self, problem: str) -> ServerConnectionError:
        return ServerConnectionError(f"{problem}: {self._problem}", url=self._url)

    async def _keep_connected(self) -> None:
        # One socket at a time: _serve() of the old one still sets the client id and the connected flag as it ends.
        while self._retired:
            await asyncio.wait(set(self._retired))
        pause = BACKOFF_FIRST
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._serve(await self._connect())
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # The server may have registered this id, and will drop it late: a second socket of the id would then
                # stop receiving.
                self.client_id = new_client_id()
                self._problem = f"{type(error).__name__}: {error}".rstrip(": ")
                _log.debug("no socket to %s: %s", self._url, self._problem)
                if isinstance(error, RedirectRefused):
                    # Another attempt would get the same answer, so those who wait fail now and not at their deadline.
                    self._problem = str(error)
                    self._waiting.end(lambda: self._unconnected("no WebSocket"))
            # Only a connection that lasted resets the pause: a server that accepts and hangs up at once must not be
            # called ten times a second.
            if loop.time() - began > BACKOFF_LAST and self.last_heard > began:
                pause = BACKOFF_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_LAST)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(CONNECT_DEADLINE):
            socket = await self._session.ws_connect(
                # With the scheme of HTTP: to a proxy the whole address is sent, and many know no ws.
                URL("http" + self.ws_url.removeprefix("ws"), encoded=True),
                headers=self._headers,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE),
                # aiohttp would swallow pongs, which are the proof that the connection lives (last_heard).
                autoping=False,
                max_msg_size=LARGEST_FRAME,
            )
            try:
                # ComfyUI reads these flags from the first message only.
                await socket.send_str(FEATURE_FLAGS.decode())
            except BaseException:
                await _close(socket)
                raise
            return socket

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read the socket until it ends; reconnecting is up to the caller."""
        self.last_heard = asyncio.get_running_loop().time()
        # What ran when the former socket was lost may have ended since: old previews must not be given to it.
        self._current = None
        pinger = asyncio.create_task(self._ping(socket), name="discomfort-ping")
        self._connected.set()
        try:
            await self._read(socket)
        except (aiohttp.ClientError, OSError) as error:
            # A pong could not be sent: the connection is lost.
            self._problem = repr(error)
        finally:
            self._connected.clear()
            # The next connection's id, set before that connects: messages about prompts queued in between go to it.
            self.client_id = new_client_id()
            pinger.cancel()
            await asyncio.wait([pinger])
            await _close(socket)
        _log.info("the socket to %s was lost: %s; reconnecting", self._url, self._problem)
        self._on_drop()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        for count in itertools.count(1):
            message = await socket.receive()
            self.last_heard = loop.time()
            if message.type is aiohttp.WSMsgType.TEXT:
                self._on_text(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._on_binary(message.data)
            elif message.type is aiohttp.WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is not aiohttp.WSMsgType.PONG:
                detail = f" {message.data}" if message.data is not None else ""
                self._problem = f"{message.type.name.lower()}{detail}"
                return
            if count % _BURST == 0:
                await asyncio.sleep(0)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._ping_interval)
            await self._send_ping(socket)
            # Two pings without any answer; the half is tolerance for the timers.
            if loop.time() - self.last_heard < 2.5 * self._ping_interval:
                continue
            heard = self.last_heard
            if await self._alive():
                # Both may have waited for the same busy server, which has only just woken up. So the socket gets as
                # much time as any ping for one more answer.
                await self._send_ping(socket)
                await asyncio.sleep(self._ping_interval)
                if self.last_heard == heard:
                    _log.warning("the socket to %s is silent while the server answers; replacing it", self._url)
                    await _close(socket)
                    return

    async def _send_ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(self._ping_interval):
                await socket.ping()  # Blocks while the send buffer is full, as when the peer has vanished.
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.debug("a ping could not be sent: %s", type(error).__name__)

    def _on_text(self, text: str) -> None:
        # Compared as text: ComfyUI sends progress_state for every step, with all nodes in it. Parsing what no run wants
        # would cost the event loop more than everything else here.
        if not self._listeners or text.startswith(STATUS_PREFIX):
            return
        if not self._progress_listeners and text.startswith(PROGRESS_STATE_PREFIX):
            return
        message = decode_text(text)
        if message is None or message.prompt_id is None:
            return
        if message.type in {"executing", "execution_start"}:
            self._current = message.prompt_id if message.data.get("node", "") is not None else None
        self._deliver(message.prompt_id, message)

    def _on_binary(self, data: bytes) -> None:
        if not self._progress_listeners:
            return
        frame = decode_binary(data)
        if isinstance(frame, PreviewFrame):
            # The older kind of frame names no prompt. ComfyUI runs one prompt at a time, so it is that one's.
            prompt_id = frame.prompt_id or self._current
            if prompt_id is not None:
                self._deliver(prompt_id, frame)

    def _deliver(self, prompt_id: str, frame: Message | PreviewFrame) -> None:
        listener = self._listeners.get(prompt_id)
        if listener is None:
            return
        self.news_at = self.last_heard
        try:
            listener.receive(frame)
        except Exception:  # noqa: BLE001 - one run's trouble must not end the messages of all others
            _log.exception("a message of prompt %s could not be handled", prompt_id)


def new_client_id() -> str:
    """A client id that no other socket uses."""
    return str(uuid.uuid4())


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    # aiohttp's own limit restarts with every frame that still arrives.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_DEADLINE + 0.5):
            await socket.close()
