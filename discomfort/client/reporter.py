"""Passes progress events to a caller's function in order, without delaying the run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable

from discomfort.client.event_backlog import EventBacklog
from discomfort.progress import ProgressCallback, ProgressEvent

_log = logging.getLogger("discomfort.client")

DRAIN_DEADLINE = 10.0
"""Seconds that a finished run waits for an ``async`` callback to process the remaining events."""


class Reporter:
    """Calls one ``on_progress`` callback.

    A plain function is called at once. An ``async`` one is awaited in a task of its own, one event after the other.
    The first exception is logged with its traceback and ends the reporting.
    """

    __slots__ = ("_backlog", "_callback", "_failed", "_held", "_prompt_id", "_pump")

    def __init__(self, callback: ProgressCallback, prompt_id: str) -> None:
        self._callback, self._prompt_id = callback, prompt_id
        self._backlog: EventBacklog[ProgressEvent] = EventBacklog()
        self._pump: asyncio.Task[None] | None = None
        self._failed = False
        self._held = False

    def hold(self) -> None:
        """Hold events back until :meth:`release`, so that one that is not known yet can come first."""
        self._held = True

    def release(self, first: ProgressEvent | None = None) -> None:
        """Deliver ``first``, then the events that were held back, if any."""
        if first is not None:
            self._backlog.put_first(first)
        self._held = False
        while self._backlog and self._pump is None and not self._failed:
            self._call(self._backlog.pop())

    def emit(self, event: ProgressEvent) -> None:
        """Deliver an event, at once or after those that wait. Errors of the callback are not raised."""
        if self._failed:
            return
        if not self._held and self._pump is None:
            self._call(event)
            return
        self._backlog.append(event)

    async def finish(self, last: ProgressEvent, deadline: float = DRAIN_DEADLINE) -> None:
        """Deliver all waiting events, then ``last``; a callback that takes longer than ``deadline`` is cancelled."""
        self.release()
        self.emit(last)
        if self._pump is not None:
            try:
                _, late = await asyncio.wait([self._pump], timeout=deadline)
            except asyncio.CancelledError:
                self.abandon()
                raise
            if late:
                self.abandon()
                _log.warning(
                    "on_progress of prompt %s was cancelled: it took longer than %.0f s", self._prompt_id, deadline
                )

    def abandon(self) -> None:
        """Report nothing more and cancel an ``async`` callback that is under way."""
        self._stop()
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()

    def _call(self, event: ProgressEvent) -> None:
        try:
            outcome = self._callback(event)
            if outcome is not None and inspect.isawaitable(outcome):
                self._pump = asyncio.get_running_loop().create_task(self._drain(outcome), name="discomfort-progress")
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the callback is the caller's, the run is not
            self._give_up()

    async def _drain(self, outcome: Awaitable[None]) -> None:
        try:
            await outcome
            while self._backlog:
                following = self._callback(self._backlog.pop())
                if following is not None and inspect.isawaitable(following):
                    await following
        except asyncio.CancelledError:
            self._failed = True
            raise
        except Exception:  # noqa: BLE001 - as above
            self._give_up()
        finally:
            self._pump = None

    def _stop(self) -> None:
        self._failed = True
        self._backlog.clear()

    def _give_up(self) -> None:
        self._stop()
        _log.exception("on_progress of prompt %s raised; it receives no more events of this run", self._prompt_id)
