"""The work of one run, in its owner's task or in one of its own, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from discomfort._system.concurrency import EndableScope, retrieve
from discomfort.connector.event_stream import EventStream
from discomfort.connector.run_status import RunStatus
from discomfort.exceptions import ExecutionInterrupted, StateError
from discomfort.history import History

_log = logging.getLogger("discomfort.connector")


class RunTask:
    """A run under way, or its end.

    ``work`` is the run; :meth:`begin` or :meth:`perform` does it. ``find_id`` gives the prompt's id, empty before it
    has one. ``describe`` gives the status while the server does not have the prompt, and its times always.
    ``before_cancel`` is called when somebody cancels the run by name.
    """

    def __init__(
        self,
        stream: EventStream,
        work: Callable[[], Coroutine[Any, Any, History]],
        *,
        find_id: Callable[[], str],
        describe: Callable[[], RunStatus],
        before_cancel: Callable[[], None],
        on_end: Callable[[RunTask], None],
        is_ending: Callable[[], bool],
        is_followed: bool = False,
    ) -> None:
        self.stream, self.is_followed = stream, is_followed
        self._make_work = work
        self._find_id, self._describe, self._before_cancel = find_id, describe, before_cancel
        self._on_end, self._is_ending = on_end, is_ending
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._waiters = self._finders = 0
        self._was_found = self._was_cancelled = False
        self._task: asyncio.Task[History] | None = None
        self._scope = EndableScope()
        self._interruption: ExecutionInterrupted | None = None
        self._history: History | None = None
        self._error: BaseException | None = None
        self._end = asyncio.Event()

    def begin(self) -> None:
        """Do the work in a task of its own, for any number of owners."""
        self._task = asyncio.get_running_loop().create_task(self._make_work(), name="discomfort-run")
        self._task.add_done_callback(self._task_ended)

    async def perform(self) -> History:
        """Do the work in this task, for its only owner: if that is cancelled, so is the run.

        A task of its own would cost each run three turns of the event loop. Raises the run's error.
        """
        self._waiters += 1
        failure: BaseException | None = None
        try:
            async with self._scope:
                self._history = await self._make_work()
        except BaseException as error:
            failure = error
            self._was_cancelled = self._was_cancelled or isinstance(error, asyncio.CancelledError)
            raise
        finally:
            self._finish(failure)
        return self.result()

    @property
    def prompt_id(self) -> str:
        """The id on the server; empty before it has one."""
        return self._find_id() or self.stream.prompt_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        described = self._describe()
        # After events it is "submitting" again while the run waits for a server that replaces a dead one.
        if not self.stream.prompt_id or (described.phase == "submitting" and self.stream.status.phase != "ended"):
            return described
        return replace(self.stream.status, created=described.created, started=described.started, ended=described.ended)

    @property
    def done(self) -> bool:
        """Whether it has ended, and its events have."""
        return self._end.is_set()

    @property
    def seconds(self) -> float:
        """Seconds from the start until now, or until the end."""
        return time.monotonic() - self._began if self._seconds is None else self._seconds

    async def settle(self) -> History:
        """Wait for the end as the run's only owner: if cancelled, the run is cancelled too."""
        self._waiters += 1
        try:
            if not self.done:
                await self._owned(self._end.wait())
        finally:
            self._waiters -= 1
        return self.result()

    async def wait_announced(self) -> None:
        """Wait until the server has the prompt, as :meth:`settle` waits for the end."""
        await self._owned(self.stream.announced.wait())
        if not self.stream.accepted:
            await self.settle()

    async def wait_found(self) -> None:
        """Wait until it is known whether the server has the prompt, as one of several who look for it.

        If all of them are cancelled, so is the search; a run that was found goes on.
        """
        self.check_loop()
        self._finders += 1
        try:
            if self.is_followed:
                await self.stream.announced.wait()
        finally:
            self._finders -= 1
            if not self.stream.announced.is_set() and not self._finders and not self._was_found and self.is_followed:
                self._work.cancel()
        if self.is_followed and not self.stream.accepted:
            self.result()
        self._was_found = True

    async def wait(self) -> History:
        """Wait for the end as one of several: if cancelled, the run goes on."""
        self.check_loop()
        self._waiters += 1
        try:
            if not self.done:
                await self._end.wait()
        finally:
            self._waiters -= 1
        return self.result()

    def check_loop(self) -> None:
        """Raise StateError in another event loop than the run's, unless the run has ended."""
        if not self.done and asyncio.get_running_loop() is not self._loop:
            raise StateError("the run belongs to another event loop; await it there, or use SyncConnector")

    async def cancel(self) -> bool:
        """Cancel the run and wait until it has ended. Returns whether it was cancelled, and had not ended before."""
        self.check_loop()
        if self.done:
            return False
        # A second cancellation would break off what the first one does on the server.
        if not self._was_cancelled:
            self._before_cancel()
            self._was_cancelled = True
            if self._task is not None:
                self._task.cancel()
            else:
                self._interruption = self._interrupted()
                self._scope.end(self._interruption)
        await self._end.wait()
        return isinstance(self._error, asyncio.CancelledError) or (
            self._error is not None and self._error is self._interruption
        )

    def result(self) -> History:
        """The history of a run that has ended. Raises the run's error, and ExecutionInterrupted if it was cancelled."""
        if isinstance(self._error, asyncio.CancelledError):
            raise self._interrupted()
        if self._error is not None:
            raise self._error
        if self._history is None:
            raise StateError("the run has not ended")
        return self._history

    def _interrupted(self) -> ExecutionInterrupted:
        how = "was cancelled" if self._was_cancelled else "was ended together with the program's other tasks"
        return ExecutionInterrupted(f"run {self.prompt_id} {how}", prompt_id=self.prompt_id)

    async def _owned(self, wait: Awaitable[object]) -> None:
        try:
            await wait
        except asyncio.CancelledError:
            self._was_cancelled = True
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

    def _task_ended(self, task: asyncio.Task[History]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._history = task.result()
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        self._error, self._seconds = error, self.seconds
        self._on_end(self)
        is_heard = self._waiters or self.stream.is_read or not self.stream.accepted
        is_failure = error is not None and not isinstance(error, asyncio.CancelledError)
        # A shutdown ends the runs under way, and its caller expects that.
        if is_failure and not is_heard and not self._is_ending():
            _log.warning("run %s failed, and nothing waits for it: %s", self.prompt_id, error)
        self.stream.close(self.prompt_id, success=error is None)
        self._end.set()
