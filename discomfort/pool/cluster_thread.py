"""The thread that joins a Ray cluster and leaves it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

from discomfort._system.concurrency import finish
from discomfort.pool import ray as ray_cluster

T = TypeVar("T")


class ClusterThread:
    """Joins in a thread of its own: Ray takes the signal handlers of a main thread that joins a cluster.

    The processes of a cluster that it starts end with the thread that has started them, so this one stays.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "discomfort-ray")
        self._joined = False

    async def join(self, address: str, options: Mapping[str, Any]) -> ModuleType:
        """Join; returns :mod:`discomfort.pool.ray`. Raises as its ``connect``."""
        self._joined = await self._do(lambda: ray_cluster.connect(address, options))
        return ray_cluster

    async def leave(self) -> None:
        """Leave, if this has joined. Safe to call again."""
        if self._joined:
            self._joined = False
            await self._do(ray_cluster.disconnect)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        return await finish(asyncio.get_running_loop().run_in_executor(self._thread, work))
