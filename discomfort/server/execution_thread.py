"""The thread of a server that executes its prompts, identified from outside.

ComfyUI 0.3.64 executes all prompts in one thread. A node that raises ``SystemExit`` ends it silently: Python prints no
traceback for that, the prompt stays listed as running, and HTTP still answers. On Linux the thread's end can be seen in
``/proc``, once the thread is known: it is the one that worked while a prompt was executed.
"""

from __future__ import annotations

from collections.abc import Mapping

CLEAR_LEAD = 3
"""How many times as much as any other thread, the main one apart, the execution thread must have worked."""

LEAST_WORK = 500_000
"""Nanoseconds of work that a prompt takes at the very least; an empty image and its preview take milliseconds."""


def execution_thread(pid: int, before: Mapping[int, int], after: Mapping[int, int]) -> int | None:
    """The thread that executed a prompt between two looks; ``None`` if that is not certain.

    Only threads that existed at the first look count, and not the main thread, which answers requests.
    """
    done = sorted(((after[tid] - before[tid], tid) for tid in before if tid in after and tid != pid), reverse=True)
    if not done or done[0][0] < LEAST_WORK:
        return None
    if len(done) > 1 and done[0][0] < CLEAR_LEAD * done[1][0]:
        return None
    return done[0][1]
