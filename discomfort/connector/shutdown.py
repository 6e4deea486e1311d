"""The end of a connector: step by step in its event loop, or at once and from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from discomfort._system.concurrency import finish, in_own_thread, see_through
from discomfort._system.http_sessions import abandon_sessions
from discomfort.client.comfy import ComfyClient
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Calls
from discomfort.connector.release import ReleaseStep, release_all
from discomfort.connector.resources import Resources
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle, State
from discomfort.conversion import Converter

_PARTING = 0.5
"""Seconds for an event loop in another thread to close its connections, before the server is killed."""


class Shutdown:
    """Ends calls, start and background work, then releases what the connector holds.

    ``forget`` is called when everything is gone: from then on the process may have another instance.
    """

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        calls: Calls,
        background: BackgroundTasks,
        startup: Startup,
        *,
        forget: Callable[[], None],
    ) -> None:
        self._parts, self._lifecycle, self._calls = parts, lifecycle, calls
        self._background, self._startup, self._forget = background, startup, forget
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[list[str]] | None = None

    @property
    def begun(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._task is not None

    async def close(self) -> None:
        """Release everything, in order; every caller waits for the same shutdown. Cancellation does not stop it."""
        if self._loop.is_closed() or asyncio.get_running_loop() is not self._loop:
            await in_own_thread(self.close_now)
            return
        if self._task is None:
            self._lifecycle.order_end()
            self._task = self._loop.create_task(self._close(), name="discomfort-shutdown")
        await asyncio.shield(self._task)

    def close_now(self) -> None:
        """Kill the server and the browser and delete ephemeral files, without an event loop."""
        if not self._parts.is_ours:
            return
        client, converter = self._parts.client, self._parts.converter
        self._lifecycle.to(State.KILLED, "released at once")
        # A closed loop has no waiting tasks. One that runs in another thread fails its tasks while we kill the rest.
        parted = threading.Event()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end_what_waits, client, converter, parted)
            if self._loop.is_running() and _running_loop() is not self._loop:
                # Else its socket would report the server's end, which everybody expects.
                parted.wait(_PARTING)
        # Another thread may open a session meanwhile; then aiohttp may log one of ours, which harms nobody.
        with contextlib.suppress(RuntimeError):
            if self._loop.is_closed():
                abandon_sessions(self._loop)
        self._parts.kill_now()
        self._forget()

    async def wait_released(self) -> None:
        """Wait until client and converter are closed in this loop, after :meth:`close_now` in any thread.

        They are closed from the loop's next turn on; nothing of them is open when an error reaches the caller.
        """
        await asyncio.sleep(0)
        if self._farewell is not None:
            await finish(asyncio.wait([self._farewell]))

    async def _close(self) -> None:
        """End all calls, then everything else. Ctrl-C under ``asyncio.run`` cancels this task too; it continues."""
        self._calls.end_all()
        if (farewell := self._farewell) is not None:
            await see_through(lambda: asyncio.wait([farewell]))
        for step in (self._background.end, self._startup.end, self._startup.release):
            await see_through(step)
        self._forget()

    def _end_what_waits(
        self, client: ComfyClient | None, converter: Converter | None, parted: threading.Event | None = None
    ) -> None:
        """Fail everything that still waits; called in the event loop after :meth:`close_now`."""
        self._calls.end_all()
        self._startup.cancel()
        self._background.cancel()
        # Only the first call saw all parts. Another task in its place would hide it from those who wait for its end.
        if self._farewell is None:
            work = _release(client, converter, parted)
            self._farewell = self._loop.create_task(work, name="discomfort-farewell")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _release(
    client: ComfyClient | None, converter: Converter | None, parted: threading.Event | None
) -> list[str]:
    """Close what holds things of the event loop, each within a deadline; a failure is logged.

    ``parted`` is set when the connections to the server are closed.
    """
    steps = []
    if client is not None:
        steps.append(ReleaseStep("runs, socket and HTTP", client.aclose, 10))
    if parted is not None:
        steps.append(ReleaseStep("report of that", parted.set, 1))
    if converter is not None:
        steps.append(ReleaseStep("browser", converter.aclose, 20))
    return await release_all(steps)
