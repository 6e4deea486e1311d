"""One request for any number of callers that need its answer at the same time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from discomfort.exceptions import DiscomfortError, StateError

T = TypeVar("T")


class SharedRequest(Generic[T]):
    """The answer of ``ask``, which is kept; ``what`` names it in errors.

    ``known`` is the last answer, ``None`` before it and after :meth:`forget`.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], what: str) -> None:
        self._ask, self._what = ask, what
        self._asking: asyncio.Task[T] | None = None
        self._requests: set[asyncio.Task[T]] = set()
        self._closed = False
        self.known: T | None = None

    async def get(self) -> T:
        """The answer, not copied. Concurrent callers share one request, which no cancelled caller ends.

        Raises the request's errors, StateError after :meth:`close`.
        """
        if self._closed:
            raise StateError("the client is closed")
        if self.known is not None:
            return self.known
        asking = self.start()
        # asyncio.wait(), not await: when close() cancels the task, its waiters must get an error, not a cancellation.
        await asyncio.wait([asking])
        return _answer(asking, self._what, closed=self._closed)

    def start(self) -> asyncio.Task[T]:
        """Begin to ask, unless that is under way."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="discomfort-request")
            self._requests.add(self._asking)
            self._asking.add_done_callback(self._answered)
        return self._asking

    def forget(self) -> None:
        """Ask again at the next call; callers that already wait get the older answer."""
        self.known = self._asking = None

    def close(self) -> None:
        """Cancel the requests under way; callers that wait for them raise StateError."""
        self._closed = True
        for task in self._requests:
            task.cancel()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for the end of the requests."""
        self.close()
        if self._requests:
            await asyncio.wait(set(self._requests))

    def _answered(self, task: asyncio.Task[T]) -> None:
        self._requests.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if self._asking is task:
            self._asking = None
            if not failed:
                self.known = task.result()


class FreshRequest(Generic[T]):
    """Answers of ``ask`` that are newer than the call which gets them; ``what`` names them in errors.

    One request is under way at most, and one follows it: callers that come meanwhile share the following one, since
    what they want to know may have changed after the present one was sent.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], what: str) -> None:
        self._ask, self._what = ask, what
        self._under_way: asyncio.Task[T] | None = None
        self._following: asyncio.Task[T] | None = None
        self._closed = False

    async def get(self) -> T:
        """An answer to a request that is sent after this call. No cancelled caller ends it for the others.

        Raises the request's errors, StateError after :meth:`close`.
        """
        if self._closed:
            raise StateError("the client is closed")
        if self._following is None:
            self._following = asyncio.create_task(self._follow(self._under_way), name="discomfort-request")
            # An error that no caller waits for any more is nobody's: asyncio need not report it.
            self._following.add_done_callback(lambda task: task.cancelled() or task.exception())
        following = self._following
        await asyncio.wait([following])
        return _answer(following, self._what, closed=self._closed)

    def close(self) -> None:
        """Cancel the requests; callers that wait for them raise StateError."""
        self._closed = True
        for task in self._requests():
            task.cancel()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for the end of the requests."""
        self.close()
        if requests := self._requests():
            await asyncio.wait(requests)

    async def _follow(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        # From here on a caller needs a newer answer.
        self._under_way, self._following = self._following, None
        return await self._ask()

    def _requests(self) -> list[asyncio.Task[T]]:
        return [task for task in (self._under_way, self._following) if task is not None and not task.done()]


def _answer(request: asyncio.Task[T], what: str, *, closed: bool) -> T:
    """The answer of a request that has ended. Raises its error, StateError if it was cancelled."""
    error = None if request.cancelled() else request.exception()
    if request.cancelled() or (error is not None and closed):
        raise StateError(f"the client was closed while {what} were read")
    if error is not None:
        # A copy: one exception object would collect the tracebacks of all callers that share the request.
        raise copy.copy(error) if isinstance(error, DiscomfortError) else error
    return request.result()
