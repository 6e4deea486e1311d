"""The end of a context, with which a run that uses it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from discomfort._system.concurrency import EndableScope
from discomfort.context.context import WorkflowContext


@contextlib.asynccontextmanager
async def ended_with(context: WorkflowContext) -> AsyncIterator[None]:
    """A block that raises StateError at once when this process shuts the context down, in whatever thread.

    When another process does, the block goes on until it needs the context.
    """
    loop, scope = asyncio.get_running_loop(), EndableScope()

    def ended() -> None:
        with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile, and the block with it.
            loop.call_soon_threadsafe(scope.end, context._end_error())

    async with scope:
        with context._watched(ended):
            yield
