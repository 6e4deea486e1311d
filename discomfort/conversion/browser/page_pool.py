"""A pool of loaded pages, each leased by one conversion at a time and replaced in the background."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from discomfort.exceptions import ConversionError, DiscomfortError, StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from discomfort.conversion.browser.page import FrontEndPage

logger: logging.Logger = logging.getLogger("discomfort.conversion")

_CLOSED = "the converter is closed"


class PagePool:
    """Keeps ``size`` pages loaded. A ``worn`` page is replaced, but serves until its successor is loaded.

    A ``stale`` page must not be used any more.
    Waiting conversions are served in order of arrival. Everything but :meth:`lease`, :meth:`drain` and :meth:`aclose`
    is synchronous, so no task sees the bookkeeping half done.
    """

    def __init__(
        self,
        open_page: Callable[[], Awaitable[FrontEndPage]],
        *,
        size: int,
        worn: Callable[[FrontEndPage], bool] = lambda page: False,
        stale: Callable[[FrontEndPage], bool] = lambda page: False,
    ) -> None:
        self._open_page, self._size, self._worn, self._stale = open_page, size, worn, stale
        self._idle: deque[FrontEndPage] = deque()
        self._leased: set[FrontEndPage] = set()
        self._retiring: set[FrontEndPage] = set()
        self._loading: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[FrontEndPage]] = deque()
        self._closed = True
        self._ended = False

    def __repr__(self) -> str:
        return (
            f"<PagePool idle={len(self._idle)} leased={len(self._leased)} loading={len(self._loading)} "
            f"retiring={len(self._retiring)} waiting={len(self._waiting)}{' closed' if self._closed else ''}>"
        )

    def open(self) -> None:
        """Begin to load pages in the background."""
        self._closed = False
        self._fill()

    async def lease(self) -> FrontEndPage:
        """Lease a ready page; waits if none is free. Return it with :meth:`give_back`.

        Raises the error of the page load that was waited for, StateError after :meth:`end`. Cancelling loses no page.
        """
        if self._ended:
            raise StateError(_CLOSED)
        while self._idle:
            # An idle page may have crashed, or become stale, while nobody looked at it.
            page = self._idle.popleft()
            if page.alive and not self._stale(page):
                self._leased.add(page)
                return page
            self._drop(page)
        waiter: asyncio.Future[FrontEndPage] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._fill()
        try:
            return await waiter
        except asyncio.CancelledError:
            # A page was assigned in the same turn of the loop in which the caller was cancelled: pass it on, or the
            # pool would count it as leased for ever.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result(), sound=True)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def give_back(self, page: FrontEndPage, *, sound: bool) -> None:
        """End a lease. A page that is not ``sound`` is closed and replaced."""
        # drain() has dropped it already, while it was leased.
        if page not in self._leased:
            return
        self._leased.discard(page)
        successor_is_there = page in self._retiring and self._replaced()
        if self._closed or not sound or not page.alive or successor_is_there or self._stale(page):
            self._drop(page)
        else:
            # A worn page works on while its successor loads, which takes seconds: no conversion has to wait for that.
            if page not in self._retiring and self._worn(page):
                self._retiring.add(page)
            self._offer(page)
        self._fill()

    def only(self, page: FrontEndPage) -> bool:
        """Whether ``page`` is the only one that is leased."""
        return self._leased == {page}

    def discard(self, unwanted: Callable[[FrontEndPage], bool]) -> None:
        """Close the idle pages that are ``unwanted``, and load new ones."""
        for page in tuple(self._idle):
            if unwanted(page):
                self._drop(page)
        self._fill()

    async def drain(self, *, refill: bool = True) -> None:
        """Close all pages, the leased ones too, then load new ones unless ``refill`` is false.

        For a changed frontend or browser: conversions on leased pages fail, and their callers retry them. Callers that
        wait for a page keep waiting, for one of those loaded next; see :meth:`fail_waiting`.
        """
        # First, or a load that completes during the wait below would offer a page of the old browser.
        self.stop_loading()
        for page in (*self._idle, *self._leased):
            self._drop(page)
        await self._settle(self._closing)
        if refill:
            self._fill()

    def stop_loading(self) -> None:
        """Cancel the page loads. Callers that wait for a page are not informed: other pages will be loaded."""
        for task in tuple(self._loading):
            task.cancel()
        # Cleared at once: a load whose page is already open notices that it is no longer in here, and closes it.
        self._loading.clear()

    async def aclose(self) -> None:
        """Close all pages, refuse new leases. Idempotent; bounded by the pages' own time to close."""
        self.end()
        loading = tuple(self._loading)
        await self.drain()
        await self._settle(loading)

    def end(self) -> None:
        """Refuse new leases, and fail those that wait. They are not cancelled: only their callers may do that."""
        self._closed = self._ended = True
        self.fail_waiting(StateError(_CLOSED))

    def fail_waiting(self, error: DiscomfortError) -> None:
        """Make every caller that waits for a page raise a copy of ``error``."""
        # Copies, since one exception object would collect the tracebacks of all callers.
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(copy.copy(error))

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

    def _replaced(self) -> bool:
        """Whether there are enough pages without the retiring ones."""
        fresh = sum(1 for page in (*self._idle, *self._leased) if page not in self._retiring)
        return fresh >= self._size

    def _offer(self, page: FrontEndPage) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            # A cancelled caller's future is done; its own clean-up runs only in a later turn of the loop.
            if not waiter.done():
                self._leased.add(page)
                waiter.set_result(page)
                return
        self._idle.append(page)

    def _drop(self, page: FrontEndPage) -> None:
        self._leased.discard(page)
        self._retiring.discard(page)
        if page in self._idle:
            self._idle.remove(page)
        self._spawn(page.aclose(), self._closing)

    def _spawn(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    def _fill(self) -> None:
        if self._closed:
            return
        present = sum(1 for page in (*self._idle, *self._leased) if page not in self._retiring)
        for _ in range(self._size - present - len(self._loading)):
            self._spawn(self._load(), self._loading)

    async def _load(self) -> None:
        me = asyncio.current_task()
        if me is None:
            raise AssertionError("a page is loaded in a task of its own")
        try:
            page = await self._open_page()
        except DiscomfortError as error:
            self._loading.discard(me)
            self._load_failed(error)
            return
        except Exception as error:
            # Any unexpected error must reach the callers that wait, or they would wait for ever.
            logger.exception("loading a page failed unexpectedly")
            self._loading.discard(me)
            self._load_failed(ConversionError(f"the frontend's page could not be loaded: {error!r}"))
            return
        if me not in self._loading or self._closed:
            # Drained meanwhile: this page belongs to the old browser or frontend.
            await page.aclose()
            return
        self._loading.discard(me)
        if self._stale(page):
            self._drop(page)
            self._fill()
            return
        self._offer(page)
        for old in tuple(self._retiring):
            if old in self._idle and self._replaced():
                self._drop(old)

    def _load_failed(self, error: DiscomfortError) -> None:
        logger.warning("loading a page failed: %s", error)
        if self._idle or self._leased or self._loading:
            # The callers that wait can be served by the other pages.
            return
        self.fail_waiting(error)

    async def _settle(self, tasks: set[asyncio.Task[None]] | tuple[asyncio.Task[None], ...]) -> None:
        if tasks:
            await asyncio.wait(tuple(tasks))
