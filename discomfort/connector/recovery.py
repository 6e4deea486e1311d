"""Restarts after the death of an owned server: when, how often, and which prompts are suspected of it.

The decisions are plain functions. Only :class:`Recovery` waits, in one background task at a time.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Literal

from discomfort.client.runs import PromptRun
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
"""Seconds before the second restart within the window, and the limit of the doubling; the first has no pause."""

_MARGIN = 1.0
"""Seconds by which a restart waits longer than until the window has moved on."""


def suspects(runs: Iterable[PromptRun]) -> frozenset[str]:
    """The prompts that may have killed the server: those running, else those being submitted, else the first queued.

    The message that a prompt started may be lost with the server. So if none is known to run, the first one counts.
    """
    by_stage: dict[str, list[str]] = {}
    for run in runs:
        by_stage.setdefault(run.stage, []).append(run.prompt_id)
    # "sent" comes before "queued": POST /prompt runs the nodes' own VALIDATE_INPUTS, which can kill the process before
    # the prompt is ever queued.
    for stage in ("running", "sent"):
        if stage in by_stage:
            return frozenset(by_stage[stage])
    return frozenset(by_stage.get("queued", [])[:1])


def for_prompt(death: ServerDiedError, prompt_id: str | None) -> ServerDiedError:
    """A copy of ``death`` for one prompt's caller."""
    # One exception raised in several tasks would collect all their tracebacks, and can name one prompt only.
    own = copy.copy(death)
    own.prompt_id = prompt_id
    return own


class RestartBudget:
    """Counts the restarts within a sliding window; ``clock`` is in seconds."""

    limit: int

    def __init__(self, limit: int, *, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self._window, self._clock = limit, window, clock
        # Bounded by the limit, since more are never taken within one window; a limit of 0 still needs a valid deque.
        self._restarts: deque[float] = deque(maxlen=max(1, limit))
        # Every error here holds the end of a server's log, so the story of a bad night needs a bound as well.
        self._story: deque[tuple[float, DiscomfortError]] = deque(maxlen=50)

    def note(self, error: DiscomfortError) -> None:
        """Record a death or a failed start."""
        self._story.append((self._clock(), error))

    @property
    def story(self) -> tuple[DiscomfortError, ...]:
        """The deaths and failed starts within the window, oldest first. Safe in any thread."""
        earliest = self._clock() - self._window
        # list() copies in one step under the GIL: iterating the deque itself fails if the event loop appends meanwhile.
        return tuple(error for at, error in list(self._story) if at >= earliest)

    @property
    def used(self) -> int:
        """The number of restarts within the window. Safe in any thread."""
        earliest = self._clock() - self._window
        return sum(at >= earliest for at in list(self._restarts))

    @property
    def exhausted(self) -> bool:
        """Whether no restart is left for now."""
        return self.used >= self.limit

    @property
    def free_in(self) -> float | None:
        """Seconds until a restart is left, 0 if one is; ``None`` if none is ever allowed. Safe in any thread."""
        if not self.limit:
            return None
        now = self._clock()
        within = [at for at in list(self._restarts) if at >= now - self._window]
        return within[-self.limit] + self._window - now if len(within) >= self.limit else 0.0

    def take(self) -> float:
        """Use one restart; returns the seconds to wait before it."""
        used = self.used
        self._restarts.append(self._clock())
        return 0.0 if used == 0 else float(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (used - 1)))

    def error(self) -> RestartLimitError:
        """The error to raise while no restart is left."""
        left = self.free_in
        problem = (
            f"the server is not restarted automatically: {self.used} restart(s) within {self._window / 60:g} minutes "
            f"is the limit (MAX_RESTARTS={self.limit})"
            + (f", the next one is possible in {left:.0f} s" if left else "")
            + "; what happened:"
        )
        return RestartLimitError(problem, self.story)


