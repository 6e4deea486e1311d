"""One Chromium under Playwright: launch, contexts, memory, and an end that is certain.

The only module that imports Playwright, and only when a browser is launched.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

import psutil

from discomfort._system import process_end, shared_memory
from discomfort._system.concurrency import EndableScopes, finish, in_thread, to_thread
from discomfort._system.process_tree import OwnProcess, kill_trees
from discomfort._system.user import is_root
from discomfort.conversion.browser.chromium import find_chromium, manual_commands
from discomfort.conversion.browser.driver_environment import driver_environment
from discomfort.exceptions import BrowserError, ServerStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import Browser as PlaywrightBrowser
    from playwright.async_api import BrowserContext, Playwright

logger = logging.getLogger("discomfort.conversion")

LAUNCH_TIMEOUT: Final = 60.0
"""Seconds for Chromium to start; it takes 0.3 s here, and much longer from a cold disk."""

CLOSE_TIMEOUT: Final = 3.0
"""Seconds for a graceful close before our processes are killed."""

ARGUMENTS: Final = (
    "--enable-webgl",
    "--disable-gpu",
    # The browser talks to one gateway: nothing of its own goes out.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-quic",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--mute-audio",
    # Pages tell their heap's size, by which they are replaced; without this it is rounded and minutes old.
    "--enable-precise-memory-info",
    # Pages are never in front of anybody; without these their timers and frames are slowed down.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


def launch_arguments(host: str, port: int) -> list[str]:
    """Chromium's arguments for a browser that can reach ``host:port`` on loopback and nothing else."""
    rules = f"MAP {host}:{port} 127.0.0.1:{port}, MAP * ~NOTFOUND"
    arguments = [*ARGUMENTS, f"--host-resolver-rules={rules}"]
    size = shared_memory.size()
    if size is not None and size < shared_memory.SMALL:
        arguments.append("--disable-dev-shm-usage")
    return arguments


class BrowserGoneError(BrowserError):
    """The browser ended while it was needed. A new one may well work."""


