"""A pool in an actor of its own, which several programs share: what is called from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from discomfort._json import JsonObject
from discomfort.exceptions import PoolError
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import SubmitArguments
from discomfort.pool.pool_events import PoolEvent
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.pool_status import PoolStatus

KEPT = 200
"""Runs that have ended and whose results are kept for whoever asks."""

CALLS = frozenset({"drain", "remove", "free"})
"""Methods of the pool that programs may call; what they give back is plain data."""


class PoolActor:
    """Holds one :class:`ComfyPool`. Runs belong to the pool: they go on when the program that submitted them ends."""

    def __init__(self) -> None:
        self._pool: ComfyPool | None = None
        self._begun = asyncio.Lock()
        self._runs: dict[str, PoolRun] = {}

    async def begin(self, arguments: Mapping[str, Any]) -> None:
        """Make the pool, by the arguments of whoever is first. Raises as :meth:`ComfyPool.on_ray`."""
        async with self._begun:
            if self._pool is None:
                self._pool = await ComfyPool.on_ray("auto", **arguments)

    async def is_made(self) -> bool:
        """Whether the pool is there, or somebody makes it."""
        return self._pool is not None or self._begun.locked()

    @property
    def _made(self) -> ComfyPool:
        if self._pool is None:
            raise PoolError("the shared pool is not made yet, or could not be made")
        return self._pool

    async def submit(self, workflow: JsonObject, values: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
        """Submit a run; returns its id. Raises as :meth:`ComfyPool.submit`."""
        run = await self._made.submit(workflow, values, **cast("SubmitArguments", dict(arguments)))
        self._runs[run.run_id] = run
        ended = [run_id for run_id, each in self._runs.items() if each.done]
        for run_id in ended[: max(0, len(ended) - KEPT)]:
            del self._runs[run_id]
        return run.run_id

    def _run(self, run_id: str) -> PoolRun:
        run = self._runs.get(run_id)
        if run is None:
            raise PoolError(f"the shared pool has no run {run_id!r}; it keeps the last {KEPT} that have ended")
        return run

    async def events(self, run_id: str) -> AsyncIterator[PoolEvent]:
        """The events of a run, from now on."""
        async for event in self._run(run_id).events():
            yield event

    async def result(self, run_id: str) -> PoolResult:
        """The result of a run, waited for. Raises the run's error."""
        return await self._run(run_id)

    async def cancel(self, run_id: str) -> bool:
        """End a run."""
        return await self._run(run_id).cancel()

    async def status(self) -> PoolStatus:
        """What the pool does now."""
        return self._made.status()

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """One of :data:`CALLS`."""
        if name not in CALLS:
            raise ValueError(f"{name!r} is not a call for a shared pool")
        return await getattr(self._made, name)(*arguments, **options)

    async def close(self, drain: float | None) -> None:
        """Release all servers; runs get ``drain`` seconds to end."""
        if self._pool is not None:
            await self._pool.aclose(drain)

    def __ray_shutdown__(self) -> None:
        # The servers end with the actor that has made them; this is the quick way.
        if self._pool is not None:
            self._pool.release_now()
