"""Durations of nodes: calls that take at least as long as the settings say, with their progress spread over that time.

A node that reports its own steps is slowed down step by step. For one with an input ``steps`` that reports none, steps
are reported while it waits.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from comfyui_emulator import runtime

_LOOK = 0.02
"""Seconds between two looks for an interrupt while a coroutine node waits: other nodes run beside it."""

_MOST_STEPS = 1000
"""If a node has more steps, some are left out, so that reports do not take longer than the node should."""


class Pace:
    """The time of one call of a node."""

    def __init__(self, seconds: float) -> None:
        self._begun, self._seconds = time.monotonic(), seconds
        self.is_reported = False
        """Whether the node has reported progress itself."""

    def __call__(self, share: float) -> None:
        """The node reports that share of its work: wait until it is due. Raises :class:`~.runtime.Interrupted`."""
        self.is_reported = True
        runtime.wait(self.left(share))

    def left(self, share: float = 1.0) -> float:
        """The seconds until that share of the call is due; negative if it is overdue."""
        return self._begun + self._seconds * min(share, 1.0) - time.monotonic()


def paced(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The function of a node, each call of which takes at least ``seconds``; an interrupt ends the wait at once."""
    if not seconds:
        return function

    def call(**arguments: Any) -> Any:
        here, pace = runtime.context(), Pace(seconds)
        here.pace = pace
        try:
            result = function(**arguments)
        finally:
            here.pace = None
        if not pace.is_reported:
            _report_steps(pace, arguments.get("steps"))
        runtime.wait(pace.left())
        return result

    async def awaited(**arguments: Any) -> Any:
        pace = Pace(seconds)
        result = await function(**arguments)
        while (left := pace.left()) > 0:
            runtime.check_interrupted()
            await asyncio.sleep(min(left, _LOOK))
        return result

    return awaited if inspect.iscoroutinefunction(function) else call


def _report_steps(pace: Pace, steps: object) -> None:
    if isinstance(steps, int) and not isinstance(steps, bool):
        stride = -(-steps // _MOST_STEPS) or 1
        for step in range(stride, steps + 1, stride):
            runtime.wait(pace.left(step / steps))
            runtime.progress(step, steps)
