"""Restarts after the death of an owned server: when, how often, and which prompts are suspected of it.

Decisions are plain functions of what is known; only :class:`Recovery` waits, in one background task at a time.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Literal

from discomfort.client.runs import Run
from discomfort.connector.event_log import EventLog
from discomfort.exceptions import (
    BrowserError,
    DiscomfortError,
    RestartLimitError,
    SelfTestError,
    ServerDiedError,
    ServerError,
    StateError,
)

_log = logging.getLogger("discomfort.connector.recovery")

Policy = Literal["raise", "restart", "restart_and_resubmit"]
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

WINDOW = 600.0
"""Seconds in which ``max_restarts`` are counted."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the second restart within the window, and at most; the pause doubles, the first restart has none."""


def suspects(runs: Iterable[Run]) -> frozenset[str]:
    """The prompts that may have killed the server: what ran, else what was being accepted, else the first in line.

    The news that a prompt started may die with the server, so the one in front counts where none is known to run.
    """
    by_stage: dict[str, list[str]] = {}
    for run in runs:
        by_stage.setdefault(run.stage, []).append(run.prompt_id)
    for stage in ("running", "sent"):
        if stage in by_stage:
            return frozenset(by_stage[stage])
    return frozenset(by_stage.get("queued", [])[:1])


def for_prompt(death: ServerDiedError, prompt_id: str | None) -> ServerDiedError:
    """The same death as an error of its own for one prompt's caller."""
    own = copy.copy(death)
    own.prompt_id = prompt_id
    return own


class RestartBudget:
    """Counts the restarts within a sliding window; ``clock`` is in seconds."""

    def __init__(self, limit: int, *, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self._window, self._clock = limit, window, clock
        # More than the limit are never taken within one window.
        self._restarts: deque[float] = deque(maxlen=max(1, limit))
        self._story: deque[tuple[float, DiscomfortError]] = deque(maxlen=50)

    def note(self, error: DiscomfortError) -> None:
        """A death, or a start that failed."""
        self._story.append((self._clock(), error))

    @property
    def story(self) -> tuple[DiscomfortError, ...]:
        """The deaths and failed starts within the window, the oldest first. From any thread."""
        earliest = self._clock() - self._window
        return tuple(error for at, error in list(self._story) if at >= earliest)

    @property
    def used(self) -> int:
        """The restarts within the window. From any thread."""
        earliest = self._clock() - self._window
        return sum(at >= earliest for at in list(self._restarts))

    @property
    def exhausted(self) -> bool:
        """Whether no restart is left for now."""
        return self.used >= self.limit

    def take(self) -> float:
        """Use one restart; returns the seconds to wait before it."""
        used = self.used
        self._restarts.append(self._clock())
        return 0.0 if used == 0 else float(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (used - 1)))

    def error(self) -> RestartLimitError:
        """The error to raise while no restart is left."""
        problem = (
            f"the server is not started again by itself: {self.used} restart(s) within {self._window / 60:g} minutes "
            f"is the limit (MAX_RESTARTS={self.limit}); what happened:"
        )
        return RestartLimitError(problem, self.story)


class Recovery:
    """Starts a dead server anew, as the policy says; ``start`` does it, ``spawn`` runs it in the background."""

    def __init__(
        self,
        policy: Policy,
        budget: RestartBudget,
        *,
        start: Callable[[], Awaitable[None]],
        spawn: Spawn,
        events: EventLog,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.policy, self.budget = policy, budget
        self._start, self._spawn, self._events, self._sleep = start, spawn, events, sleep
        self._task: asyncio.Task[None] | None = None
        self._gave_up = False
        self._news = asyncio.Event()
        self.count = 0
        """How many times the server was lost. Work that saw a smaller number at its begin was hit by a loss."""
        self.last: ServerDiedError | None = None
        self.lost_at = 0.0
        """When the server was last lost, by the event loop's clock."""
        self.suspects: frozenset[str] = frozenset()

    @property
    def resubmits(self) -> bool:
        """Whether the policy submits runs again that the server's death broke off."""
        return self.policy == "restart_and_resubmit"

    @property
    def under_way(self) -> bool:
        """Whether a restart in the background has not come to its end."""
        return self._task is not None and not self._task.done()

    def note(self, death: ServerDiedError, suspected: frozenset[str] = frozenset(), *, at: float = 0.0) -> None:
        """The server was lost, ``at`` by the event loop's clock; ``suspected`` prompts may have killed it."""
        self.count += 1
        self.lost_at = at
        self._news.set()
        self._news = asyncio.Event()
        self.last, self.suspects = death, suspected
        self.budget.note(death)
        self._events.note("server lost", problem=death.problem, suspects=", ".join(sorted(suspected)) or None)

    def begin(self, *, ordered: bool = False) -> None:
        """Start the server anew in the background where the policy says so, or where that was ``ordered``.

        An ordered restart is no accident and is not counted.
        """
        if self.under_way or (self.policy == "raise" and not ordered):
            return
        self._gave_up = False
        self._task = self._spawn(self._work(is_free=ordered), "discomfort-recovery")

    async def noted(self, count: int, seconds: float) -> None:
        """Wait until the server was lost once more than ``count`` times, at most so many seconds."""
        if self.count == count:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                _log.debug("nobody noted the end of the server")

    async def settled(self) -> None:
        """Wait for a restart that is under way. Raises RestartLimitError where restarts were given up for now.

        Safe to cancel: the restart goes on.
        """
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait([task])
        if self._gave_up and self.budget.exhausted:
            raise self.budget.error()

    async def _work(self, *, is_free: bool) -> None:
        while True:
            if not is_free:
                if self.budget.exhausted:
                    self._gave_up = True
                    _log.error("%s", self.budget.error().problem)
                    self._events.note("restarts given up", used=self.budget.used)
                    return
                pause = self.budget.take()
                if pause:
                    _log.warning("starting the server again in %g s (restart %d)", pause, self.budget.used)
                    await self._sleep(pause)
            is_free = False
            seen = self.count
            try:
                await self._start()
            except StateError as error:
                # It was shut down meanwhile: nobody wants a server any more.
                _log.debug("no restart: %s", error)
                return
            except (ServerError, SelfTestError, BrowserError, OSError) as error:
                _log.exception("the server could not be started again")
                self._note_failure(error)
                if self.policy == "raise":
                    return
            else:
                _log.warning("the server was started again")
                self._events.note("server restarted")
                if self.count == seen:
                    return

    def _note_failure(self, error: Exception) -> None:
        story = error if isinstance(error, DiscomfortError) else ServerError(f"the start failed: {error}")
        self.budget.note(story)
        self._events.note("restart failed", problem=str(story))
