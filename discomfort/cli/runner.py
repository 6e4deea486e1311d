"""Runs a command's coroutine so that its cleanup always completes: Ctrl-C once stops it cleanly, twice by force.

SIGTERM has the same effect as Ctrl-C, and so has SIGHUP unless ``nohup`` made the shell ignore it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from discomfort._system.signals import heeded_stops

T = TypeVar("T")

FORCED_CLEANUP = 5.0
"""Seconds that a forced end waits for its own cleanup; the watchdog does the rest."""
_SHOW_CURSOR = b"\x1b[?25h"
_EXIT_CODE = 1


class Interrupted(Exception):
    """A signal stopped the command, and everything was released. ``signal`` is its name."""

    def __init__(self, signal_name: str) -> None:
        self.signal = signal_name
        super().__init__(f"interrupted by {signal_name}")


class _Stopper:
    """The signal handler: the first signal cancels the task, the second ends the process."""

    def __init__(self, on_stop: Callable[[str], None], on_force: Callable[[], None]) -> None:
        self._on_stop, self._on_force = on_stop, on_force
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self.first = ""
        self._forced = False

    def attach(self) -> None:
        """Make the running task the one to cancel; a signal that arrived before is not lost."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self.first:
            self._stop()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.first:
            self.first = signal.Signals(number).name
            # Not in the handler itself: it may interrupt anything, even a half-written line of output.
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._stop)
        else:
            self._force()

    def _stop(self) -> None:
        self._on_stop(self.first)
        if self._task is not None:
            self._task.cancel()

    def _force(self) -> None:
        if not self._forced:
            self._forced = True
            _write_stderr(b"\nforced: ending at once\n")
            # A thread, since the code that this handler interrupted may hold a lock that the cleanup needs.
            cleanup = threading.Thread(target=self._on_force, daemon=True)
            cleanup.start()
            cleanup.join(FORCED_CLEANUP)
        if sys.stderr.isatty():
            _write_stderr(_SHOW_CURSOR)
        os._exit(_EXIT_CODE)


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    on_stop: Callable[[str], None],
    on_force: Callable[[], None],
) -> T:
    """Run ``main()`` in an event loop of its own and return its result.

    ``on_stop`` is called in the loop with the first signal's name, before the task is cancelled. ``on_force`` is called
    from a thread at the second signal, with :data:`FORCED_CLEANUP` seconds to release everything; then the process ends
    with exit code 1.

    Raises Interrupted if the task ended because of a signal, else what ``main()`` raises.
    """
    stopper = _Stopper(on_stop, on_force)

    async def attached() -> T:
        stopper.attach()
        return await main()

    with _handling(stopper), asyncio.Runner() as runner:
        try:
            return runner.run(attached())
        except asyncio.CancelledError as error:
            raise Interrupted(stopper.first or "cancellation") from error


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        # Signals reach the main thread only; a program that calls main() elsewhere keeps its own handling.
        yield
        return
    previous = {number: signal.signal(number, handler) for number in heeded_stops()}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


def _write_stderr(data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), data)