class Recovery:
    """Restarts a dead server as the policy says; ``start`` starts it, ``spawn`` runs that in the background."""

    budget: RestartBudget
    count: int
    lost_at: float

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
        self._later: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self.count = 0
        """How many times the server was lost. Work that began under a smaller number was hit by a loss."""
        self.last: ServerDiedError | None = None
        self.lost_at = 0.0
        """When the server was last lost, by the event loop's clock."""
        self.suspects: frozenset[str] = frozenset()

    @property
    def resubmits(self) -> bool:
        """Whether the policy resubmits runs that the server's death interrupted."""
        return self.policy == "restart_and_resubmit"

    @property
    def under_way(self) -> bool:
        """Whether a restart is going on in the background."""
        return self._task is not None and not self._task.done()

    def note(self, death: ServerDiedError, suspected: frozenset[str] = frozenset(), *, at: float = 0.0) -> None:
        """Record the loss of the server, ``at`` by the event loop's clock; ``suspected`` prompts may have killed it."""
        self.count += 1
        self.lost_at = at
        # A new event for each loss: noted() waits for the next one and must not see this one's.
        self._news.set()
        self._news = asyncio.Event()
        self.last, self.suspects = death, suspected
        self.budget.note(death)
        self._events.note("server lost", problem=death.problem, suspects=", ".join(sorted(suspected)) or None)

    def begin(self, *, ordered: bool = False) -> None:
        """Restart the server in the background if the policy says so, or if that was ``ordered``.

        An ordered restart does not count towards the limit.
        """
        if self.under_way or (self.policy == "raise" and not ordered):
            return
        self._forget_later()
        self._task = self._spawn(self._work(is_free=ordered), "discomfort-recovery")

    def note_ready(self) -> None:
        """There is a server again, however it came about: a restart that was put off is not needed any more."""
        self._forget_later()

    async def noted(self, count: int, seconds: float) -> None:
        """Wait until the server was lost more than ``count`` times, for ``seconds`` at most."""
        if self.count == count:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                _log.debug("the end of the server was not noted in time")

    async def settled(self) -> None:
        """Wait for a restart that is under way. Raises RestartLimitError while the limit is reached.

        Safe to cancel: the restart continues.
        """
        task = self._task
        if task is not None and not task.done():
            # asyncio.wait() does not cancel the task with its waiter, as awaiting it would. How the restart ended
            # shows in the connector's state.
            await asyncio.wait([task])
        if self._gave_up and self.budget.exhausted:
            raise self.budget.error()

    def _forget_later(self) -> None:
        self._gave_up = False
        later, self._later = self._later, None
        if later is not None and later is not asyncio.current_task():
            later.cancel()

    def _give_up(self) -> None:
        """Restart nothing until the window has moved on, then go on: a service whose calls fail may get none."""
        self._gave_up = True
        _log.error("%s", self.budget.error().problem)
        self._events.note("restarts given up", used=self.budget.used)
        pause = self.budget.free_in
        if pause is not None and self.policy != "raise":
            self._later = self._spawn(self._begin_later(pause + _MARGIN), "discomfort-later-restart")

    async def _begin_later(self, seconds: float) -> None:
        await self._sleep(seconds)
        self.begin()

    async def _work(self, *, is_free: bool) -> None:
        while True:
            if not is_free:
                if self.budget.exhausted:
                    self._give_up()
                    return
                pause = self.budget.take()
                if pause:
                    _log.warning("starting the server again in %g s (restart %d)", pause, self.budget.used)
                    await self._sleep(pause)
            # Only the ordered restart itself is free; every retry after it is counted, or a server that cannot start
            # would be retried without end.
            is_free = False
            seen = self.count
            try:
                await self._start()
            except StateError as error:
                # The connector was shut down meanwhile.
                _log.debug("no restart: %s", error)
                return
            except (ServerError, SelfTestError, BrowserError, OSError) as error:
                _log.exception("the server could not be started again")
                self._note_failure(error)
                # Under this policy only an ordered restart gets here: it has one try, the next call makes another.
                if self.policy == "raise":
                    return
            else:
                _log.warning("the server was started again")
                self._events.note("server restarted")
                # Lost again before this line: begin() did nothing, since this task was still under way.
                if self.count == seen:
                    return

    def _note_failure(self, error: Exception) -> None:
        story = error if isinstance(error, DiscomfortError) else ServerError(f"the start failed: {error}")
        self.budget.note(story)
        self._events.note("restart failed", problem=str(story))
