"""Many runs of one workflow: submitted as others end, and given as they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any

from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_run import PoolRun

Variants = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""The values of each run."""

Submit = Callable[[Mapping[str, Any]], Awaitable[PoolRun]]


async def numbered(variants: Variants) -> AsyncGenerator[tuple[int, Mapping[str, Any]], None]:
    """The values with their places, from either kind of iterable."""
    index = 0
    if isinstance(variants, AsyncIterable):
        async for values in variants:
            yield index, values
            index += 1
    else:
        for values in variants:
            yield index, values
            index += 1


class OpenRuns:
    """The runs of a batch that have not ended, each with its place. For the event loop's thread only."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._tasks: dict[asyncio.Task[PoolRun], int] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, index: int, values: Mapping[str, Any]) -> None:
        """Submit a run."""
        self._tasks[asyncio.create_task(_ended(self._submit, values), name="discomfort-batch-run")] = index

    async def ended(self) -> list[tuple[int, PoolRun]]:
        """Wait until one or more of them have ended, and give these. They are not open any more."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        found = {self._tasks.pop(task): task for task in done}
        return [(index, found[index].result()) for index in sorted(found)]

    def cancel(self) -> None:
        """Cancel all of them, without waiting."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel all of them."""
        self.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def completed(variants: Variants, submit: Submit, window: int) -> AsyncGenerator[tuple[int, PoolRun], None]:
    """Each run with its place, as it ends. At most ``window`` wait or run at once; the rest is not pulled yet.

    When the iterator is closed, the runs that have not ended are cancelled.
    """
    source, runs = numbered(variants), OpenRuns(submit)
    is_over = False
    try:
        while True:
            while not is_over and len(runs) < window:
                try:
                    runs.begin(*await anext(source))
                except StopAsyncIteration:
                    is_over = True
            if not len(runs):
                return
            for place, run in await runs.ended():
                yield place, run
    finally:
        await runs.close()
        await source.aclose()


async def in_order(runs: AsyncGenerator[tuple[int, PoolRun], None], *, stops: bool) -> list[PoolResult | BaseException]:
    """What the runs gave, in the order of their places. With ``stops`` the first error is raised."""
    found: dict[int, PoolResult | BaseException] = {}
    try:
        async for index, run in runs:
            outcome = run.outcome
            if stops and isinstance(outcome, BaseException):
                raise outcome
            found[index] = outcome
    finally:
        await runs.aclose()
    return [found[index] for index in sorted(found)]


async def _ended(submit: Submit, values: Mapping[str, Any]) -> PoolRun:
    """A run that has ended. If cancelled, the run is cancelled too."""
    run = await submit(values)
    try:
        await run._state.wait()
    except asyncio.CancelledError:
        await run.cancel()
        raise
    return run
