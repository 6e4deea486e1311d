"""What was begun is known to have ended; what others end raises their error; threads that nobody else keeps busy."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from discomfort._system.concurrency import EndableScope, finish, first_failure, in_own_thread, see_through, to_thread


async def test_finish_returns_the_result() -> None:
    """Without a cancellation it is a plain await."""

    async def work() -> int:
        return 3

    assert await finish(work()) == 3


async def test_finish_waits_for_the_end_when_cancelled() -> None:
    """The work ends first, then the cancellation is delivered."""
    gate, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        ended.set()

    task = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_finish_raises_the_works_error() -> None:
    """An error of the work is the caller's."""

    async def work() -> None:
        raise OSError("x")

    with pytest.raises(OSError, match="x"):
        await finish(work())


def test_first_failure_looks_through_groups_and_cancellations() -> None:
    """A sibling's cancellation is not the reason; the error beside it is."""
    cause = OSError("x")
    group = BaseExceptionGroup("a", [asyncio.CancelledError(), BaseExceptionGroup("b", [cause])])

    assert first_failure(group) is cause


# --- scopes that others end ------------------------------------------------------------------------------------------


class Scoped:
    """A task that waits inside a scope, and what it ended with."""

    def __init__(self) -> None:
        self.scope = EndableScope()
        self.inside = asyncio.Event()
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with self.scope:
            self.inside.set()
            await asyncio.Event().wait()

    async def end(self) -> BaseException | None:
        """What the task ended with."""
        (found,) = await asyncio.gather(self.task, return_exceptions=True)
        return found


async def test_scope_raises_the_error_of_who_ends_it() -> None:
    """The error, not the cancellation that carries it; the task is not cancelled afterwards."""
    scoped, error = Scoped(), OSError("gone")
    await scoped.inside.wait()
    scoped.scope.end(error)
    scoped.scope.end(OSError("later"))

    assert await scoped.end() is error
    assert not scoped.task.cancelling()


async def test_scope_leaves_the_callers_cancellation() -> None:
    """Cancelled by its caller: CancelledError, also where somebody ends the scope in the same moment."""
    for ended_too in (False, True):
        scoped = Scoped()
        await scoped.inside.wait()
        scoped.task.cancel()
        if ended_too:
            scoped.scope.end(OSError("gone"))
        assert isinstance(await scoped.end(), asyncio.CancelledError)


async def test_scope_that_is_not_waited_in() -> None:
    """Ended before it is entered or after it was left, nothing happens."""
    scope, task = EndableScope(), asyncio.current_task()
    assert task is not None
    scope.end(OSError("before"))
    async with scope:
        await asyncio.sleep(0)
    scope.end(OSError("after"))
    await asyncio.sleep(0)
    assert not task.cancelling()


async def test_scopes_in_each_other() -> None:
    """Ending the outer one passes through the inner one; the work's own error goes before both."""
    outer, inner, inside = EndableScope(), EndableScope(), asyncio.Event()

    async def work(*, fails: bool) -> None:
        async with outer, inner:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                if fails:
                    raise ValueError("its own")

    task = asyncio.create_task(work(fails=False))
    await inside.wait()
    outer.end(OSError("outer"))
    with pytest.raises(OSError, match="outer"):
        await task

    outer, inner, inside = EndableScope(), EndableScope(), asyncio.Event()
    task = asyncio.create_task(work(fails=True))
    await inside.wait()
    inner.end(OSError("inner"))
    with pytest.raises(ValueError, match="its own"):
        await task
    assert not task.cancelling()


# --- a shutdown that Ctrl-C does not break off -----------------------------------------------------------------------


async def test_see_through_begins_again_what_was_cancelled() -> None:
    """asyncio.run cancels every task at Ctrl-C, the work's own included."""
    begun: list[asyncio.Task[int]] = []
    gate, waits = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        begun.append(task)
        waits.set()
        await gate.wait()
        return len(begun)

    task = asyncio.create_task(see_through(work))
    await waits.wait()
    waits.clear()
    for each in (task, *begun):
        each.cancel()
    await waits.wait()
    gate.set()
    assert await task == 2


# --- threads ---------------------------------------------------------------------------------------------------------


async def test_own_threads_do_not_wait_for_the_default_pool() -> None:
    """A program that fills asyncio's pool with its own work does not hold us up."""
    gate = threading.Event()
    asyncio.get_running_loop().set_default_executor(pool := ThreadPoolExecutor(1))
    theirs = asyncio.create_task(asyncio.to_thread(gate.wait))
    await asyncio.sleep(0)
    assert await to_thread(lambda a, b: a + b, 1, b=2) == 3
    assert await in_own_thread(lambda: 4) == 4
    gate.set()
    assert await theirs
    pool.shutdown()


async def test_own_thread_hands_over_what_it_raises() -> None:
    """As if it were called here, KeyboardInterrupt's kind included."""

    def work() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await in_own_thread(work)


async def test_own_thread_whose_caller_went() -> None:
    """The work goes on, and its end disturbs nobody."""
    gate, ended = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait()
        ended.set()

    task = asyncio.create_task(in_own_thread(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await to_thread(ended.wait)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
async def test_threads_after_a_fork() -> None:
    """A forked child has none of the pool's threads, and gets new ones."""
    assert await to_thread(lambda: 1) == 1
    child = os.fork()
    if child == 0:
        try:
            os._exit(asyncio.run(to_thread(lambda: 7)))
        finally:
            os._exit(99)
    _, status = await to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
