"""One Chromium under Playwright: launch, contexts, memory use, and a close that leaves no process.

The only module that imports Playwright, and only when a browser is launched.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import psutil

from discomfort._system import process_end, shared_memory
from discomfort._system.concurrency import EndableScopes, finish, in_thread, retrieve, to_thread
from discomfort._system.process_tree import OwnProcess, kill_trees
from discomfort._system.removal import remove_tree
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

logger: logging.Logger = logging.getLogger("discomfort.conversion")

LAUNCH_TIMEOUT: Final = 60.0
"""Seconds for Chromium to start; it takes 0.3 s with a warm cache, and much longer from a cold disk."""

CLOSE_TIMEOUT: Final = 3.0
"""Seconds for a graceful close before the processes are killed."""

ARGUMENTS: Final = (
    # 3D viewers need WebGL to make their images; without the GPU, Chromium renders it in software. The GPU's memory
    # belongs to ComfyUI's models.
    "--enable-webgl",
    "--disable-gpu",
    # The browser talks to one gateway only: Chromium's own services must not send anything.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-quic",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--mute-audio",
    # Pages are replaced by the size of their heap, which is otherwise rounded and minutes old.
    "--enable-precise-memory-info",
    # No page is ever in the foreground; without these its timers and frames are throttled.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


DISABLED_FEATURES: Final = (
    # Pages of the address bar, which nobody sees: since Chromium 156 they cost more than half of a launch's processor
    # time and a process of their own.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    # Chromium obeys only the last --disable-features. What follows are those of Playwright's that matter here: the
    # gateway speaks plain HTTP, and no service of the browser's own may start.
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "PreconnectToSearch",
    "Translate",
    "PaintHolding",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
)


def launch_arguments(host: str, port: int) -> list[str]:
    """Chromium's arguments for a browser that can reach ``host:port`` on loopback and nothing else."""
    # The last rule makes every other name unresolvable, IP addresses included, for pages and for Chromium itself.
    rules = f"MAP {host}:{port} 127.0.0.1:{port}, MAP * ~NOTFOUND"
    features = f"--disable-features={','.join(DISABLED_FEATURES)}"
    arguments = [*ARGUMENTS, features, f"--host-resolver-rules={rules}"]
    size = shared_memory.size()
    if size is not None and size < shared_memory.SMALL:
        arguments.append("--disable-dev-shm-usage")
    return arguments


class BrowserGoneError(BrowserError):
    """The browser ended while it was needed. A new one may work."""


