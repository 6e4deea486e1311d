"""Contexts of calls that have none: each has one of its own, which is emptied afterwards, and serves a later call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from discomfort._system.concurrency import finish, in_pool, to_thread
from discomfort.context.context import WorkflowContext
from discomfort.exceptions import DiscomfortError

_log = logging.getLogger("discomfort.run")

_MOST_IDLE = 4


class TemporaryContexts:
    """Makes contexts, and keeps a few that are empty: to make and remove their folders takes longer than a short run.

    For one event loop. They end with :meth:`close`, or when nothing refers to this object any more.
    """

    def __init__(self) -> None:
        self._idle: list[WorkflowContext] = []
        self._is_closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[WorkflowContext]:
        """An empty context that no other call has, until the block ends. Raises what WorkflowContext raises."""
        context = self._from_idle() or await self._new()
        try:
            yield context
        finally:
            await self._give_back(context)

    def close(self) -> None:
        """Remove the idle ones. Blocking. Those in use are removed after it."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for context in idle:
            context.shutdown()

    def _from_idle(self) -> WorkflowContext | None:
        while self._idle:
            context = self._idle.pop()
            if context._is_reusable():
                return context
            context.shutdown()
        return None

    async def _new(self) -> WorkflowContext:
        made: list[WorkflowContext] = []
        try:
            # Kept here, so that a cancellation does not lose it.
            await finish(to_thread(lambda: made.append(WorkflowContext())))
        except BaseException:
            for context in made:
                await finish(to_thread(context.shutdown))
            raise
        return made[0]

    async def _give_back(self, context: WorkflowContext) -> None:
        try:
            if not self._is_closed and len(self._idle) < _MOST_IDLE:
                await in_pool(context._clear, is_quick=not len(context))
        except (DiscomfortError, OSError) as error:
            _log.debug("a context cannot be used again: %s", error)
        finally:
            # Cleared even if this was cancelled.
            if not self._is_closed and len(self._idle) < _MOST_IDLE and _is_empty(context):
                self._idle.append(context)
            else:
                await finish(to_thread(context.shutdown))


def _is_empty(context: WorkflowContext) -> bool:
    # Nor is one that somebody has shut down.
    try:
        return not context._open_storage().records()
    except (DiscomfortError, OSError):
        return False
