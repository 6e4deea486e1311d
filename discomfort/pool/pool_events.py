"""The events of a run that its pool adds to those of its server."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import ClassVar

from discomfort.connector.event_stream import EventReader
from discomfort.progress import Done, Event, NodeOutput, NodeStarted, Preview, ProgressEvent, Queued, Started, Step


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """The run waits for a server. ``position`` counts the runs that go before it, ``about`` is in seconds.

    ``about`` is ``None`` if nobody can tell. ``reason`` says what it waits for, such as ``server gpu3 died``.
    """

    kind: ClassVar[str] = "waiting"
    run_id: str
    position: int
    about: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Assigned(Event):
    """A server has got the run."""

    kind: ClassVar[str] = "assigned"
    run_id: str
    server: str


@dataclass(frozen=True, slots=True)
class Loading(Event):
    """The server begins with a node that loads a model which it does not hold, as far as the pool knows.

    ``model`` is ``folder/name``, ``about`` how many seconds that takes.
    """

    kind: ClassVar[str] = "loading"
    run_id: str
    model: str
    about: float


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """The server that has the run has not answered for ``seconds``; ``reason`` says what is known."""

    kind: ClassVar[str] = "stalled"
    run_id: str
    server: str
    seconds: float
    reason: str


PoolEvent = Waiting | Assigned | Loading | Stalled | ProgressEvent

_OF_SERVER = (Loading, Stalled, Queued, Started, NodeStarted, Step)
"""Events that tell nothing any more once the run waits again."""


class PoolStream:
    """Keeps the present state of a run and passes its events to those who read them; ``Done`` is the last.

    For the event loop's thread only.
    """

    def __init__(self) -> None:
        self.last_kind = ""
        """The kind of the last event of the server; empty while the run waits."""
        self._present: dict[type[Event], PoolEvent] = {}
        self._ended = False
        # Weak: a reader that was dropped in the middle needs no call to say so.
        self._readers: weakref.WeakSet[EventReader[PoolEvent]] = weakref.WeakSet()

    @property
    def is_read(self) -> bool:
        """Whether somebody reads the events."""
        return bool(self._readers)

    def publish(self, event: PoolEvent) -> None:
        """Take the next event. ``Done`` of one attempt is left out: :meth:`close` knows the end of the run."""
        if self._ended or isinstance(event, Done):
            return
        self._remember(event)
        for reader in tuple(self._readers):
            reader.put(event)

    def close(self, prompt_id: str, *, success: bool) -> None:
        """End the stream with ``Done``."""
        if not self._ended:
            self._ended = True
            done = Done(prompt_id, success)
            self._present = {Done: done}
            for reader in tuple(self._readers):
                reader.put(done)

    def read(self) -> EventReader[PoolEvent]:
        """A new reader; it begins with the events that describe the present state."""
        reader: EventReader[PoolEvent] = EventReader()
        for event in self._present.values():
            reader.put(event)
        self._readers.add(reader)
        return reader

    def _remember(self, event: PoolEvent) -> None:
        match event:
            case Waiting():
                self._present.clear()
                self.last_kind = ""
            case Assigned():
                self._present.pop(Waiting, None)
            case Queued():
                # The server begins with the prompt, or begins again.
                for kind in _OF_SERVER:
                    self._present.pop(kind, None)
            case Started():
                self._present.pop(Queued, None)
            case NodeStarted():
                for kind in (NodeStarted, Step, Loading):
                    self._present.pop(kind, None)
        if not isinstance(event, Waiting | Assigned):
            self.last_kind = event.kind
        if not isinstance(event, Preview | NodeOutput):
            self._present[type(event)] = event