class Browser:
    """A Chromium and its Playwright driver, from :meth:`launch` to :meth:`aclose`.

    ``directory`` is private to this browser and holds its profile and temporary files. ``on_process`` is called with
    pid and start time (psutil's ``create_time``) of the driver and of Chromium, ``on_process_end`` with the pid once it
    has ended. ``environment`` is added to that of the driver, which passes it on to Chromium.
    """

    closed: bool

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
        # Playwright notices the death of its driver only at its next message, so the processes are checked as well.
        if self._browser is None or not self._browser.is_connected():
            return False
        return all(process.find() is not None for process in self._processes)

    @property
    def processes(self) -> tuple[OwnProcess, ...]:
        """The driver and Chromium's main process, while they run."""
        return tuple(self._processes)

    async def launch(self) -> None:
        """Start the driver and Chromium. Raises ``BrowserError``; on failure and cancellation nothing keeps running."""
        try:
            await self._launch()
        except BaseException as error:
            await finish(self.aclose())
            if isinstance(error, (BrowserError, asyncio.CancelledError)) or not isinstance(error, Exception):
                raise
            problem = f"Chromium ({self.executable or 'not found yet'}) did not start: {_first_lines(error)}"
            raise BrowserError(
                problem, remedy=f"Installing another Chromium may help: {manual_commands()[0]}"
            ) from error

    async def _launch(self) -> None:
        try:
            import playwright.async_api  # noqa: F401 - the environment is prepared before it is used
        except ImportError as error:
            raise BrowserError(
                "Playwright is not installed", remedy=f"Run: {sys.executable} -m pip install playwright"
            ) from error
        await to_thread(self._directory.mkdir, parents=True, exist_ok=True)
        with driver_environment({**self._environment, "TMPDIR": str(self._directory)}):
            # If cancelled halfway, Playwright leaves its driver running and keeps no handle to stop it.
            await finish(self._start_driver())
        if self._playwright is None:
            raise AssertionError("the driver either started or raised")
        chromium = self._playwright.chromium
        self.executable = await find_chromium(self._chromium_path, chromium.executable_path, install=self._install)
        self._browser = await self._launch_chromium()
        # Unlike the launch itself, DevTools commands have no time limit of their own.
        async with asyncio.timeout(LAUNCH_TIMEOUT):
            await self._record_processes()
        logger.debug("Chromium %s from %s", self._browser.version, self.executable)

    async def _start_driver(self) -> None:
        from playwright.async_api import async_playwright

        try:
            async with asyncio.timeout(LAUNCH_TIMEOUT):
                self._playwright = await async_playwright().start()
        finally:
            # In any case: a driver that failed or was too slow may be running nevertheless, and must be killed later.
            self._record_driver()

    async def _launch_chromium(self) -> PlaywrightBrowser:
        """Launch with Chromium's sandbox, except for root (Chromium refuses) and where the kernel permits none."""
        if is_root():
            logger.info("running as root: Chromium is started with --no-sandbox, since it has no sandbox for root")
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
            # Playwright would close the browser on a signal by itself. Signals are for the program that uses this
            # library, which closes the browser after its runs.
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    async def _record_processes(self) -> None:
        pid = next((p["id"] for p in await self.process_info() if p.get("type") == "browser"), None)
        if pid is None:
            raise BrowserError("Chromium did not report its process id")
        self._record(pid)

    def _record_driver(self) -> None:
        """Record the driver before it starts anything: our child process whose TMPDIR is this browser's folder."""
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
        """Wraps work on this browser's pages: it raises BrowserGoneError as soon as a process of the browser ends.

        Playwright itself waits for ever if its driver was killed, and until its timeouts if Chromium was.
        """
        return self._work.enter()

    def end_work(self) -> None:
        """Make all work raise BrowserGoneError: the browser is gone, or about to be closed."""
        self._work.end(lambda: BrowserGoneError("the browser ended"))

    def _watch(self, process: OwnProcess) -> None:
        """Notice the process's exit in the event loop, if the system reports it."""
        loop, descriptor = asyncio.get_running_loop(), process_end.open_end(process.pid)
        if descriptor is None:
            return

        def ended() -> None:
            self._unwatch(descriptor)
            self.end_work()

        loop.add_reader(descriptor, ended)
        self._watched[descriptor] = loop
        # It may have ended before pidfd_open(), which would then have opened whatever has that pid now.
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
        """Private memory in bytes of Chromium's processes other than those of pages; 0 if closed.

        Raises Playwright's errors.
        """
        if not self.connected:
            return 0
        return sum(_memory(each["id"]) for each in await self.process_info() if each.get("type") != "renderer")

    async def new_context(self) -> BrowserContext:
        """A new context: no storage, cache or workers shared with others, no downloads.

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
        """Close gracefully within seconds, then kill the processes that are left. Idempotent; never raises."""
        self.closed = True
        self.end_work()
        # The exits that follow are expected. The descriptors go with the loop that watches them.
        for descriptor in tuple(self._watched):
            self._unwatch(descriptor)
        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        stopping: asyncio.Future[None] | None = None
        try:
            if browser is not None:
                await _bounded(browser.close(), "closing Chromium")
            if playwright is not None:
                stopping = asyncio.ensure_future(playwright.stop())
                stopping.add_done_callback(retrieve)
                await _bounded(asyncio.shield(stopping), "stopping the driver")
        finally:
            # Finished even if cancelled, so that no process is left. In a thread, because it polls and deletes files.
            await in_thread(self.kill)
            if stopping is not None and not stopping.done():
                # Now the driver has ended, but asyncio hears of it a moment later, from a thread. A program that closes
                # its event loop before that gets warnings about a process that is still running.
                await _bounded(stopping, "hearing of the driver's end")

    def kill(self) -> None:
        """Kill the processes now and remove their files. For exit handlers: synchronous, never raises.

        Does nothing in a fork of the process that started them.
        """
        if os.getpid() != self._owner:
            return
        self.closed = True
        processes, self._processes = self._processes, []
        # Before the folder: a Chromium that still runs would write its profile again.
        kill_trees(processes)
        remove_tree(self._directory)
        for process in processes:
            if self._on_process_end is not None:
                try:
                    self._on_process_end(process.pid)
                except ServerStartError as error:
                    logger.warning("process %d ended, but the watchdog could not be informed: %s", process.pid, error)


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
    """Private memory in bytes: mapped files are shared with other Chromium processes and do not count."""
    try:
        found = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(found.rss - getattr(found, "shared", 0))