class Browser:
    """A Chromium and its Playwright driver, from :meth:`launch` to :meth:`aclose`.

    ``directory`` is private to this browser: profile and temporary files go there. ``on_process`` is told pid and start
    time (psutil's ``create_time``) of the driver and of Chromium, ``on_process_end`` the pid when it is gone.
    ``environment`` is added to that of the driver, which hands it on to Chromium.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str,
        port: int,
        chromium_path: str | None = None,
        install: bool = True,
        on_process: Callable[[int, float], None] | None = None,
        on_process_end: Callable[[int], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory
        self._host, self._port = host, port
        self._chromium_path, self._install = chromium_path, install
        self._on_process, self._on_process_end = on_process, on_process_end
        self._environment = dict(environment or {})
        self._playwright: Playwright | None = None
        self._browser: PlaywrightBrowser | None = None
        self._processes: list[OwnProcess] = []
        self._watched: dict[int, asyncio.AbstractEventLoop] = {}
        self._work = EndableScopes()
        self._owner = os.getpid()
        self.executable: str | None = None
        self.closed = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else "connected" if self.connected else "not connected"
        return f"<Browser {state}, pids={[p.pid for p in self._processes]}>"

    @property
    def connected(self) -> bool:
        """Whether Chromium and the driver run and are connected."""
        # Playwright learns of its driver's death only when it next speaks to it.
        if self._browser is None or not self._browser.is_connected():
            return False
        return all(process.find() is not None for process in self._processes)

    @property
    def processes(self) -> tuple[OwnProcess, ...]:
        """The driver and Chromium's main process, while they run."""
        return tuple(self._processes)

    async def launch(self) -> None:
        """Start the driver and Chromium. Raises ``BrowserError``; on failure and cancellation nothing stays."""
        try:
            await self._launch()
        except BaseException as error:
            await finish(self.aclose())
            if isinstance(error, (BrowserError, asyncio.CancelledError)) or not isinstance(error, Exception):
                raise
            problem = f"Chromium ({self.executable or 'not found yet'}) did not start: {_first_lines(error)}"
            raise BrowserError(problem, remedy=f"Another Chromium may help: {manual_commands()[0]}") from error

    async def _launch(self) -> None:
        try:
            import playwright.async_api  # noqa: F401 - the environment is prepared before it is used
        except ImportError as error:
            raise BrowserError(
                "Playwright is not installed", remedy=f"Run: {sys.executable} -m pip install playwright"
            ) from error
        await to_thread(self._directory.mkdir, parents=True, exist_ok=True)
        with driver_environment({**self._environment, "TMPDIR": str(self._directory)}):
            # Cancelled half-way, Playwright would leave its driver running with nobody to stop it.
            await finish(self._start_driver())
        if self._playwright is None:
            raise AssertionError("the driver either started or raised")
        chromium = self._playwright.chromium
        self.executable = await find_chromium(self._chromium_path, chromium.executable_path, install=self._install)
        self._browser = await self._launch_chromium()
        # Unlike the launch itself, what is asked here has no time limit of its own.
        async with asyncio.timeout(LAUNCH_TIMEOUT):
            await self._record_processes()
        logger.debug("Chromium %s from %s", self._browser.version, self.executable)

    async def _start_driver(self) -> None:
        from playwright.async_api import async_playwright

        try:
            async with asyncio.timeout(LAUNCH_TIMEOUT):
                self._playwright = await async_playwright().start()
        finally:
            # One that failed to start, or was too slow, may run all the same.
            self._record_driver()

    async def _launch_chromium(self) -> PlaywrightBrowser:
        """Launch with Chromium's sandbox, except for root (Chromium refuses) and where the kernel permits none."""
        if is_root():
            logger.info("running as root: Chromium has no sandbox then")
        else:
            try:
                return await self._launch_with(sandbox=True)
            except Exception as error:
                if "sandbox" not in str(error).lower():
                    raise
                logger.warning("Chromium's sandbox is not permitted here; running without it")
        return await self._launch_with(sandbox=False)

    async def _launch_with(self, *, sandbox: bool) -> PlaywrightBrowser:
        if self._playwright is None:
            raise BrowserError("the browser was closed while it started")
        return await self._playwright.chromium.launch(
            headless=True,
            executable_path=self.executable,
            args=launch_arguments(self._host, self._port),
            chromium_sandbox=sandbox,
            timeout=LAUNCH_TIMEOUT * 1000,
            # Ctrl-C is for the program that uses this library; it closes the browser in its own time.
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    async def _record_processes(self) -> None:
        pid = next((p["id"] for p in await self.process_info() if p.get("type") == "browser"), None)
        if pid is None:
            raise BrowserError("Chromium does not tell its process id")
        self._record(pid)

    def _record_driver(self) -> None:
        """Know the driver before it starts anything: the child of ours whose temporary folder is this browser's."""
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.environ().get("TMPDIR") == str(self._directory):
                    self._record(child.pid)

    def _record(self, pid: int) -> None:
        process = OwnProcess.of(pid)
        if process is not None:
            self._processes.append(process)
            self._watch(process)
            if self._on_process is not None:
                self._on_process(process.pid, process.start_time)

    def work(self) -> AbstractAsyncContextManager[None]:
        """Around work on this browser's pages: it raises BrowserGoneError as soon as a process of the browser ends.

        Playwright itself waits for ever where its driver was killed, and as long as its limits where Chromium was.
        """
        return self._work.enter()

    def end_work(self) -> None:
        """The browser is gone, or is about to be closed."""
        self._work.end(lambda: BrowserGoneError("the browser ended"))

    def _watch(self, process: OwnProcess) -> None:
        """Notice the process's end in the event loop, where the system tells."""
        loop, descriptor = asyncio.get_running_loop(), process_end.open_end(process.pid)
        if descriptor is None:
            return

        def ended() -> None:
            self._unwatch(descriptor)
            self.end_work()

        loop.add_reader(descriptor, ended)
        self._watched[descriptor] = loop
        if process.find() is None:
            ended()

    def _unwatch(self, descriptor: int) -> None:
        loop = self._watched.pop(descriptor, None)
        if loop is not None:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def process_info(self) -> list[dict[str, Any]]:
        """Chromium's own list of its processes: dictionaries with ``type``, ``id`` (pid) and ``cpuTime`` (seconds).

        The command is ``SystemInfo.getProcessInfo`` of the DevTools protocol. Raises Playwright's errors.
        """
        if self._browser is None:
            return []
        session = await self._browser.new_browser_cdp_session()
        try:
            answer = await session.send("SystemInfo.getProcessInfo")
        finally:
            await session.detach()
        found: list[dict[str, Any]] = answer["processInfo"]
        return found

    async def overhead(self) -> int:
        """Bytes that Chromium's processes but for those of the pages hold for themselves; 0 if closed.

        Raises Playwright's errors.
        """
        if not self.connected:
            return 0
        return sum(_memory(each["id"]) for each in await self.process_info() if each.get("type") != "renderer")

    async def new_context(self) -> BrowserContext:
        """A context of its own: no storage, cache or workers shared with others, no downloads.

        Raises ``BrowserGoneError`` if the browser is gone.
        """
        from playwright.async_api import Error

        if self._browser is None or not self.connected:
            raise BrowserGoneError("the browser is not running")
        try:
            return await self._browser.new_context(service_workers="block", accept_downloads=False)
        except Error as error:
            raise BrowserGoneError(f"the browser ended: {_first_lines(error)}") from error

    async def aclose(self) -> None:
        """Close gracefully within seconds, then kill what is left of our processes. Idempotent; never raises."""
        self.closed = True
        self.end_work()
        for descriptor in tuple(self._watched):
            self._unwatch(descriptor)
        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        try:
            if browser is not None:
                await _bounded(browser.close(), "closing Chromium")
            if playwright is not None:
                await _bounded(playwright.stop(), "stopping the driver")
        finally:
            # To its end: a cancelled close must not leave processes behind. In a thread: it polls and deletes files.
            await in_thread(self.kill)

    def kill(self) -> None:
        """Kill our processes now and remove their files. For exit handlers: synchronous, never raises.

        Does nothing in a fork of the process that started them.
        """
        if os.getpid() != self._owner:
            return
        self.closed = True
        processes, self._processes = self._processes, []
        kill_trees(processes)
        shutil.rmtree(self._directory, ignore_errors=True)
        for process in processes:
            if self._on_process_end is not None:
                try:
                    self._on_process_end(process.pid)
                except ServerStartError as error:
                    logger.warning("process %d ended, and the watchdog cannot be told: %s", process.pid, error)


async def _bounded(work: Any, what: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await work
    except TimeoutError:
        logger.warning("%s took longer than %.0f s", what, CLOSE_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - Playwright's errors here all mean that it is gone already
        logger.debug("%s: %s", what, _first_lines(error))


def _first_lines(error: BaseException, count: int = 6) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:count]) or type(error).__name__


def _memory(pid: int) -> int:
    """What is the process's own: files that it maps are shared with any other Chromium."""
    try:
        found = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(found.rss - getattr(found, "shared", 0))
