"""One run of a pool on its way: where it stands, who waits for it, and its one end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from discomfort.exceptions import ExecutionInterrupted, StateError
from discomfort.pool.pool_events import Assigned, PoolStream, Waiting
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_workflows import PreparedCall
from discomfort.pool.retry import Retry, RunTrail
from discomfort.pool.run_requests import PoolRequest
from discomfort.progress import ProgressEvent, Queued, Started

_log = logging.getLogger("discomfort.pool")

PoolPhase = Literal["waiting", "assigned", "running", "ended"]


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What a caller wants beside the values. ``timeout`` is in seconds, from submit to end."""

    timeout: float | None = None
    retry: Retry = Retry.never
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    allow_paid: bool | None = None
    api_key: str | None = field(default=None, repr=False)


class PooledRun:
    """A run until its end. For the event loop's thread only."""

    def __init__(
        self,
        request: PoolRequest,
        name: str,
        call: PreparedCall | None,
        options: SubmitOptions,
        values: Mapping[str, Any],
    ) -> None:
        """``name`` is the workflow's; ``call`` is ``None`` for a run that failed before it waited."""
        self.request, self.name, self.options, self.values = request, name, options, values
        self._call = call
        self.stream, self.trail = PoolStream(), RunTrail()
        self.phase: PoolPhase = "waiting"
        self.server, self.prompt_id = "", ""
        self.reason: str = ""
        """Why it waits again; empty if it has not been anywhere."""
        self.is_cancelled: bool = False
        self.waiters: int = 0
        self.loop = asyncio.get_running_loop()
        self.began: float = time.monotonic()
        self.assigned_at: float = 0.0
        self._seconds = 0.0
        self._end = asyncio.Event()
        self._result: PoolResult | None = None
        self._error: BaseException | None = None

    @property
    def run_id(self) -> str:
        """Its id in the pool."""
        return self.request.id

    @property
    def call(self) -> PreparedCall:
        """What it runs."""
        assert self._call is not None  # noqa: S101 - whoever asks has a run that waits or runs
        return self._call

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._end.is_set()

    @property
    def seconds(self) -> float:
        """Seconds since it was submitted; after its end, until then."""
        return self._seconds if self.done else time.monotonic() - self.began

    @property
    def remaining(self) -> float | None:
        """Seconds left, at least a millisecond; ``None`` without a timeout."""
        timeout = self.options.timeout
        return None if timeout is None else max(0.001, self.began + timeout - time.monotonic())

    def wait_again(self, request: PoolRequest, reason: str) -> None:
        """The run is in the queue again."""
        self.request, self.reason = request, reason
        self.phase, self.server = "waiting", ""

    def show_waiting(self, position: int, about: float | None, reason: str) -> None:
        """Tell the readers where it stands in the queue."""
        self.stream.publish(Waiting(self.run_id, position, about, self.reason or reason))

    def assign(self, server: str) -> None:
        """A server has got it."""
        self.phase, self.server, self.prompt_id = "assigned", server, ""
        self.assigned_at = time.monotonic()
        self.stream.publish(Assigned(self.run_id, server))

    def note(self, event: ProgressEvent) -> None:
        """Take an event of the server."""
        self.prompt_id = event.prompt_id
        if isinstance(event, Queued):
            self.phase = "assigned"
        elif isinstance(event, Started):
            self.phase = "running"
        self.stream.publish(event)

    def finish(self, result: PoolResult | None, error: BaseException | None) -> None:
        """The one end of the run; nothing changes at a second one."""
        if self.done:
            return
        self._seconds = self.seconds
        self._result, self._error, self.phase = result, error, "ended"
        is_heard = self.waiters or self.stream.is_read or isinstance(error, ExecutionInterrupted) or self._call is None
        if error is not None and not is_heard:
            _log.warning("run %s failed, and nothing waits for it: %s", self.run_id, error)
        self.stream.close(self.prompt_id or self.run_id, success=error is None)
        self._end.set()

    async def wait(self) -> None:
        """Wait for the end, as one of several: if cancelled, the run goes on."""
        self.check_loop()
        self.waiters += 1
        try:
            await self._end.wait()
        finally:
            self.waiters -= 1

    def result(self) -> PoolResult:
        """The result. Raises the run's error, and StateError before its end."""
        self.check_ended("result()")
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101 - ended without an error
        return self._result

    @property
    def error(self) -> BaseException | None:
        """The error with which it ended, if it did."""
        return self._error

    def check_loop(self) -> None:
        """Raise StateError in another event loop than the run's, unless the run has ended."""
        if not self.done and asyncio.get_running_loop() is not self.loop:
            raise StateError("the run belongs to another event loop; await it there, or use SyncPool")

    def check_ended(self, what: str) -> None:
        """Raise StateError before the end."""
        if not self.done:
            raise StateError(f"run {self.run_id} has not ended; await it before {what}")
