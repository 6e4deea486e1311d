"""The release of a connector's parts: steps in order, each with a deadline and a fallback that uses force."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from discomfort._system.concurrency import in_own_thread

_log = logging.getLogger("discomfort.connector.shutdown")

_TRIES = 3
"""How often a step is started if its task keeps being cancelled, as each Ctrl-C under ``asyncio.run`` does."""

_UNWIND = 2.0
"""Seconds for a step that was cancelled at its deadline to unwind."""

_FORCE = 10.0
"""Seconds for ending a part by force: SIGKILL, and what the system needs after it."""


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """One step of a shutdown; ``deadline`` is in seconds."""

    name: str
    release: Callable[[], Awaitable[object] | object]
    deadline: float
    force: Callable[[], object] | None = None
    """Runs in a thread if ``release`` failed or took too long."""


async def release_all(steps: Sequence[ReleaseStep]) -> list[str]:
    """Run the steps in order, each within its deadline; one that fails is logged and the next still runs.

    Returns the names of the failed steps. Cancellation does not stop it, and is not delivered: run it in a task of its
    own. Ctrl-C under ``asyncio.run`` cancels every task, a step's own too; such a step is started again, so each step
    must be safe to repeat.
    """
    failed = []
    for step in steps:
        try:
            await _perform(step)
        except TimeoutError:
            _log.exception("shutdown step %r took longer than %.0f s and was given up", step.name, step.deadline)
            failed.append(step.name)
        except Exception:  # noqa: BLE001 - the steps after it must run whatever it raised
            _log.exception("shutdown step %r failed", step.name)
            failed.append(step.name)
        if step.force is not None and step.name in failed:
            await _force(step, step.force)
    return failed


async def _perform(step: ReleaseStep) -> None:
    """Release within the deadline, even if this task or the step's is cancelled. Raises TimeoutError or the step's."""
    deadline = time.monotonic() + step.deadline
    for _ in range(_TRIES):
        outcome = step.release()
        if not inspect.isawaitable(outcome):
            return
        task = asyncio.ensure_future(outcome)
        if not await _ended(task, deadline - time.monotonic()):
            task.cancel()
            await _ended(task, _UNWIND)
            raise TimeoutError
        if not task.cancelled():
            task.result()
            return
    raise TimeoutError("it was cancelled each time")


async def _force(step: ReleaseStep, force: Callable[[], object]) -> None:
    task = asyncio.ensure_future(in_own_thread(force))
    if not await _ended(task, _FORCE) or task.cancelled():
        _log.error("shutdown step %r could not be forced within %.0f s", step.name, _FORCE)
    elif (error := task.exception()) is not None:
        _log.error("shutdown step %r could not be forced", step.name, exc_info=error)


async def _ended(task: asyncio.Future[object], seconds: float) -> bool:
    """Wait for a task's end, for ``seconds`` at most; a cancellation of this wait is ignored."""
    deadline = time.monotonic() + seconds
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
    return task.done()
