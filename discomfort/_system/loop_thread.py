"""An event loop in a thread of its own, for callers that do not await."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from discomfort._tracebacks import HiddenFrames
from discomfort.exceptions import StateError

T = TypeVar("T")

_JOIN = 90.0
"""Seconds to wait for the thread's end: the longest possible shutdown, with every deadline used up."""


class LoopJob(Generic[T]):
    """One coroutine that runs in the event loop of another thread.

    ``outcome`` is settled only once the coroutine has ended, cancelled or not.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self._loop, self._work = loop, work
        self._task: asyncio.Task[T] | None = None
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def start(self) -> None:
        """Schedule the coroutine in the loop. Raises RuntimeError if the loop is closed."""
        self._loop.call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """Cancel the coroutine, even if it has not begun. Returns at once; may be called from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            self._drop()

    def _begin(self) -> None:
        # A task cancelled before its first step never runs its body, so only its done callback is reliable.
        if not self.outcome.done():
            self._task = self._loop.create_task(self._work)
            self._task.add_done_callback(self._settle)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self._drop()

    def _drop(self) -> None:
        self._work.close()
        if not self.outcome.done():
            self.outcome.set_exception(asyncio.CancelledError())

    def _settle(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


class LoopThread:
    """The thread with its loop. Use :meth:`call` from any other thread, and :meth:`close` at the end.

    The loop is closed by its own thread, after every task in it has been cancelled and has ended.
    """

    def __init__(self, name: str, owner: str = "connector") -> None:
        """``owner`` is what its loop belongs to, for messages."""
        self._whose = owner
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether calls are no longer possible: it was closed, or this is a forked child."""
        return self._closed or os.getpid() != self._owner

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> LoopJob[T]:
        """Start a coroutine without waiting for it. Raises StateError as :meth:`call` does."""
        job = LoopJob(self.loop, work)
        self._start(job)
        return job

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result.

        Ctrl-C cancels it and is delivered once it has cleaned up; a second Ctrl-C does not wait. Raises what the
        coroutine raises, and StateError after :meth:`close` or from the loop's own thread.
        """
        with HiddenFrames():
            return self._outcome(LoopJob(self.loop, work))

    def _outcome(self, job: LoopJob[T]) -> T:
        try:
            self._start(job)
            return job.outcome.result()
        except BaseException as error:
            if not job.outcome.done():
                job.cancel()
                concurrent.futures.wait([job.outcome])
            elif isinstance(error, asyncio.CancelledError):
                raise StateError(f"the {self._whose} was shut down during the call") from error
            raise

    def close(self) -> None:
        """Cancel all tasks, end the loop and wait at most 90 s for the thread. Idempotent; callable from any thread."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.is_current:
            self._thread.join(_JOIN)

    def _start(self, job: LoopJob[Any]) -> None:
        if self.is_current:
            job._drop()
            raise StateError("called from its own thread, which would wait for itself")
        # Under the lock, so that the loop begins, and later settles, every job started before the stop.
        with self._lock:
            if self.closed:
                job._drop()
                raise StateError(f"the {self._whose} was shut down")
            job.start()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
            # Jobs scheduled in the last iteration begin here.
            self.loop.run_until_complete(asyncio.sleep(0))
            while tasks := asyncio.all_tasks(self.loop):
                for task in tasks:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(tasks))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            with contextlib.suppress(RuntimeError):
                self.loop.close()
