"""The states of a connector and the allowed transitions."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from discomfort.exceptions import StateError

_log = logging.getLogger("discomfort.connector.states")


class State(StrEnum):
    """The documented states of a connector."""

    UNINIT = "uninit"  # nothing is started yet
    INITIALIZING = "initializing"  # server, browser and socket are being started
    READY = "ready"  # all of them work
    ERROR = "error"  # the start failed, or the server died
    KILLED = "killed"  # everything was released; final


# Beyond the documented transitions: ready→error is the death of the server, →initializing a recovery, and a connector
# may be shut down at any time.
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
    """Holds the state; its only setter is :meth:`to`, which checks and logs each transition."""

    def __init__(self) -> None:
        self._state = State.UNINIT
        self._end_ordered = False
        self._transitions: deque[Transition] = deque(maxlen=50)
        self._watchers: list[Callable[[], None]] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called after each transition, in the thread that makes it. It must not raise."""
        self._watchers.append(changed)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """The last changes of state, at most 50, oldest first."""
        return tuple(self._transitions)

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    @property
    def ending(self) -> bool:
        """Whether the connector was shut down, or is being shut down."""
        return self._end_ordered or self._state is State.KILLED

    def order_end(self) -> None:
        """Begin the shutdown; the state changes once calls and background tasks have ended."""
        self._end_ordered = True

    def refuse_if_ending(self) -> None:
        """Raise StateError if the connector was shut down, or is being shut down."""
        if self.ending:
            raise StateError("the connector was shut down; create a new one")

    def to(self, state: State, reason: str = "") -> None:
        """Change to ``state``; does nothing in that state. Raises StateError for a transition that is not allowed."""
        if state is self._state:
            return
        if state not in _FOLLOWERS[self._state]:
            raise StateError(f"the connector is {self._state} and cannot become {state}")
        _log.info("%s -> %s%s", self._state, state, f": {reason}" if reason else "")
        self._transitions.append(Transition(time.time(), self._state, state, reason))
        self._state = state
        for changed in self._watchers:
            changed()
