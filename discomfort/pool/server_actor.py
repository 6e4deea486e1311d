"""A server of a pool in a process of its own, such as an actor of Ray: what is called from the pool's process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from discomfort.exceptions import ExecutionInterrupted, StateError
from discomfort.pool.lease import Lease
from discomfort.pool.local import LocalServer
from discomfort.pool.local_servers import OwnedServers
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.progress import ProgressEvent

if TYPE_CHECKING:
    from discomfort.config import SettingArguments
    from discomfort.connector.file_upload import Upload

T = TypeVar("T")

_log = logging.getLogger("discomfort.pool")

CALLS = frozenset(
    {
        *("profile", "get", "convert", "explain", "has_file", "discard_after_call", "free", "wipe", "problem"),
    }
)
"""Methods of a server that the pool's process may call."""

_REMEMBERED = 1000
"""Runs whose cancellation is remembered in case that it came before them."""


@dataclass(frozen=True, slots=True)
class ServerOrder:
    """The server that an actor starts; ``lease`` is in seconds."""

    name: str
    settings: Mapping[str, Any] = field(repr=False)
    lease: float


@dataclass(frozen=True, slots=True)
class ActorFacts:
    """Where an actor is: its machine's name, id and labels, its process, and its server's URL there."""

    host: str
    node: str
    labels: Mapping[str, str]
    pid: int
    url: str = ""


class ServerActor:
    """Starts one server, and does with it what the pool's process asks.

    It ends the server, and its own process, when the pool's process has not renewed the lease for too long: the pool
    then takes for granted that nothing runs here any more. A coroutine that is cancelled in the pool's process goes on
    here, so runs are cancelled by their id.
    """

    def __init__(self, order: ServerOrder, node: str = "", labels: Mapping[str, str] | None = None) -> None:
        """Does nothing yet: an error would reach the pool's process as text only."""
        self._order = order
        self._started: LocalServer | None = None
        self._node, self._labels = node, dict(labels or {})
        self._lease = Lease(order.lease, self._end_at_once)
        self._changed = asyncio.Event()
        self._is_over = False
        self._runs: dict[str, asyncio.Task[RunRecord]] = {}
        self._cancelled: dict[str, None] = {}

    async def where(self) -> ActorFacts:
        """Where it is; from now on the lease must be renewed."""
        self._lease.begin()
        return self._facts("")

    async def start(self) -> ActorFacts:
        """Start the server. Raises as :meth:`ComfyConnector.launch`."""
        settings = cast("SettingArguments", dict(self._order.settings))
        server = self._started = OwnedServers(None, settings, {}).plain()
        server.name = self._order.name
        await self._unless_over(server.start())
        server.watch(self._changed.set)
        return self._facts(server.server_address)

    @property
    def _server(self) -> LocalServer:
        if self._started is None:
            raise StateError(f"the server {self._order.name} of the pool was not started")
        return self._started

    def _facts(self, url: str) -> ActorFacts:
        return ActorFacts(socket.gethostname(), self._node, self._labels, os.getpid(), url)

    async def renew(self) -> None:
        """Let the lease last from now on."""
        self._lease.renew()

    async def states(self) -> AsyncIterator[bool]:
        """Whether the server is ready: now, and whenever that changes."""
        while True:
            self._changed.clear()
            yield self._server.is_ready
            await self._changed.wait()

    async def call(self, name: str, *arguments: Any) -> Any:
        """One of :data:`CALLS`."""
        if name not in CALLS:
            raise ValueError(f"{name!r} is not a call for a server of a pool")
        return await self._unless_over(getattr(self._server, name)(*arguments))

    async def upload(self, content: bytes, name: str, subfolder: str) -> Upload:
        """Have a file on the server; ``content`` is given as a reference to what was put into the cluster's store."""
        return await self._unless_over(self._server.upload_for_call(content, name, subfolder))

    async def _unless_over(self, work: Awaitable[T]) -> T:
        """The result of ``work``. What fails because the server was ended does not count: the process ends, too."""
        try:
            return await work
        except Exception:
            if self._is_over:
                await asyncio.Event().wait()
            raise

    async def run(self, order: PoolOrder) -> AsyncIterator[tuple[ProgressEvent | RunRecord, ...]]:
        """Run a prompt: its events, several at once where they come fast, and what it gave as the very last."""
        events: asyncio.Queue[ProgressEvent | None] = asyncio.Queue()
        if order.run_id in self._cancelled:
            raise _interrupted(order.run_id)
        task = asyncio.create_task(self._server.run(order, events.put_nowait), name="discomfort-actor-run")
        task.add_done_callback(lambda _: events.put_nowait(None))
        self._runs[order.run_id] = task
        try:
            while (event := await events.get()) is not None:
                batch = [event]
                while not events.empty() and (event := events.get_nowait()) is not None:
                    batch.append(event)
                yield tuple(batch)
                if event is None:
                    break
            if self._is_over:
                # The run was not interrupted: its server is lost, as the end of this process will say.
                await asyncio.Event().wait()
            if task.cancelled():
                raise _interrupted(order.run_id)
            yield (task.result(),)
        finally:
            self._runs.pop(order.run_id, None)
            task.cancel()

    async def cancel(self, run_id: str) -> None:
        """End a run, and wait until it has ended on the server. A run that has not come yet will not begin."""
        task = self._runs.get(run_id)
        if task is None:
            self._cancelled[run_id] = None
            while len(self._cancelled) > _REMEMBERED:
                del self._cancelled[next(iter(self._cancelled))]
            return
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        """Release everything in order."""
        if self._started is not None:
            await self._started.close()
        self._lease.end()

    def __ray_shutdown__(self) -> None:
        # Ray calls it in its main thread, where nothing may wait for the actor's event loop.
        self._end_process()

    def _kill(self) -> None:
        self._is_over = True
        if self._started is not None:
            self._started.kill_now()

    def _end_at_once(self) -> None:
        """The pool has not been heard of: end the server, then this process."""
        _log.error("the server %s was not heard from by its pool for too long, and is ended", self._order.name)
        self._end_process()

    def _end_process(self) -> None:
        try:
            self._kill()
        finally:
            # At once: Ray would wait for calls that are under way, and those say nothing any more.
            os._exit(1)


def _interrupted(run_id: str) -> ExecutionInterrupted:
    return ExecutionInterrupted(f"run {run_id} was cancelled")
