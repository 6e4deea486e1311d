"""States of a connector, who may follow whom, and the plan by which it is taken apart."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from discomfort._async import in_own_thread
from discomfort.exceptions import StateError

_log = logging.getLogger("discomfort.connector.lifecycle")

_TRIES = 3
"""How often a step is begun whose own task was cancelled: once by each Ctrl-C that reaches the event loop."""

_UNWIND = 2.0
"""Seconds for a step that took too long to let go of what it holds."""

_FORCE = 10.0
"""Seconds for the forceful end of a part: SIGKILL, and what the system needs after it."""


class State(StrEnum):
    """The documented states of a connector."""

    UNINIT = "uninit"  # nothing was taken yet
    INITIALIZING = "initializing"  # server, browser and socket are being taken
    READY = "ready"  # all of them work
    ERROR = "error"  # the start failed, or the server died
    KILLED = "killed"  # everything was given back; final


# Beyond the documented arrows: ready→error is the death of the server, →initializing a recovery, and a connector may
# be shut down at any moment of its life.
_FOLLOWERS: dict[State, frozenset[State]] = {
    State.UNINIT: frozenset({State.INITIALIZING, State.KILLED}),
    State.INITIALIZING: frozenset({State.READY, State.ERROR, State.KILLED}),
    State.READY: frozenset({State.ERROR, State.INITIALIZING, State.KILLED}),
    State.ERROR: frozenset({State.INITIALIZING, State.KILLED}),
    State.KILLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state; ``at`` is the time of day in seconds since 1970."""

    at: float
    before: State
    after: State
    reason: str


class Lifecycle:
    """Holds the state; its only setter is :meth:`to`, which checks the arrow and logs it."""

    def __init__(self) -> None:
        self._state = State.UNINIT
        self._transitions: deque[Transition] = deque(maxlen=50)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """The last changes of state, at most 50, the oldest first."""
        return tuple(self._transitions)

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    def to(self, state: State, reason: str = "") -> None:
        """Change to ``state``; to the same state is no change. Raises StateError where no arrow leads."""
        if state is self._state:
            return
        if state not in _FOLLOWERS[self._state]:
            raise StateError(f"the connector is {self._state} and cannot become {state}")
        _log.info("%s -> %s%s", self._state, state, f": {reason}" if reason else "")
        self._transitions.append(Transition(time.time(), self._state, state, reason))
        self._state = state


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a shutdown: what is released, how, and how long it may take in seconds."""

    name: str
    release: Callable[[], Awaitable[object] | object]
    deadline: float
    force: Callable[[], object] | None = None
    """What is done, in a thread, when ``release`` failed or took too long."""


async def release_all(steps: Sequence[Step]) -> list[str]:
    """Run the steps in order, each within its deadline; one that fails is logged and the next still runs.

    Returns the names of the failed steps. Cancellation does not stop it, and is not delivered: run it in a task of its
    own. Ctrl-C under ``asyncio.run`` cancels every task, a step's own too; such a step is begun once more, so each must
    be safe to repeat.
    """
    failed = []
    for step in steps:
        try:
            await _perform(step)
        except TimeoutError:
            _log.exception("shutdown step %r took longer than %.0f s and was given up", step.name, step.deadline)
            failed.append(step.name)
        except Exception:  # noqa: BLE001 - the steps after it must run whatever it raised
            _log.exception("shutdown step %r failed", step.name)
            failed.append(step.name)
        if step.force is not None and step.name in failed:
            await _force(step, step.force)
    return failed


async def _perform(step: Step) -> None:
    """Release within the deadline, whoever is cancelled meanwhile. Raises TimeoutError, and what the step raises."""
    deadline = time.monotonic() + step.deadline
    for _ in range(_TRIES):
        outcome = step.release()
        if not inspect.isawaitable(outcome):
            return
        task = asyncio.ensure_future(outcome)
        if not await _ended(task, deadline - time.monotonic()):
            task.cancel()
            await _ended(task, _UNWIND)
            raise TimeoutError
        if not task.cancelled():
            task.result()
            return
    raise TimeoutError("it was cancelled each time")


async def _force(step: Step, force: Callable[[], object]) -> None:
    task = asyncio.ensure_future(in_own_thread(force))
    if not await _ended(task, _FORCE) or task.cancelled():
        _log.error("shutdown step %r could not be forced within %.0f s", step.name, _FORCE)
    elif (error := task.exception()) is not None:
        _log.error("shutdown step %r could not be forced", step.name, exc_info=error)


async def _ended(task: asyncio.Future[object], seconds: float) -> bool:
    """Wait for a task's end at most so long; a cancellation of this wait is not heeded."""
    deadline = time.monotonic() + seconds
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
    return task.done()
