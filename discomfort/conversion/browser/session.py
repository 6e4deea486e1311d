"""The browser and its pages as one thing: started, restarted, ended, and asked to convert, with retries that end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from discomfort._system.concurrency import EndableScopes, finish, in_thread, to_thread
from discomfort.conversion.browser.page import ANSWER_TIMEOUT, FrontEndPage, PageFailure, PageResult
from discomfort.conversion.browser.page_limits import LARGE, MAX_OVERHEAD_GROWTH, tidy_due, worn
from discomfort.conversion.browser.page_pool import PagePool
from discomfort.conversion.browser.process import Browser, BrowserGoneError
from discomfort.conversion.gateway.server import HOST_NAME
from discomfort.conversion.workflow_text import budget
from discomfort.exceptions import BrowserError, ConversionError, ConversionTimeout, PayloadError, StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from discomfort.conversion.environment import Environment
    from discomfort.conversion.gateway.server import Gateway

logger = logging.getLogger("discomfort.conversion")

BrowserState = Literal["idle", "running", "died"]

ATTEMPTS: Final = 3
"""Attempts at one conversion, as documented for the connector: a warm page, a fresh context, a fresh browser."""

MAX_STRETCH: Final = 4.0
"""How much longer an attempt may take on a busy machine, at most."""

CLOSE_TIMEOUT: Final = 15.0
"""Seconds for a whole close; its parts are bounded more tightly and add up to less."""

FINISH_TIMEOUT: Final = 2.0
"""Seconds that a close waits for what still happens in the background, as a prompt that is about to be stored."""

_LONGEST_PARENT: Final = 33
"""Bytes of a temporary folder's path that leave room for ours: Chromium makes a socket below it, whose path is limited
to 107 bytes (``/discomfort-`` and 12 digits, ``/`` and a number, ``/org.chromium.Chromium.XXXXXX/SingletonSocket``)."""


class BrowserSession:
    """Owns the browser and the pages on one gateway.

    ``environment`` is asked for what the server offers when a page is loaded; its answer is the page's label. ``stale``
    says whether a page is of something that the server does not offer any more.
    """

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
        # Only a name until the launch: one that was never started leaves nothing.
        self.directory = directory or private_directory()
        self.pool = PagePool(self._open_page, size=max(1, pages), worn=worn, stale=stale)
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
        """``idle``: never launched, or closed on purpose; ``running``; ``died``: it is to be launched again."""
        if self.browser is None:
            return "died" if self._launch_failed else "idle"
        return "running" if self.browser.connected else "died"

    def call(self) -> AbstractAsyncContextManager[None]:
        """Around all work for one caller: a close makes it raise StateError at the await where it stands."""
        return self._calls.enter()

    @property
    def healthy(self) -> bool:
        """Whether the browser runs and answers."""
        return self.browser is not None and self.browser.connected

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the browser and begin to load pages; does nothing when started. Raises ``BrowserError``."""
        async with self._lifecycle:
            self.refuse_if_closed()
            if self.browser is None:
                await self._launch()

    async def _launch(self) -> None:
        """Start a browser where there is none. The caller holds the lifecycle lock.

        A launch that fails is the end for all who wait for a page: nobody else would tell them.
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
        # Known before it runs, so that kill_now() reaches a browser that is being launched.
        self.browser = browser
        try:
            await browser.launch()
            self.refuse_if_closed()
        except BaseException:
            self.browser = None
            await finish(browser.aclose())
            if self.closed:
                # kill_now() may have run before the folder was made.
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
        async with self._lifecycle:
            self.refuse_if_closed()
            if self._generation != seen and self.healthy:
                # Somebody else's failure led here too, and was faster.
                return
            browser, self.browser = self.browser, None
            if browser is not None:
                logger.info("restarting the browser")
                # Its pages first: what waits on them for a browser that hangs is tried again on the new one. Those that
                # are only loaded go unheard: who waits for one waits for a page of the new browser.
                self.pool.stop_loading()
                browser.end_work()
                await browser.aclose()
                await self.pool.drain(refill=False)
            await self._launch()

    def end_calls(self) -> None:
        """Begin the end: refuse everything, and make all callers raise StateError at once."""
        self.closed = True
        self.pool.end()
        self._calls.end(_closed)

    async def aclose(self) -> None:
        """Close pages, browser and driver, remove the directory. Idempotent; bounded to 15 s."""
        self.end_calls()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._finish_background()
                # A start or restart that is under way lets go first; it launches nothing any more.
                async with self._lifecycle:
                    await self.pool.aclose()
                    if self.browser is not None:
                        await self.browser.aclose()
        except TimeoutError:
            logger.warning("closing the browser took longer than %.0f s", CLOSE_TIMEOUT)
        finally:
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
        shutil.rmtree(self.directory, ignore_errors=True)

    def refuse_if_closed(self) -> None:
        """Raise ``StateError`` after a close."""
        if self.closed:
            raise _closed()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` in the background; a close waits a moment for it and then cancels it."""
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

        ``afterwards`` is run in the background on the page that gave the result, before anybody else gets that page.
        Raises ``ConversionTimeout``, ``ConversionError``, ``BrowserError``, ``StateError``; ``PayloadError`` for more
        nodes than the frontend takes.
        """
        failures: list[PageFailure] = []
        for attempt in range(ATTEMPTS):
            generation = self._generation
            try:
                if attempt == 0:
                    return await self.on_warm_page(text, nodes, afterwards)
                if attempt == ATTEMPTS - 1:
                    await self._restart(generation)
                return await self.on_fresh_page(text)
            except PageFailure as failure:
                failures.append(failure)
            except (ConversionError, BrowserGoneError) as error:
                failures.append(PageFailure(str(error), slow=isinstance(error, ConversionTimeout)))
            logger.warning("conversion attempt %d of %d: %s", attempt + 1, ATTEMPTS, failures[-1].problem)
            if self._hopeless(failures):
                break
        raise conversion_error(failures) from failures[-1]

    def _hopeless(self, failures: list[PageFailure]) -> bool:
        """Whether to give up: the server is gone, or two attempts failed with the same frontend error."""
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
        """Convert while fetched lists of choices are held back for ``patience`` of the time.

        Less than all of it where a first attempt failed: custom nodes may wait for such a list themselves.
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
        """One attempt on a loaded page, at a workflow whose largest graph has ``nodes``.

        Raises ``PageFailure``, ``PayloadError`` (more nodes than the frontend takes), and as :meth:`convert`.
        """
        await self.ensure_running()
        page = await self.pool.lease()
        if page.node_limit is not None and nodes > page.node_limit:
            self.pool.give_back(page, sound=True)
            raise PayloadError(
                f"the workflow has a graph of {nodes} nodes, more than the {page.node_limit} that the frontend "
                f"{page.version} takes; split it, or put parts of it into subgraphs"
            )
        before = self._gateway.asked(page.name)
        result: PageResult | None = None
        try:
            converted = await self._on(page, text)
            # Both: pictures are not asked for by scripts, and what scripts ask for may not have arrived.
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
        """Give the page back, at once or after the work that is to be done on it.

        A page that asked the server for something is not used again: the frontend keeps such answers, and a remote
        combo whose list is already there picks another value than one whose list is still under way. Nor is a page that
        had a very large workflow: it would keep gigabytes.
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
                await page.collect_garbage()
                await self._renew(page)
            sound = True
        finally:
            self.pool.give_back(page, sound=sound)

    async def _renew(self, page: FrontEndPage) -> None:
        """Replace a browser that has outgrown itself, unless another conversion is under way in it."""
        from playwright.async_api import Error

        browser, generation = self.browser, self._generation
        if browser is None or self.closed:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                overhead = await browser.overhead()
        except (Error, TimeoutError) as error:
            logger.debug("the browser does not tell its memory: %r", error)
            return
        self._least_overhead = min(self._least_overhead, overhead)
        alone = self.pool.only(page) and not self._isolated
        if overhead - self._least_overhead < MAX_OVERHEAD_GROWTH or not alone:
            return
        try:
            await self._restart(generation)
        except (BrowserError, StateError) as error:
            # Nobody waits for this one: the next conversion that needs a browser starts it, and is told what failed.
            logger.warning("no new browser took the place of one that had grown: %s", error)


def _closed() -> StateError:
    return StateError("the converter is closed")


def conversion_error(failures: list[PageFailure]) -> ConversionError:
    """The error that tells how each attempt ended."""
    story = [failure.problem for failure in failures]
    if all(failure.slow for failure in failures):
        return ConversionTimeout("the frontend did not convert the workflow in time", attempts=story)
    return ConversionError("the frontend could not convert the workflow", attempts=story)


def attempt_budget(text: str) -> float:
    """Seconds for one attempt now: what the size allows, stretched where other programs occupy the machine.

    A page that gets a quarter of a core needs four times as long, and giving up on it would only add to the load.
    """
    try:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        load = 1.0
    return budget(len(text)) * min(MAX_STRETCH, max(1.0, load))


def private_directory() -> Path:
    """A new name in the temporary folder, or in ``/tmp`` where Chromium's socket would get too long a path there."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_PARENT and os.access("/tmp", os.W_OK):  # noqa: S108 - the shortest there is
        parent = "/tmp"  # noqa: S108
    return Path(parent, f"discomfort-{uuid.uuid4().hex[:12]}")
