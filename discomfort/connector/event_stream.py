"""The events of one run, for any number of readers, and the status that they add up to."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Generic, Self, TypeVar

from discomfort._json import copied
from discomfort.client.event_backlog import EventBacklog
from discomfort.connector.run_status import RunStatus, status_after
from discomfort.progress import Done, Event, NodeOutput, NodeStarted, Preview, ProgressEvent, Queued, Started, Step

E = TypeVar("E", bound=Event)

_NEW = RunStatus()


class EventStream:
    """Keeps the present state of a run and passes its events to those who read them.

    For the event loop's thread only.
    """

    status: RunStatus
    prompt_id: str

    def __init__(self) -> None:
        self.status = _NEW
        self.prompt_id = ""
        self.announced: asyncio.Event = asyncio.Event()
        """Set once the server has the prompt, and at the end of the run."""
        self._accepted = False
        self._present: dict[type[ProgressEvent], ProgressEvent] = {}
        # Weak: a reader that was dropped in the middle needs no call to say so.
        self._readers: weakref.WeakSet[EventReader[ProgressEvent]] = weakref.WeakSet()

    @property
    def accepted(self) -> bool:
        """Whether the server has, or had, the prompt."""
        return self._accepted

    @property
    def is_read(self) -> bool:
        """Whether somebody reads the events."""
        return bool(self._readers)

    def publish(self, event: ProgressEvent) -> None:
        """Take the next event. Never raises, as a callback of the run.

        ``Done`` is left out: an attempt's end may not be the run's, which :meth:`close` knows.
        """
        if not isinstance(event, Done):
            self._publish(event)

    def _publish(self, event: ProgressEvent) -> None:
        if self.status.phase == "ended":
            return
        self.prompt_id = event.prompt_id
        self.status = status_after(self.status, event)
        self._accepted = self._accepted or not isinstance(event, Done)
        self._remember(event)
        for reader in tuple(self._readers):
            reader.put(event)
        self.announced.set()

    def close(self, prompt_id: str, *, success: bool) -> None:
        """End the stream with ``Done``."""
        self._publish(Done(prompt_id, success))

    def read(self) -> EventReader[ProgressEvent]:
        """A new reader; it begins with the events that describe the present state."""
        reader: EventReader[ProgressEvent] = EventReader()
        for event in self._present.values():
            reader.put(event)
        self._readers.add(reader)
        return reader

    def _remember(self, event: ProgressEvent) -> None:
        match event:
            case Queued() | Done():
                # A prompt that is submitted again, after its server died, starts from the beginning.
                self._present.clear()
            case Started():
                self._present.pop(Queued, None)
            case NodeStarted():
                self._present.pop(NodeStarted, None)
                self._present.pop(Step, None)
            case Preview() | NodeOutput():
                return
        self._present[type(event)] = event


class EventReader(AsyncIterator[E], Generic[E]):
    """An asynchronous iterator over a run's events; it ends after ``Done``.

    Events belong to the reader, which may change them. If several tasks share it, each event goes to one of them.
    """

    def __init__(self) -> None:
        self._backlog: EventBacklog[E] = EventBacklog()
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, event: E) -> None:
        """Add an event; the reader's task takes it when it comes to it."""
        self._backlog.append(event)
        self._arrived.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while not self._backlog:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event = self._backlog.pop()
        self._ended = isinstance(event, Done)
        # The readers share what is published.
        return replace(event, output=copied(event.output)) if isinstance(event, NodeOutput) else event
