"""asyncio helpers that wait for started work before a cancellation propagates, and threads of our own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from discomfort._system.forks import in_forked_child

T = TypeVar("T")
P = ParamSpec("P")

_THREADS = 32
"""Threads for short blocking work. asyncio's default pool is not used, since a program may keep it busy."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


async def to_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run short blocking ``work`` in one of our own threads, like :func:`asyncio.to_thread` but not in its pool."""
    context = contextvars.copy_context()
    call = partial(context.run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_executor(), call)


async def in_own_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a new thread, so that no other work can delay it: for shutdown and for long work.

    If cancelled, the work continues and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(outcome: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(outcome)  # type: ignore[arg-type]

    def run() -> None:
        outcome, error = None, None
        try:
            outcome = work()
        except BaseException as raised:  # noqa: BLE001 - handed over to the waiting task
            error = raised
        try:
            loop.call_soon_threadsafe(settle, outcome, error)
        except RuntimeError:  # the loop was closed, so no task waits
            return

    threading.Thread(target=run, name="discomfort-own", daemon=True).start()
    return await future


async def in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread. If cancelled, wait for it to finish first, so that nothing it acquires is lost."""
    return await finish(in_own_thread(work))


async def finish(work: Awaitable[T]) -> T:
    """Await ``work`` to its end even if cancelled meanwhile; the cancellation is delivered afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    retrieve(task)
    raise cancelled


async def in_pool(work: Callable[[], T], *, is_quick: bool = False) -> T:
    """Do short blocking ``work`` in one of our own threads, to its end even if cancelled.

    ``is_quick`` says that it neither reads nor writes a disk, so it is done here: a thread would take longer.
    """
    return work() if is_quick else await finish(to_thread(work))


async def see_through(begin: Callable[[], Awaitable[T]]) -> T:
    """Await ``begin()`` to its end despite cancellations. This task's own are ignored, and if the work is cancelled
    (Ctrl-C under ``asyncio.run`` cancels every task), it is started again. For shutdown only.
    """
    while True:
        task = asyncio.ensure_future(begin())
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            return task.result()


def retrieve(task: asyncio.Future[Any]) -> None:
    """Mark a finished task's error as retrieved, for when a cancellation is raised instead."""
    if not task.cancelled():
        task.exception()


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a group, ignoring siblings that were only cancelled because of it."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [failures]
    while stack:
        error = stack.pop(0)
        if isinstance(error, BaseExceptionGroup):
            stack[:0] = error.exceptions
        else:
            leaves.append(error)
    return next((e for e in leaves if not isinstance(e, asyncio.CancelledError)), leaves[0])


class EndableScope:
    """A block that other code may end: ``async with EndableScope() as scope``, and elsewhere ``scope.end(error)``.

    The block's current await is cancelled, and the block raises ``error`` instead of ``CancelledError``. A
    cancellation by the block's own caller is raised unchanged. Built like :func:`asyncio.timeout`. For use in the
    loop's thread only.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._error: BaseException | None = None
        self._entered = self._left = False

    def end(self, error: BaseException) -> None:
        """Make the block raise ``error`` at once. Does nothing outside the block or when called again."""
        if self._task is None or self._left or self._error is not None:
            return
        self._error = error
        self._task.cancel()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("an EndableScope can be entered only once")
        self._entered = True
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("an EndableScope can be used only inside a task")
        self._cancelling = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        if self._error is None or self._task is None:
            return
        remaining = self._task.uncancel()
        if remaining <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise self._error from error


class EndableScopes:
    """``async with scopes.enter():`` in any number of tasks, and elsewhere ``scopes.end(error)`` or ``close(error)``.

    ``error`` creates an exception for each block, because one shared by several tasks would collect their tracebacks.
    For use in the loop's thread only.
    """

    def __init__(self) -> None:
        self._scopes: set[EndableScope] = set()
        self._closed: Callable[[], BaseException] | None = None

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed is not None

    @property
    def entered(self) -> bool:
        """Whether a block is running."""
        return bool(self._scopes)

    def enter(self) -> AbstractAsyncContextManager[None]:
        """A block that :meth:`end` can end. After :meth:`close`, entering it raises."""
        return _OneOfScopes(self)

    async def admit(self, scope: EndableScope) -> None:
        """Enter ``scope`` as one that :meth:`end` can end. Raises the error of :meth:`close` after that."""
        if self._closed is not None:
            raise self._closed()
        await scope.__aenter__()
        self._scopes.add(scope)

    def dismiss(self, scope: EndableScope) -> None:
        """Leave ``scope`` alone from now on."""
        self._scopes.discard(scope)

    def end(self, error: Callable[[], BaseException]) -> None:
        """Make each block that is running raise ``error()`` at once."""
        for scope in list(self._scopes):
            scope.end(error())

    def close(self, error: Callable[[], BaseException]) -> None:
        """Like :meth:`end`, and also refuse to enter new blocks. Idempotent: the first error counts."""
        if self._closed is None:
            self._closed = error
            self.end(error)


class _OneOfScopes(AbstractAsyncContextManager[None]):
    # A class, since each request enters one: a generator for it costs several times as much.
    __slots__ = ("_scope", "_scopes")

    def __init__(self, scopes: EndableScopes) -> None:
        self._scopes, self._scope = scopes, EndableScope()

    async def __aenter__(self) -> None:
        await self._scopes.admit(self._scope)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scopes.dismiss(self._scope)
        await self._scope.__aexit__(kind, error, trace)


def _executor() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - one pool for the process
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_THREADS, "discomfort")
        return _pool


def _forget_pool() -> None:
    """Reset in a forked child: the parent's threads do not exist there, and its lock may stay held forever."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


in_forked_child(_forget_pool)
