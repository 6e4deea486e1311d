"""One prompt under way, and the time limits for everything about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from discomfort._json import JsonObject
from discomfort.client.protocol import Message, PreviewFrame, RunState
from discomfort.client.reporter import Reporter
from discomfort.client.run_times import RunTimes
from discomfort.progress import ProgressCallback, Queued

Stage = Literal["new", "sent", "queued", "running", "ended"]
"""``sent``: the server may have the prompt; ``queued``: it has it; ``ended``: over, its record may not be read yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. The defaults are for real servers; tests shorten them.

    - ``connect``: for the WebSocket in ``open()`` and ``refresh_socket()``.
    - ``poll``: between two polls of queue and history while the socket works.
    - ``poll_blind``: the same for prompts whose events are lost.
    - ``request``: for each small request; ``post``: for ``POST /prompt``; ``ping``: between two pings of the socket.
    - ``refused``: how long a server may refuse connections until its runs fail; long enough for a restart.
    - ``silent``: how long it may accept connections without answering; loading a model can take this long.
    - ``lost``: minimum time between the two polls that find a prompt neither in the queue nor in the history.
    - ``withdraw``: how long a caller waits for its prompt to be taken off the server; ``withdraw_late``: how long that
      is tried in the background if the server does not answer.
    - ``drain``: for progress callbacks at the end of a run.
    """

    connect: float = 30.0
    poll: float = 1.5
    poll_blind: float = 0.5
    request: float = 30.0
    post: float = 300.0
    ping: float = 10.0
    refused: float = 60.0
    silent: float = 1800.0
    lost: float = 1.0
    withdraw: float = 5.0
    withdraw_late: float = 300.0
    drain: float = 10.0


LONGEST_PAUSE = 15.0
"""Seconds between two polls of a server whose queue takes long to list, at most."""


class Patience:
    """Measures how long a server has failed to answer without interruption, and decides when to give up.

    Only time in which requests were made counts. Two failures further apart than any two requests mean that nobody
    asked in between, because all runs received messages or this process was suspended.
    """

    __slots__ = ("_failed_at", "_limits", "_refused_since", "_silent_since")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failed_at: float | None = None
        self._refused_since: float | None = None
        self._silent_since: float | None = None

    def answered(self) -> None:
        """Start measuring again: the server answered."""
        self._refused_since = self._silent_since = self._failed_at = None

    def failed(self, *, refused: bool, news_at: float = 0.0) -> float | None:
        """Record a failed request. Returns the seconds without an answer once that is too long, else ``None``.

        ``news_at`` is when the server was last heard by other means, by the event loop's clock.
        """
        now = asyncio.get_running_loop().time()
        # The longest that two failures of one unbroken silence can lie apart: a timed-out request for the queue, one
        # for the history, and a pause before each.
        apart = 2 * self._limits.request + 2 * LONGEST_PAUSE
        if self._failed_at is not None and (news_at > self._failed_at or now - self._failed_at > apart):
            self.answered()
        self._failed_at = now
        if self._silent_since is None:
            self._silent_since = now
        # Refusing and being silent are different states: a restart refuses for seconds, a busy server accepts and is
        # silent. Only unbroken refusals count towards the shorter limit.
        if not refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        if self._refused_since is not None and now - self._refused_since >= self._limits.refused:
            return now - self._refused_since
        return now - self._silent_since if now - self._silent_since >= self._limits.silent else None


class PromptRun:
    """One prompt between ``run()`` and its end; lives in the task that called ``run()``.

    ``future`` resolves to ``None`` when the record should be readable, or to the record itself. :meth:`fail` ends the
    run from outside wherever its task is: it wakes the wait, or cancels the request that is under way.
    ``news_at`` is when the socket or the poll last reported about it, by the event loop's clock; ``blind_since`` when
    the socket that its events come by was lost, ``None`` while no event can have been missed. ``ours``: the prompt is
    taken off the server if the run ends early; one that is only followed is left there.
    """

    accepted: bool
    missed: int
    news_at: float
    ours: bool
    prompt: JsonObject
    prompt_id: str
    sent: bool
    strikes: int

    __slots__ = (
        "_baseline",
        "_kicked",
        "_on_ended",
        "_sealed",
        "_task",
        "_waiting",
        "accepted",
        "blind_since",
        "client_id",
        "failure",
        "future",
        "missed",
        "missed_at",
        "news_at",
        "ours",
        "position",
        "prompt",
        "prompt_id",
        "reporter",
        "sent",
        "state",
        "strikes",
        "wants_progress",
    )

    def __init__(
        self,
        prompt_id: str,
        prompt: JsonObject,
        on_progress: ProgressCallback | None,
        on_ended: Callable[[], None],
    ) -> None:
        self.prompt_id, self.prompt = prompt_id, prompt
        self.client_id: str = ""
        self.reporter: Reporter | None = Reporter(on_progress, prompt_id) if on_progress is not None else None
        self.wants_progress: bool = self.reporter is not None
        self.state: RunState = RunState(prompt_id, prompt, reporting=self.wants_progress)
        self.future: asyncio.Future[JsonObject | None] = asyncio.get_running_loop().create_future()
        self.failure: BaseException | None = None
        self.sent = self.accepted = False
        self.ours = True
        self.blind_since: float | None = None
        self.news_at = asyncio.get_running_loop().time()
        self.missed = self.strikes = 0
        self.missed_at: float = 0.0
        self.position: int | None = None
        self._on_ended = on_ended
        self._task = asyncio.current_task()
        # As asyncio.timeout() does: the count of cancellations at the start shows later whether only fail() cancelled.
        self._baseline = self._task.cancelling() if self._task is not None else 0
        self._waiting = self._kicked = self._sealed = False

    def __repr__(self) -> str:
        return f"<PromptRun {self.prompt_id} {'failed' if self.failure else self.stage}>"

    @property
    def stage(self) -> Stage:
        """How far the prompt got, as far as is known; still valid after the end of the run."""
        if self.state.ended:
            return "ended"
        if self.state.started:
            return "running"
        return "queued" if self.accepted else "sent" if self.sent else "new"

    @property
    def times(self) -> RunTimes:
        """When the server accepted, started and ended the prompt, as far as it has reported that."""
        return self.state.times

    def mark_events_lost(self) -> None:
        """Note that events of this run may be missed from now on."""
        if self.sent and self.blind_since is None:
            self.blind_since = asyncio.get_running_loop().time()

    def follow(self) -> None:
        """Mark the prompt as one that the server has from somebody else: its events go there, and it is not ours."""
        self.sent = self.accepted = True
        self.ours = False
        self.mark_events_lost()

    def use(self, prompt: JsonObject) -> None:
        """Take the prompt that is really sent."""
        self.prompt = self.state.prompt = prompt

    def receive(self, frame: Message | PreviewFrame) -> None:
        """Take one frame from the socket."""
        self.news_at = self.future.get_loop().time()
        state = self.state
        ended = state.ended
        events = state.feed(frame)
        if events and self.reporter is not None:
            for event in events:
                self.reporter.emit(event)
        if state.finished:
            self.resolve(None)
        elif state.ended and not ended:
            self._on_ended()

    def resolve(self, record: JsonObject | None) -> None:
        """Mark the run as over; ``record`` is ``None`` if it still has to be read."""
        if not self.future.done():
            self.future.set_result(record)

    def fail(self, error: BaseException) -> None:
        """End the run with ``error`` at once; the first of several errors counts."""
        if self.failure is not None or self._sealed:
            return
        self.failure = error
        # A wait on the future is woken, which needs no cancellation. Anywhere else, as in a request that may take
        # minutes, the task is cancelled; seal() turns that cancellation back into the error.
        if self._waiting:
            self.resolve(None)
        elif self._task is not None and self._task is not asyncio.current_task():
            self._kicked = True
            self._task.cancel()

    def check(self) -> None:
        """Raise the error that :meth:`fail` was given, if any."""
        if self.failure is not None:
            raise self.failure

    def seal(self) -> bool:
        """Ignore failures from now on: the end is decided. Returns whether a cancellation was :meth:`fail`'s.

        As in ``asyncio.timeout``: if somebody else cancelled the task too, it stays cancelled.
        """
        self._sealed = True
        if not self._kicked or self._task is None:
            return False
        self._kicked = False
        return self._task.uncancel() <= self._baseline

    def rearm(self) -> None:
        """Wait for the end again: the last signal led to no record."""
        self.future = asyncio.get_running_loop().create_future()

    async def outcome(self) -> JsonObject | None:
        """Wait for the end. Returns the record, or ``None`` if it has to be read. Raises :meth:`fail`'s error."""
        self.check()
        self._waiting = True
        try:
            record = await self.future
        finally:
            self._waiting = False
        self.check()
        return record

    async def pause(self, seconds: float) -> bool:
        """Sleep, but only until the run's end is known. Returns whether it is. Raises as :meth:`outcome`."""
        self.check()
        self._waiting = True
        try:
            await asyncio.wait([self.future], timeout=seconds)
        finally:
            self._waiting = False
        self.check()
        return self.future.done()

    def seen_in_queue(self, position: int) -> None:
        """Note that the queue has the prompt, with ``position`` prompts before it."""
        self.missed = 0
        if self.reporter is not None and position != self.position and not self.state.started:
            self.position = position
            self.reporter.emit(Queued(self.prompt_id, position))

    def seen_running(self) -> None:
        """Note that the queue lists the prompt as running."""
        self.missed = 0
        for event in self.state.start():
            if self.reporter is not None:
                self.reporter.emit(event)
