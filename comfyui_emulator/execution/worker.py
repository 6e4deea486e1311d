"""The thread in which nodes run. It is a daemon, so that a node that never returns cannot keep the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class NodeCrash(Exception):
    """A node raised something that is not an ``Exception`` (``SystemExit``, say); it is the ``__cause__``."""


class NodeThread:
    """Runs functions one after another in its own thread, with the caller's context variables."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="discomfort-nodes", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in the thread and return its result, or raise what it raised.

        Cancelling ends the wait, not the function. Any other ``BaseException`` is raised as :class:`NodeCrash`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function)
            except StopIteration as raised:
                # A future does not accept StopIteration as its exception.
                error = RuntimeError(f"the node raised StopIteration: {raised}")
            except Exception as raised:  # noqa: BLE001 - handed to the caller
                error = raised
            except BaseException as raised:  # noqa: BLE001 - must not end the thread
                error = NodeCrash(f"the node raised {type(raised).__name__}")
                error.__cause__ = raised
            # The loop is closed if the server stopped while the node was still running.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, error)

        self._jobs.put(job)
        return await future

    def stop(self) -> None:
        """End the thread after its current job, without waiting for it. Idempotent."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None
