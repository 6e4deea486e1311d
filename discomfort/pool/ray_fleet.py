"""The servers of a pool on a Ray cluster: as many as are wanted, away from machines that are drained."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from discomfort._system.concurrency import in_own_thread, to_thread
from discomfort.connector.background import BackgroundTasks
from discomfort.exceptions import ArgumentError, DiscomfortError
from discomfort.pool import ray as ray_cluster
from discomfort.pool.actor_ends import AvoidedNodes
from discomfort.pool.file_shelf import FileShelf
from discomfort.pool.lease import CHECKS
from discomfort.pool.ray_options import RayOptions, wanted_servers
from discomfort.pool.ray_server import RayPlace, RayServer
from discomfort.pool.server_actor import ServerOrder

_log = logging.getLogger("discomfort.pool")

LOOK_EVERY = 1.0
"""Seconds between two looks at runs, servers and machines."""

_PAUSE = 10.0
"""Seconds until another server is tried when one could not be added."""


class ScaledPool(Protocol):
    """What a fleet needs of its pool."""

    def waiting_runs(self) -> int:
        """How many runs wait for a server."""
        ...

    def is_busy(self, server: str) -> bool:
        """Whether a server has a run."""
        ...

    async def add(self, server: RayServer) -> None:
        """Start a server. Raises as its start."""
        ...

    async def remove(self, server: str, *, deadline: float | None = None) -> None:
        """Drain and end a server. Raises ArgumentError if there is none of this name."""
        ...


class RayFleet:
    """Makes the servers, renews their leases, and keeps their number."""

    def __init__(self, options: RayOptions, settings: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        self._options, self._settings, self._labels = options, dict(settings), dict(labels)
        self._place = RayPlace(
            make=self._link,
            shelf=FileShelf(ray_cluster.put),
            avoided=AvoidedNodes(),
            room=lambda: f"it has {ray_cluster.cluster_resources()}",
            wait=options.wait,
        )
        self.servers: dict[str, RayServer] = {}
        self._count = 0
        self._requested = 0
        self._busy_at: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._pause_until = 0.0
        self._background = BackgroundTasks()
        self._ended = threading.Event()
        self._look_at_machines: Callable[[], Mapping[str, float]] = ray_cluster.draining_nodes

    def _link(self, order: ServerOrder, avoided: frozenset[str]) -> ray_cluster.ActorLink:
        return ray_cluster.server_link(order, self._options.placing(avoided, ray_cluster.NODE_LABEL))

    def server(self) -> RayServer:
        """A further server, which is not started yet."""
        name = f"ray{self._count}"
        self._count += 1
        order = ServerOrder(name, self._settings, self._options.lease)
        made = self.servers[name] = RayServer(order, self._labels, self._place)
        self._busy_at[name] = time.monotonic()
        return made

    def begin_leases(self) -> None:
        """Renew the leases of all servers from now on, in a thread: an event loop may be held up for a while."""
        threading.Thread(target=self._renew, name="discomfort-leases", daemon=True).start()

    def _renew(self) -> None:
        while not self._ended.wait(self._options.lease / CHECKS):
            for server in tuple(self.servers.values()):
                try:
                    server.renew()
                except Exception as error:  # noqa: BLE001 - whatever Ray raises: the others must be renewed, too
                    _log.warning("the lease of the server %s was not renewed: %s", server.name, error)

    def keep(self, pool: ScaledPool) -> None:
        """Keep the number of servers from now on."""
        self._background.spawn(self._keep(pool), "discomfort-ray-fleet")

    async def end(self) -> None:
        """Make and end no more servers."""
        await self._background.end()

    async def release(self) -> None:
        """Renew no more leases, and ask for no more machines."""
        self._ended.set()
        if self._requested:
            await in_own_thread(lambda: ray_cluster.request_machines(self._options.bundle, 0, {}))

    async def _keep(self, pool: ScaledPool) -> None:
        while True:
            try:
                self._leave(await to_thread(self._look_at_machines), pool)
                await self._scale(pool)
            except Exception:  # noqa: BLE001 - Ray's private parts may change; runs go on without this
                _log.exception("the machines of the cluster could not be looked at")
            await asyncio.sleep(LOOK_EVERY)

    def _leave(self, draining: Mapping[str, float], pool: ScaledPool) -> None:
        """Leave machines that are drained."""
        for name, server in tuple(self.servers.items()):
            left = draining.get(server.node)
            if left is not None and name not in self._leaving:
                _log.warning("the machine of the server %s goes away in %.0f s", name, left)
                # Some of the time is for the end of the server itself.
                deadline = None if left == float("inf") else max(0.0, left * 0.9 - 1)
                self._drop(name, pool, deadline)

    def _drop(self, name: str, pool: ScaledPool, deadline: float | None = None) -> None:
        self._leaving.add(name)
        self._background.spawn(self._remove(name, pool, deadline), "discomfort-ray-leave")

    async def _remove(self, name: str, pool: ScaledPool, deadline: float | None) -> None:
        try:
            await pool.remove(name, deadline=deadline)
        except ArgumentError:
            _log.debug("the server %s was removed by somebody else", name)
        finally:
            self.servers.pop(name, None)
            self._busy_at.pop(name, None)
            self._leaving.discard(name)

    async def _scale(self, pool: ScaledPool) -> None:
        now = time.monotonic()
        staying = [name for name in self.servers if name not in self._leaving]
        busy = [name for name in staying if pool.is_busy(name)]
        self._busy_at.update(dict.fromkeys(busy, now))
        wanted = wanted_servers(self._options, busy=len(busy), waiting=pool.waiting_runs())
        await self._request(wanted)
        for _ in range(wanted - len(staying) if now >= self._pause_until else 0):
            self._background.spawn(self._add(pool), "discomfort-ray-add")
        for name in self._idle(staying, now)[: max(0, len(staying) - wanted)]:
            self._drop(name, pool)

    def _idle(self, names: Sequence[str], now: float) -> list[str]:
        """Servers that have had no run for long, those for the longest time first."""
        idle = [name for name in names if now - self._busy_at.get(name, now) >= self._options.idle_timeout]
        return sorted(idle, key=lambda name: self._busy_at[name])

    async def _request(self, wanted: int) -> None:
        if wanted != self._requested:
            self._requested = wanted
            options = self._options
            await to_thread(ray_cluster.request_machines, options.bundle, wanted, options.selector)

    async def _add(self, pool: ScaledPool) -> None:
        server = self.server()
        try:
            await pool.add(server)
        except DiscomfortError as error:
            _log.warning("the server %s could not be added: %s", server.name, error)
            self.servers.pop(server.name, None)
            self._pause_until = time.monotonic() + _PAUSE
        except asyncio.CancelledError:
            self.servers.pop(server.name, None)
            raise
