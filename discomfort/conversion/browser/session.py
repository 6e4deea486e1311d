"""The browser and its pages as one unit: start, restart, close, and convert with a bounded number of retries."""

# Longer than 400 lines: pages, retries and restarts of one browser share its state, which has one owner.

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from discomfort._system.concurrency import EndableScopes, finish, in_thread, to_thread
from discomfort._system.removal import remove_tree
from discomfort.conversion.browser.page import ANSWER_TIMEOUT, FrontEndPage, PageFailure, PageResult
from discomfort.conversion.browser.page_limits import LARGE, MAX_OVERHEAD_GROWTH, tidy_due, worn
from discomfort.conversion.browser.page_pool import PagePool
from discomfort.conversion.browser.process import Browser, BrowserGoneError
from discomfort.conversion.gateway.server import HOST_NAME
from discomfort.conversion.workflow_text import budget
from discomfort.exceptions import (
    BrowserError,
    ConversionError,
    ConversionTimeout,
    MissingFrontendError,
    PayloadError,
    StateError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from discomfort.conversion.environment import Environment
    from discomfort.conversion.gateway.server import Gateway

logger: logging.Logger = logging.getLogger("discomfort.conversion")

BrowserState = Literal["idle", "running", "died"]

ATTEMPTS: Final = 3
"""Attempts per conversion, as documented for the connector: on a loaded page, in a new context, in a new browser."""

MAX_STRETCH: Final = 4.0
"""The largest factor by which an attempt may take longer on a busy machine."""

CLOSE_TIMEOUT: Final = 15.0
"""Seconds for a whole close; the limits of its parts add up to less."""

FINISH_TIMEOUT: Final = 2.0
"""Seconds that a close waits for background work, such as a prompt that is about to be stored."""

_LONGEST_PARENT: Final = 33
"""Bytes that a temporary folder's path may have: Chromium creates a socket below it, whose path is limited to 107 bytes
(``/discomfort-`` and 12 digits, ``/`` and a number, ``/org.chromium.Chromium.XXXXXX/SingletonSocket``)."""


class BrowserSession:
    """Owns the browser and the pages on one gateway.

    ``environment`` is called while a page loads; it returns what the server offers, which becomes the page's label.
    ``stale`` returns whether a page was made for something that the server no longer offers.
    """

    closed: bool

    def __init__(
        self,
        gateway: Gateway,
        environment: Callable[[], Awaitable[Environment | None]],
        stale: Callable[[FrontEndPage], bool],
        *,
        server_ready: asyncio.Event | None = None,
        chromium_path: str | None = None,
        install: bool = True,
        on_process: Callable[[int, float], None] | None = None,
        on_process_end: Callable[[int], None] | None = None,
        pages: int = 1,
        directory: Path | None = None,
        environment_variables: Mapping[str, str] | None = None,
    ) -> None:
        self._gateway, self._environment, self._ready = gateway, environment, server_ready
        self._chromium_path, self._install = chromium_path, install
        self._on_process, self._on_process_end = on_process, on_process_end
        self._variables = dict(environment_variables or {})
        # Only a name until the launch: a browser that is never started leaves no folder.
        self.directory: Path = directory or private_directory()
        self.pool: PagePool = PagePool(self._open_page, size=max(1, pages), worn=worn, stale=stale)
        self.browser: Browser | None = None
        self._generation = 0
        self._isolated = 0
        self._least_overhead = math.inf
        self._numbers = itertools.count(1)
        self._lifecycle = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._calls = EndableScopes()
        self._owner = os.getpid()
        self._launch_failed = False
        self.closed = False

    def __repr__(self) -> str:
        return f"<BrowserSession {self.browser!r} {self.pool!r}>"

    @property
    def state(self) -> BrowserState:
        """``idle``: never launched, or closed on purpose; ``running``; ``died``: to be launched again."""
        if self.browser is None:
            return "died" if self._launch_failed else "idle"
        return "running" if self.browser.connected else "died"

    def call(self) -> AbstractAsyncContextManager[None]:
        """Wraps all work for one caller: a close makes it raise StateError at its current await."""
        return self._calls.enter()

    @property
    def healthy(self) -> bool:
        """Whether the browser runs and answers."""
        return self.browser is not None and self.browser.connected

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the browser and begin to load pages; does nothing if started. Raises ``BrowserError``."""
        async with self._lifecycle:
            self.refuse_if_closed()
            if self.browser is None:
                await self._launch()

    async def _launch(self) -> None:
        """Start a browser if there is none. The caller holds the lifecycle lock.

        A failed launch fails everything that waits for a page, since no page load will.
        """
        self._launch_failed = False
        try:
            await self._launch_browser()
        except BrowserError as error:
            self._launch_failed = True
            self.pool.fail_waiting(error)
            raise

    async def _launch_browser(self) -> None:
        self.refuse_if_closed()
        await to_thread(self.directory.mkdir, mode=0o700, parents=True, exist_ok=True)
        # A folder per launch: closing a browser deletes its folder, which must not be that of its successor.
        self._generation += 1
        self._least_overhead = math.inf
        browser = Browser(
            self.directory / str(self._generation),
            host=HOST_NAME,
            port=self._gateway.port,
            chromium_path=self._chromium_path,
            install=self._install,
            on_process=self._on_process,
            on_process_end=self._on_process_end,
            environment=self._variables,
        )
        # Set before the launch, so that kill_now() in another thread reaches a browser that is being launched.
        self.browser = browser
        try:
            await browser.launch()
            # Closed during the launch: kill_now() may have run too early to find this browser's processes.
            self.refuse_if_closed()
        except BaseException:
            self.browser = None
            await finish(browser.aclose())
            if self.closed:
                # kill_now() may have run before the folder was created.
                await in_thread(self.kill_now)
            raise
        self.pool.open()

    async def ensure_running(self) -> None:
        """Start the browser, or a new one where it died. Raises ``BrowserError``, ``StateError``."""
        self.refuse_if_closed()
        if self.browser is None:
            await self.start()
        elif not self.healthy:
            await self._restart(self._generation)

    async def restart(self) -> None:
        """Close the browser gracefully, kill what is left of our own processes, launch a new one."""
        await self._restart(self._generation)

    async def _restart(self, seen: int) -> None:
        # `seen` is the generation that the caller found broken, read before it waits for the lock: several conversions
        # fail together when a browser dies, and only the first may replace it.
        async with self._lifecycle:
            self.refuse_if_closed()
            if self._generation != seen and self.healthy:
                # Another conversion failed for the same reason and has restarted the browser already.
                return
            browser, self.browser = self.browser, None
            if browser is not None:
                logger.info("restarting the browser")
                # Its pages come first: conversions on them would wait for a browser that hangs, and are retried on the
                # new one. Page loads are stopped silently, since those who wait for them get a page of the new browser.
                self.pool.stop_loading()
                browser.end_work()
                await browser.aclose()
                await self.pool.drain(refill=False)
            await self._launch()

    def end_calls(self) -> None:
        """Begin to close: refuse all work, and make all callers raise StateError at once."""
        self.closed = True
        self.pool.end()
        self._calls.end(_closed)

    async def aclose(self) -> None:
        """Close pages, browser and driver, remove the directory. Idempotent; bounded to 15 s."""
        self.end_calls()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._finish_background()
                # A start or restart that is under way releases the lock first. It sees `closed` and launches nothing.
                async with self._lifecycle:
                    await self.pool.aclose()
                    if self.browser is not None:
                        await self.browser.aclose()
        except TimeoutError:
            logger.warning("closing the browser took longer than %.0f s", CLOSE_TIMEOUT)
        finally:
            # Whatever the graceful close did not manage. In a thread: it polls for processes and deletes a profile.
            await in_thread(self.kill_now)

    def kill_now(self) -> None:
        """Kill our processes and remove our files at once: synchronous, idempotent, never raises.

        Does nothing in a fork of the process that started them.
        """
        if os.getpid() != self._owner:
            return
        self.closed = True
        browser, self.browser = self.browser, None
        if browser is not None:
            browser.kill()
        remove_tree(self.directory)

    def refuse_if_closed(self) -> None:
        """Raise ``StateError`` after a close."""
        if self.closed:
            raise _closed()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` in the background; a close waits briefly for it and then cancels it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _finish_background(self) -> None:
        if not self._background:
            return
        _, pending = await asyncio.wait(tuple(self._background), timeout=FINISH_TIMEOUT)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    # -- pages ---------------------------------------------------------------------------------------------------------

    async def _open_page(self) -> FrontEndPage:
        browser = self.browser
        if browser is None:
            raise BrowserGoneError("the browser is not running")
        name = str(next(self._numbers))
        root = self._gateway.static_root
        # Beside the page's load, since both need the server and the load takes seconds.
        label = asyncio.create_task(self._label())
        try:
            async with browser.work():
                page = await FrontEndPage.open(
                    browser,
                    self._gateway.origin,
                    name,
                    self._gateway.cookies(name),
                    server_ready=self._ready,
                    server_lost=self._gateway.server_lost,
                    early=root is not None,
                )
            page.browser, page.root = browser, root
            try:
                page.environment = await label
            except BaseException:
                await page.aclose()
                raise
        finally:
            label.cancel()
        return page

    async def _label(self) -> Environment | None:
        if self._ready is not None:
            await self._ready.wait()
        return await self._environment()

    async def wait_page(self) -> None:
        """Wait until a page can convert. Raises ``BrowserError``, ``ConversionError``, ``ConversionTimeout``."""
        await self.ensure_running()
        page = await self.pool.lease()
        self.pool.give_back(page, sound=True)

    # -- conversion ----------------------------------------------------------------------------------------------------

    async def convert(
        self,
        text: str,
        afterwards: Callable[[FrontEndPage, PageResult], Awaitable[None]] | None = None,
        *,
        nodes: int = 0,
    ) -> PageResult:
        """Convert the workflow ``text`` (JSON), whose largest graph has ``nodes`` nodes, in up to three attempts.

        ``afterwards`` runs in the background on the page that gave the result, before that page is leased again.
        Raises ``ConversionTimeout``, ``ConversionError``, ``BrowserError``, ``StateError``; ``PayloadError`` for more
        nodes than the frontend takes.
        """
        failures: list[PageFailure] = []
        for attempt in range(ATTEMPTS):
            generation = self._generation
            # From cheap to dear. The second attempt excludes what earlier conversions left in the page, the third what
            # is wrong with the whole browser, and it alone disturbs other conversions.
            try:
                if attempt == 0:
                    return await self.on_warm_page(text, nodes, afterwards)
                if attempt == ATTEMPTS - 1:
                    await self._restart(generation)
                return await self.on_fresh_page(text)
            except PageFailure as failure:
                failures.append(failure)
            except MissingFrontendError:
                # Another page or browser asks the same server.
                raise
            except (ConversionError, BrowserGoneError) as error:
                failures.append(PageFailure(str(error), slow=isinstance(error, ConversionTimeout)))
            logger.warning("conversion attempt %d of %d: %s", attempt + 1, ATTEMPTS, failures[-1].problem)
            if self._hopeless(failures):
                break
        raise conversion_error(failures) from failures[-1]

    def _hopeless(self, failures: list[PageFailure]) -> bool:
        """Whether to give up: the server is gone, or two attempts failed with the same frontend error."""
        # An error of the frontend itself (`verdict`) that a fresh page repeats is the workflow's. Timeouts and crashes
        # say nothing about the workflow, so they are retried.
        last = failures[-1]
        repeated = len(failures) > 1 and last.verdict and last.problem == failures[-2].problem
        return repeated or self._gateway.server_lost.is_set()

    async def on_fresh_page(self, text: str) -> PageResult:
        """One attempt in a new context and page, closed afterwards. Raises ``PageFailure`` and as :meth:`convert`."""
        self._isolated += 1
        try:
            await self.ensure_running()
            page = await self._open_page()
            try:
                return await self._on(page, text, patience=0.5)
            finally:
                await page.aclose()
        finally:
            self._isolated -= 1

    async def _on(self, page: FrontEndPage, text: str, *, patience: float = 1.0) -> PageResult:
        """Convert while fetched lists of choices are held back for ``patience`` (a share) of the time limit.

        After a failed attempt the share is smaller, because custom nodes may themselves wait for such a list.
        """
        remotes = page.environment.remotes if page.environment else frozenset()
        timeout = attempt_budget(text)
        browser = page.browser
        with self._gateway.holding(page.name, remotes, seconds=timeout * patience):
            if browser is None:
                return await page.convert(text, timeout=timeout)
            async with browser.work():
                return await page.convert(text, timeout=timeout)

    async def on_warm_page(
        self,
        text: str,
        nodes: int = 0,
        afterwards: Callable[[FrontEndPage, PageResult], Awaitable[None]] | None = None,
    ) -> PageResult:
        """One attempt on a loaded page, for a workflow whose largest graph has ``nodes``.

        Raises ``PageFailure``, ``PayloadError`` (more nodes than the frontend accepts), and as :meth:`convert`.
        """
        await self.ensure_running()
        page = await self.pool.lease()
        if page.node_limit is not None and nodes > page.node_limit:
            self.pool.give_back(page, sound=True)
            raise PayloadError(
                f"the workflow has a graph of {nodes} nodes, more than the {page.node_limit} that the frontend "
                f"{page.version} accepts; split it, or put parts of it into subgraphs"
            )
        before = self._gateway.asked(page.name)
        result: PageResult | None = None
        try:
            converted = await self._on(page, text)
            # Both checks are needed: the page does not see requests for pictures, which no script makes, and the
            # gateway does not see requests of scripts that have not arrived yet.
            quiet = self._gateway.asked(page.name) == before and all(map(self._gateway.is_expected, converted.asked))
            result = converted.on(page, alone=quiet)
            return result
        finally:
            self._after(page, result, len(text), afterwards)

    def _after(
        self,
        page: FrontEndPage,
        result: PageResult | None,
        size: int,
        afterwards: Callable[[FrontEndPage, PageResult], Awaitable[None]] | None,
    ) -> None:
        """Give the page back, at once or after the work that remains to be done on it.

        A page that requested something from the server is not used again: the frontend keeps such answers, and a remote
        combo whose list is loaded selects another value than one whose list is not. Nor is a page that converted a very
        large workflow: it would keep gigabytes.
        """
        tidy = tidy_due(page)
        sound = result is not None and result.alone and size <= LARGE
        if result is None or not sound or self.closed or not (afterwards or tidy):
            self.pool.give_back(page, sound=sound)
        else:
            self.spawn(self._care(page, result, afterwards, tidy=tidy))

    async def _care(
        self,
        page: FrontEndPage,
        result: PageResult,
        afterwards: Callable[[FrontEndPage, PageResult], Awaitable[None]] | None,
        *,
        tidy: bool,
    ) -> None:
        sound = False
        try:
            if afterwards is not None:
                await afterwards(page, result)
            if tidy:
                # After the result was returned, so that no conversion pays for the 0.1 to 0.2 s that this takes.
                await page.collect_garbage()
                await self._renew(page)
            sound = True
        finally:
            self.pool.give_back(page, sound=sound)

    async def _renew(self, page: FrontEndPage) -> None:
        """Replace a browser that uses too much memory, unless another conversion is under way in it."""
        from playwright.async_api import Error

        browser, generation = self.browser, self._generation
        if browser is None or self.closed:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                overhead = await browser.overhead()
        except (Error, TimeoutError) as error:
            logger.debug("the browser's memory could not be read: %r", error)
            return
        # The baseline is the least value since the launch: a first value that was taken at a peak is corrected later.
        self._least_overhead = min(self._least_overhead, overhead)
        alone = self.pool.only(page) and not self._isolated
        if overhead - self._least_overhead < MAX_OVERHEAD_GROWTH or not alone:
            return
        try:
            await self._restart(generation)
        except (BrowserError, StateError) as error:
            # No caller waits for this one. The next conversion launches a browser, and raises if that fails again.
            logger.warning("a browser that used too much memory was closed, but the new one did not start: %s", error)


def _closed() -> StateError:
    return StateError("the converter is closed")


def conversion_error(failures: list[PageFailure]) -> ConversionError:
    """The error that describes how each attempt ended."""
    story = [failure.problem for failure in failures]
    if all(failure.slow for failure in failures):
        return ConversionTimeout("the frontend did not convert the workflow in time", attempts=story)
    return ConversionError("the frontend could not convert the workflow", attempts=story)


def attempt_budget(text: str) -> float:
    """Seconds for one attempt: by the workflow's size, and longer if other programs occupy the machine.

    A page that gets a quarter of a core needs four times as long, and a retry would only add to the load.
    """
    try:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        load = 1.0
    return budget(len(text)) * min(MAX_STRETCH, max(1.0, load))


def private_directory() -> Path:
    """A new path in the temporary folder, or in ``/tmp`` if Chromium's socket would get too long a path there."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_PARENT and os.access("/tmp", os.W_OK):  # noqa: S108 - the shortest there is
        parent = "/tmp"  # noqa: S108
    return Path(parent, f"discomfort-{uuid.uuid4().hex[:12]}")
