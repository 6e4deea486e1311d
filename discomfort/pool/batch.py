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


async def completed(variants: Variants, submit: Submit, window: int) -> AsyncGenerator[tuple[int, PoolRun], None]:
    """Each run with its place, as it ends. At most ``window`` wait or run at once; the rest is not pulled yet.

    When the iterator is closed, the runs that have not ended are cancelled.
    """
    source = numbered(variants)
    under_way: dict[asyncio.Task[PoolRun], int] = {}
    is_over = False
    try:
        while True:
            while not is_over and len(under_way) < window:
                try:
                    index, values = await anext(source)
                except StopAsyncIteration:
                    is_over = True
                    break
                under_way[asyncio.create_task(_ended(submit, values), name="discomfort-batch-run")] = index
            if not under_way:
                return
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=under_way.__getitem__):
                index = under_way.pop(task)
                yield index, task.result()
    finally:
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
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
