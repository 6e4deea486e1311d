"""Wait for what has no event."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

import psutil


def has_ended(process: psutil.Process) -> bool:
    """Whether this very process has ended; its zombie may remain where nobody reaps."""
    # It may end between the two questions.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds, letting the event loop run; TimeoutError after ``seconds``."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


def until_blocking(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds, or fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
