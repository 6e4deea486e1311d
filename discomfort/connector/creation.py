"""The creation of connectors: started, released if no caller takes them, and at most one that a process shares."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from discomfort._system.concurrency import finish
from discomfort._system.forks import in_forked_child
from discomfort.config import Settings
from discomfort.connector.shutdown import Shutdown
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import StateError

_log = logging.getLogger("discomfort.connector")


class Creation:
    """The first start of one connector, for those who create it; it belongs to the event loop that runs now."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle, startup: Startup, shutdown: Shutdown) -> None:
        self.settings, self.startup, self.shutdown = settings, startup, shutdown
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._lifecycle = lifecycle

    async def start(self) -> None:
        """Start. If cancelled just as the start succeeded, release the connector, since no caller receives it."""
        try:
            await self.startup.start()
            if self._lifecycle.state is State.KILLED:
                raise StateError("the connector was released while it started")  # noqa: TRY301 - handled as the start's own
        except asyncio.CancelledError:
            if self._lifecycle.state is State.READY and self.startup.is_unclaimed:
                await finish(self.shutdown.close())
            raise
        except StateError:
            await self.shutdown.wait_released()
            raise
        self.startup.handed_out = True


class _Created(Protocol):
    _creation: Creation


C = TypeVar("C", bound=_Created)


class SingleInstance(Generic[C]):
    """The connector that the process has; ``connector`` is ``None`` if there is none."""

    def __init__(self) -> None:
        self.connector: C | None = None
        self._lock = threading.Lock()
        """Held while the connector is looked for or made, and only then."""
        in_forked_child(self._forget_in_child)

    async def get(self, wanted: Settings, make: Callable[[], C]) -> C:
        """The connector, ready; ``make`` makes it where there is none.

        Raises StateError for one with other settings or in another running event loop, and what a start raises.
        """
        while True:
            connector = self._claim(wanted, make)
            creation = connector._creation
            if creation.shutdown.begun:
                await creation.shutdown.close()
                continue
            try:
                await creation.start()
            except StateError:
                if not creation.startup.is_abandoned:
                    raise
            else:
                return connector

    def forget(self, connector: object) -> None:
        """Called at the end of a connector, whether it is this one or not."""
        if self.connector is connector:
            self.connector = None

    def _claim(self, wanted: Settings, make: Callable[[], C]) -> C:
        """The connector, made on demand. No await and one thread at a time, so that only one is ever made."""
        with self._lock:
            found = self.connector
            if found is not None and found._creation.loop.is_closed():
                # Its tasks are gone with the loop, but server and browser still run.
                _log.warning("releasing a connector whose event loop was closed without kill_api()")
                found._creation.shutdown.close_now()
                found = None
            if found is None:
                found = self.connector = make()
            else:
                _check_usable(found._creation, wanted)
            return found

    def _forget_in_child(self) -> None:
        """Drop a forked child's copy: the server is the parent's, and the child may create its own."""
        # The parent may have held it.
        self._lock = threading.Lock()
        self.connector = None


def _check_usable(creation: Creation, wanted: Settings) -> None:
    """Raises StateError if a living connector cannot be given to whoever wants these settings in this event loop."""
    if creation.loop is not asyncio.get_running_loop():
        raise StateError(
            "a connector is alive in another event loop of this process; await its kill_api() there first, "
            "or get it with ComfyConnector.current()"
        )
    if not creation.shutdown.begun and creation.settings != wanted:
        raise StateError(
            "a connector with another configuration is alive in this process; await its kill_api() first, "
            "or use ComfyConnector.attach() for further servers"
        )
