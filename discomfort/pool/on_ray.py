"""A pool whose servers are on a Ray cluster: what joins the cluster, makes the fleet, and leaves again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort.pool.cluster_thread import ClusterThread
from discomfort.pool.ray_fleet import RayFleet, ScaledPool
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.ray_server import RayServer


class RayHome:
    """The cluster of one pool and its servers there."""

    def __init__(self, options: RayOptions, settings: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        self.fleet: RayFleet = RayFleet(options, settings, labels)
        # A pool without any server would not know which nodes there are.
        self._first = max(1, options.bounds[0])
        self._thread = ClusterThread()

    async def join(self, address: str, options: Mapping[str, Any]) -> list[RayServer]:
        """Join the cluster; returns the first servers, which are not started. Raises as :func:`ray.connect`."""
        await self._thread.join(address, options)
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
        await self._thread.leave()
