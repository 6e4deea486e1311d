"""Contexts of calls that have none: each has one of its own, which is emptied afterwards, and serves a later call."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from discomfort._system.concurrency import finish, in_pool, to_thread
from discomfort.context.context import WorkflowContext
from discomfort.context.context_settings import settings_look
from discomfort.exceptions import DiscomfortError

_log = logging.getLogger("discomfort.run")

_MOST_IDLE = 4
_SHARE_SECONDS = 1.0
"""How long a share of memory counts: to find out what the machine has left takes as long as a short run."""


@dataclass(frozen=True, slots=True)
class _IdleContext:
    """An empty context, the settings that it was made for, and when it got its share of memory."""

    context: WorkflowContext
    look: tuple[object, ...]
    shared_at: float


class TemporaryContexts:
    """Makes contexts, and keeps a few that are empty: to make and remove their folders takes longer than a short run.

    For one event loop. They end with :meth:`close`, or when nothing refers to this object any more.
    """

    def __init__(self) -> None:
        self._idle: list[_IdleContext] = []
        self._is_closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[WorkflowContext]:
        """An empty context that no other call has, until the block ends. Raises what WorkflowContext raises."""
        look = settings_look()
        found = self._from_idle(look) or _IdleContext(await self._new(), look, time.monotonic())
        try:
            yield found.context
        finally:
            await self._give_back(found)

    def close(self) -> None:
        """Remove the idle ones. Blocking. Those in use are removed after it."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for each in idle:
            each.context.shutdown()

    def _from_idle(self, look: tuple[object, ...]) -> _IdleContext | None:
        while self._idle:
            found = self._idle.pop()
            if found.look == look and found.context._is_usable():
                if time.monotonic() - found.shared_at > _SHARE_SECONDS:
                    found.context._share_anew()
                    return replace(found, shared_at=time.monotonic())
                return found
            found.context.shutdown()
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

    async def _give_back(self, found: _IdleContext) -> None:
        context = found.context
        try:
            if not self._is_closed and len(self._idle) < _MOST_IDLE:
                await in_pool(context._clear, is_quick=not len(context))
        except (DiscomfortError, OSError) as error:
            _log.debug("a context cannot be used again: %s", error)
        finally:
            # Cleared even if this was cancelled.
            if not self._is_closed and len(self._idle) < _MOST_IDLE and _is_empty(context):
                self._idle.append(found)
            else:
                await finish(to_thread(context.shutdown))


def _is_empty(context: WorkflowContext) -> bool:
    # Nor is one that somebody has shut down.
    try:
        return not context._open_storage().records()
    except (DiscomfortError, OSError):
        return False
