"""The driver that a browser starts: known however its start ends, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discomfort.conversion.browser import process
from discomfort.conversion.browser.process import Browser
from discomfort.exceptions import BrowserError, ServerStartError

Child = subprocess.Popen[bytes]


@pytest.fixture
def start_child() -> Iterator[Callable[[Path], Child]]:
    """Starts processes that run for ever, with the temporary folder of a browser; none outlives the test."""
    made: list[Child] = []

    def start(directory: Path) -> Child:
        command = [sys.executable, "-c", "import time; time.sleep(1000)"]
        made.append(subprocess.Popen(command, env={**os.environ, "TMPDIR": str(directory)}))
        return made[-1]

    yield start
    for child in made:
        child.kill()
        child.wait()


class Driver:
    """Stands for Playwright: starts a process, and then does what ``ending`` says."""

    def __init__(self, start: Callable[[], Child], ending: str) -> None:
        self._start, self._ending = start, ending
        self.started, self.go_on = asyncio.Event(), asyncio.Event()
        self.child: Child | None = None

    async def start(self) -> Any:
        """Start the driver; it never gets so far that it could be used."""
        self.child = self._start()
        self.started.set()
        if self._ending != "fails":
            await self.go_on.wait()
        raise OSError("no connection to the driver")


@pytest.mark.parametrize("ending", ["fails", "is too slow", "is cancelled"])
async def test_driver_of_a_start_without_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_child: Callable[[Path], Child], ending: str
) -> None:
    """It runs all the same: it is reported, killed, and reported as gone."""
    seen: list[int] = []
    gone: list[int] = []
    directory = tmp_path / "browser"
    driver = Driver(lambda: start_child(directory), ending)
    monkeypatch.setattr("playwright.async_api.async_playwright", lambda: driver)
    if ending == "is too slow":
        monkeypatch.setattr(process, "LAUNCH_TIMEOUT", 0.05)
    browser = Browser(
        directory, host="x", port=1, on_process=lambda pid, _: seen.append(pid), on_process_end=gone.append
    )
    launching = asyncio.create_task(browser.launch())
    await driver.started.wait()
    if ending == "is cancelled":
        launching.cancel()
        await asyncio.sleep(0)
        driver.go_on.set()
    with pytest.raises(asyncio.CancelledError if ending == "is cancelled" else BrowserError):
        await launching

    assert driver.child is not None
    assert seen == gone == [driver.child.pid]
    assert driver.child.poll() is not None
    assert browser.processes == ()
    assert not directory.exists()


async def test_kill_where_the_watchdog_is_gone(
    tmp_path: Path, start_child: Callable[[Path], Child], caplog: pytest.LogCaptureFixture
) -> None:
    """A watchdog that cannot be told stops nothing: every process is ended and reported, the folder removed."""
    told: list[int] = []

    def tell(pid: int) -> None:
        told.append(pid)
        raise ServerStartError("the watchdog died")

    directory = tmp_path / "browser"
    directory.mkdir()
    browser = Browser(directory, host="x", port=1, on_process_end=tell)
    children = [start_child(directory) for _ in range(2)]
    for child in children:
        browser._record(child.pid)
    await browser.aclose()

    assert told == [child.pid for child in children]
    assert all(child.poll() is not None for child in children)
    assert not directory.exists()
    assert caplog.text.count("the watchdog died") == 2


async def test_driver_that_had_to_be_killed(
    tmp_path: Path, start_child: Callable[[Path], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close ends when Playwright has heard of its driver's end, so that the event loop can be closed after it."""
    monkeypatch.setattr(process, "CLOSE_TIMEOUT", 0.05)
    killed, heard = threading.Event(), asyncio.Event()

    class Stopping:
        async def stop(self) -> None:
            await asyncio.to_thread(killed.wait)
            heard.set()

    browser = Browser(tmp_path / "browser", host="x", port=1, on_process_end=lambda _: killed.set())
    browser._record(start_child(tmp_path / "browser").pid)
    browser._playwright = Stopping()  # type: ignore[assignment]
    kill = browser.kill

    def killed_then_patient() -> None:
        kill()
        monkeypatch.setattr(process, "CLOSE_TIMEOUT", 60.0)

    monkeypatch.setattr(browser, "kill", killed_then_patient)
    await browser.aclose()

    assert heard.is_set()
