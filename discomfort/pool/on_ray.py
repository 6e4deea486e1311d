"""A pool whose servers are on a Ray cluster: what joins the cluster, makes the fleet, and leaves again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from discomfort._system.concurrency import finish
from discomfort.pool import ray as ray_cluster
from discomfort.pool.ray_fleet import RayFleet, ScaledPool
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.ray_server import RayServer

T = TypeVar("T")


class RayHome:
    """The cluster of one pool and its servers there."""

    def __init__(self, options: RayOptions, settings: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        self.fleet: RayFleet = RayFleet(options, settings, labels)
        # A pool without any server would not know which nodes there are.
        self._first = max(1, options.bounds[0])
        self._joined = False
        self._thread = ThreadPoolExecutor(1, "discomfort-ray")
        """Joins and leaves. Ray takes the signal handlers of a main thread that joins a cluster; and the processes of a
        cluster that it starts end with the thread that has started them, so this one stays."""

    async def join(self, address: str, options: Mapping[str, Any]) -> list[RayServer]:
        """Join the cluster; returns the first servers, which are not started. Raises as :func:`ray.connect`."""
        self._joined = await self._in_thread(lambda: ray_cluster.connect(address, options))
        self.fleet.begin_leases()
        return [self.fleet.server() for _ in range(self._first)]

    def keep(self, pool: ScaledPool) -> None:
        """Keep the number of servers from now on."""
        self.fleet.keep(pool)

    async def end(self) -> None:
        """Make and end no more servers."""
        await self.fleet.end()

    async def release(self) -> None:
        """Leave the cluster, if the pool has joined it."""
        await self.fleet.release()
        if self._joined:
            self._joined = False
            await self._in_thread(ray_cluster.disconnect)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await finish(asyncio.get_running_loop().run_in_executor(self._thread, work))
