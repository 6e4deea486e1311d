"""The work of one run, in a task of its own, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from discomfort._system.concurrency import retrieve
from discomfort.connector.event_stream import EventStream
from discomfort.connector.run_status import RunStatus
from discomfort.exceptions import ExecutionInterrupted, StateError
from discomfort.history import History

_log = logging.getLogger("discomfort.connector")


class RunTask:
    """A run under way, or its end.

    ``describe`` gives id and status as long as ``stream`` has heard nothing; ``before_cancel`` is called when somebody
    cancels the run by name.
    """

    def __init__(
        self,
        stream: EventStream,
        *,
        describe: Callable[[], tuple[str, RunStatus]],
        before_cancel: Callable[[], None],
        on_end: Callable[[RunTask], None],
    ) -> None:
        self.stream = stream
        self._describe, self._before_cancel, self._on_end = describe, before_cancel, on_end
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._waiters = 0
        self._was_cancelled = False
        self._task: asyncio.Task[History] | None = None

    def begin(self, work: Coroutine[Any, Any, History]) -> None:
        """Do ``work``, which is the run."""
        self._task = asyncio.get_running_loop().create_task(work, name="discomfort-run")
        self._task.add_done_callback(self._ended)

    @property
    def prompt_id(self) -> str:
        """The id on the server; empty before it has one."""
        return self.stream.prompt_id or self._describe()[0]

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.stream.status if self.stream.prompt_id else self._describe()[1]

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._work.done()

    @property
    def seconds(self) -> float:
        """Seconds from the start until now, or until the end."""
        return time.monotonic() - self._began if self._seconds is None else self._seconds

    async def settle(self) -> History:
        """Wait for the end as the run's only owner: if cancelled, the run is cancelled too."""
        self._waiters += 1
        try:
            await self._owned(asyncio.wait([self._work]))
        finally:
            self._waiters -= 1
        return self.result()

    async def wait_announced(self) -> None:
        """Wait until the server has the prompt, as :meth:`settle` waits for the end."""
        await self._owned(self.stream.announced.wait())
        if not self.stream.accepted:
            await self.settle()

    async def wait(self) -> History:
        """Wait for the end as one of several: if cancelled, the run goes on."""
        self._waiters += 1
        try:
            await asyncio.wait([self._work])
        finally:
            self._waiters -= 1
        return self.result()

    async def cancel(self) -> bool:
        """Cancel the run and wait until it has ended. Returns whether it was cancelled, and had not ended before."""
        if self._work.done():
            return False
        self._before_cancel()
        self._was_cancelled = True
        self._work.cancel()
        await asyncio.wait([self._work])
        return self._work.cancelled()

    def result(self) -> History:
        """The history of a run that has ended. Raises the run's error, and ExecutionInterrupted if it was cancelled."""
        if self._work.cancelled():
            how = "was cancelled" if self._was_cancelled else "was ended together with the program's other tasks"
            raise ExecutionInterrupted(f"run {self.prompt_id} {how}", prompt_id=self.prompt_id)
        history: History = self._work.result()
        return history

    async def _owned(self, wait: Awaitable[object]) -> None:
        try:
            await wait
        except asyncio.CancelledError:
            self._work.cancel()
            # If this is cancelled once more, the prompt is taken off the server in the background.
            await asyncio.wait([self._work])
            retrieve(self._work)
            raise

    @property
    def _work(self) -> asyncio.Task[History]:
        if self._task is None:
            raise StateError("the run was not begun")
        return self._task

    def _ended(self, task: asyncio.Task[History]) -> None:
        self._seconds = self.seconds
        self._on_end(self)
        is_heard = self._waiters or self.stream.is_read or not self.stream.accepted
        error = None if task.cancelled() else task.exception()
        if error is not None and not is_heard:
            _log.warning("run %s failed, and nothing waits for it: %s", self.prompt_id, error)
        self.stream.close(self.prompt_id, success=not task.cancelled() and error is None)
