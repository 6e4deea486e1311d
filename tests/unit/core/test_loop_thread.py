"""Calls into a loop of another thread: ended by their caller, by Ctrl-C at any moment, by the end of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from discomfort._system.loop_thread import LoopJob, LoopThread
from discomfort.exceptions import StateError


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    """A thread, closed at the end."""
    made = LoopThread("discomfort-test")
    yield made
    made.close()
    assert not made._thread.is_alive()
    assert made.loop.is_closed()


class Work:
    """A coroutine that waits, and says when it began and when it has let go."""

    def __init__(self) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.let_go.set()


@contextlib.contextmanager
def interrupted_when(ready: threading.Event) -> Iterator[None]:
    """Ctrl-C reaches the main thread when ``ready`` is set."""

    def interrupt() -> None:
        ready.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_call(loop_thread: LoopThread) -> None:
    """The result, or the error, of the coroutine."""

    async def work(error: Exception | None = None) -> int:
        if error is not None:
            raise error
        return 3

    assert loop_thread.call(work()) == 3
    with pytest.raises(OSError, match="x"):
        loop_thread.call(work(OSError("x")))


def test_interrupt_waits_until_the_work_has_let_go(loop_thread: LoopThread) -> None:
    """Ctrl-C cancels the coroutine and is delivered when it has ended."""
    work = Work()
    with interrupted_when(work.began), pytest.raises(KeyboardInterrupt):
        loop_thread.call(work())
    assert work.let_go.is_set()


def test_interrupt_while_the_loop_is_busy(loop_thread: LoopThread) -> None:
    """Begun and cancelled in one turn of the loop, the task's body never runs; the caller is told all the same."""
    busy, gate, work = threading.Event(), threading.Event(), Work()

    def block() -> None:
        busy.set()
        gate.wait()

    loop_thread.loop.call_soon_threadsafe(block)
    busy.wait()
    job: list[LoopJob[Any]] = []
    start = loop_thread._start

    def started(made: LoopJob[Any]) -> None:
        start(made)
        job.append(made)
        # Ctrl-C comes now; the loop goes on when the cancellation is on its way.
        cancel = made.cancel

        def cancelled() -> None:
            cancel()
            gate.set()

        made.cancel = cancelled  # type: ignore[method-assign]
        raise KeyboardInterrupt

    loop_thread._start = started  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        loop_thread.call(work())
    assert isinstance(job[0].outcome.exception(), asyncio.CancelledError)
    assert not work.began.is_set()


def test_interrupt_before_the_work_was_begun(loop_thread: LoopThread) -> None:
    """It is closed unbegun."""

    def interrupt(job: LoopJob[Any]) -> None:
        raise KeyboardInterrupt

    loop_thread._start = interrupt  # type: ignore[method-assign]
    work = Work()
    with pytest.raises(KeyboardInterrupt):
        loop_thread.call(work())
    assert not work.began.is_set()


def test_close_ends_calls_of_other_threads(loop_thread: LoopThread) -> None:
    """Each gets StateError; so does whoever calls afterwards, and nobody waits for a loop that is gone."""
    works = [Work() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(loop_thread.call, work()) for work in works]
        for work in works:
            work.began.wait()
        loop_thread.close()
        for call in calls:
            with pytest.raises(StateError, match="shut down"):
                call.result()
    assert all(work.let_go.is_set() for work in works)
    late = Work()
    with pytest.raises(StateError, match="shut down"):
        loop_thread.call(late())
    assert not late.began.is_set()


def test_submit(loop_thread: LoopThread) -> None:
    """The outcome comes later; after the close it raises StateError, and the coroutine is closed unbegun."""

    async def work() -> int:
        return 3

    assert loop_thread.submit(work()).outcome.result() == 3
    loop_thread.close()
    late = work()
    with pytest.raises(StateError, match="shut down"):
        loop_thread.submit(late)
    assert inspect.getcoroutinestate(late) == inspect.CORO_CLOSED


def test_calls_while_others_close() -> None:
    """From many threads at once: each call ends, with its result or StateError."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    def calls(thread: LoopThread, gate: threading.Barrier) -> bool:
        gate.wait()
        for _ in range(50):
            try:
                assert thread.call(work()) == 1
            except StateError:
                return True
        return True

    for _ in range(5):
        thread, gate = LoopThread("discomfort-test"), threading.Barrier(5)
        with ThreadPoolExecutor(5) as pool:
            found = [pool.submit(calls, thread, gate) for _ in range(4)]
            gate.wait()
            thread.close()
            assert all(each.result() for each in found)


def test_from_its_own_thread(loop_thread: LoopThread) -> None:
    """It would wait for itself."""

    async def inside() -> None:
        loop_thread.call(Work()())

    with pytest.raises(StateError, match="own thread"):
        loop_thread.call(inside())


def test_forked_child_has_no_thread(loop_thread: LoopThread) -> None:
    """A call would wait for ever there; closing touches nothing."""
    child = os.fork()
    if child == 0:
        try:
            loop_thread.close()
            loop_thread.call(Work()())
        except StateError:
            os._exit(7)
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7

    async def work() -> int:
        return 1

    assert loop_thread.call(work()) == 1
