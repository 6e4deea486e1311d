"""The thread of a server that executes its prompts, found from outside.

ComfyUI 0.3.64 executes all prompts in one thread. A node that raises ``SystemExit`` ends it without a word: Python has
no traceback for that, the prompt stays listed as running, and HTTP goes on answering. The thread's end can be seen in
``/proc`` on Linux, once it is known which one it is: the one that worked while a prompt was executed.
"""

from __future__ import annotations

from collections.abc import Mapping

CLEAR_LEAD = 3
"""How many times as much as any other thread, the main one apart, the execution thread must have worked."""

LEAST_WORK = 500_000
"""Nanoseconds of work that a prompt takes at the very least; an empty image and its preview take milliseconds."""


def execution_thread(pid: int, before: Mapping[int, int], after: Mapping[int, int]) -> int | None:
    """The thread that executed what was executed between two looks; ``None`` where that is not beyond doubt.

    Only threads of the first look count, and not the main one, which answers requests.
    """
    done = sorted(((after[tid] - before[tid], tid) for tid in before if tid in after and tid != pid), reverse=True)
    if not done or done[0][0] < LEAST_WORK:
        return None
    if len(done) > 1 and done[0][0] < CLEAR_LEAD * done[1][0]:
        return None
    return done[0][1]
