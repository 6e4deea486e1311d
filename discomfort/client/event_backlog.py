"""Events that wait for somebody who is slower than the server; their number is bounded."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from discomfort.progress import Event, Preview, Step

E = TypeVar("E", bound=Event)

BACKLOG = 512
"""Steps and previews that may wait. Beyond that, those that a newer one of the same node replaces are dropped. The last
of each node, results (:attr:`~discomfort.progress.Preview.is_result`) and all other events never are."""


class EventBacklog(Generic[E]):
    """A queue of events, oldest first."""

    __slots__ = ("_events", "_replaceable")

    def __init__(self) -> None:
        self._events: deque[E] = deque()
        self._replaceable = 0

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: E) -> None:
        """Add an event at the end; if too many wait, drop one that a newer one replaces."""
        self._events.append(event)
        self._replaceable += _is_replaceable(event)
        if self._replaceable > BACKLOG:
            self._drop_replaced()

    def put_first(self, event: E) -> None:
        """Add an event that comes before all others."""
        self._events.appendleft(event)
        self._replaceable += _is_replaceable(event)

    def pop(self) -> E:
        """Remove and return the oldest event."""
        event = self._events.popleft()
        self._replaceable -= _is_replaceable(event)
        return event

    def clear(self) -> None:
        """Remove all events."""
        self._events.clear()
        self._replaceable = 0

    def _drop_replaced(self) -> None:
        """Drop the oldest step or preview that a newer one of the same node replaces, if any."""
        newest = {_place(event): index for index, event in enumerate(self._events) if _is_replaceable(event)}
        for index, event in enumerate(self._events):
            if _is_replaceable(event) and newest[_place(event)] != index:
                del self._events[index]
                self._replaceable -= 1
                return


def _is_replaceable(event: Event) -> bool:
    return isinstance(event, Step) or (isinstance(event, Preview) and not event.is_result)


def _place(event: Event) -> tuple[type[Event], str | None]:
    return type(event), getattr(event, "node_id", None)
