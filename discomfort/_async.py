"""Small asyncio tools with one purpose: what was begun is known to have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread; when cancelled, wait for its end first, so that what it took is known."""
    return await finish(asyncio.to_thread(work))


async def finish(work: Awaitable[T]) -> T:
    """Await ``work`` to its end even when cancelled meanwhile; the cancellation is delivered afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    retrieve(task)
    raise cancelled


def retrieve(task: asyncio.Future[Any]) -> None:
    """Mark a finished task's error as seen, where a cancellation goes before it."""
    if not task.cancelled():
        task.exception()


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a group: siblings that were only cancelled because of it say nothing."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [failures]
    while stack:
        error = stack.pop(0)
        if isinstance(error, BaseExceptionGroup):
            stack[:0] = error.exceptions
        else:
            leaves.append(error)
    return next((e for e in leaves if not isinstance(e, asyncio.CancelledError)), leaves[0])
