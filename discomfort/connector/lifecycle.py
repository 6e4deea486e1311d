"""States of a connector, who may follow whom, and the plan by which it is taken apart."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from discomfort.exceptions import StateError

_log = logging.getLogger("discomfort.connector.lifecycle")


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
            raise StateError(f"the connector is {self._state} and can not become {state}")
        _log.info("%s -> %s%s", self._state, state, f": {reason}" if reason else "")
        self._transitions.append(Transition(time.time(), self._state, state, reason))
        self._state = state


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a shutdown: what is released, how, and how long it may take in seconds."""

    name: str
    release: Callable[[], Awaitable[object] | object]
    deadline: float


async def release_all(steps: Sequence[Step]) -> list[str]:
    """Run the steps in order, each within its deadline; one that fails is logged and the next still runs.

    Returns the names of the failed steps. Not safe to cancel in the middle: run it in a task of its own and shield it.
    """
    failed = []
    for step in steps:
        try:
            outcome = step.release()
            if inspect.isawaitable(outcome):
                await asyncio.wait_for(outcome, step.deadline)
        except TimeoutError:
            _log.exception("shutdown step %r took longer than %.0f s and was given up", step.name, step.deadline)
            failed.append(step.name)
        except Exception:  # noqa: BLE001 - the steps after it must run whatever it raised
            _log.exception("shutdown step %r failed", step.name)
            failed.append(step.name)
    return failed
