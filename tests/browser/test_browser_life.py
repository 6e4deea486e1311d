"""The browser as a resource: it comes up once, survives its own death, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from browser.stub_server import StubServer, front_end_root
from contract.engines import SMALL_FRONTEND
from contract.graphs import picture_prompt, picture_workflow
from waiting import has_ended, until

from discomfort.conversion import Converter
from discomfort.exceptions import BrowserError, ConversionError, MissingFrontendError, StateError
from discomfort.testing.emulated import EmulatorServer

pytestmark = pytest.mark.browser

WORKFLOW = picture_workflow()
PROMPT = picture_prompt(prefix="contract")


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    """A server of this test's own."""
    stub = await StubServer().start()
    yield stub
    await stub.aclose()


class Watch:
    """Remembers the processes that are reported to it."""

    def __init__(self) -> None:
        self.started: dict[int, float] = {}
        self.ended: list[int] = []

    def begin(self, pid: int, start_time: float) -> None:
        """A process was started."""
        self.started[pid] = start_time

    def alive(self) -> list[int]:
        """Those of them that still run."""
        return [pid for pid, start in self.started.items() if _runs(pid, start)]


def _runs(pid: int, start_time: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == start_time and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def converter(server: StubServer, watch: Watch | None = None, **options: object) -> Converter:
    """A converter on the small frontend: what becomes of a browser does not depend on the page."""
    seen = watch or Watch()
    settings: dict[str, Any] = {"front_end_root": SMALL_FRONTEND, "install": False, **options}
    return Converter(server.url, on_process=seen.begin, on_process_end=seen.ended.append, **settings)


def leftovers(made: Converter) -> list[str]:
    """Descendants of this process that belong to a browser."""
    names = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append("" if has_ended(process) else process.name())
    return [name for name in names if "chrom" in name or "node" in name] + [
        str(path) for path in (made.private_directory,) if path.exists()
    ]


async def test_chromium_loads_no_pages_of_its_own(server: StubServer) -> None:
    """Those of its address bar would have a process of their own, which costs more than ours at a launch."""
    made = converter(server)
    assert await made.convert(WORKFLOW) == PROMPT
    lines = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    await made.aclose()
    assert any("--type=renderer" in line for line in lines)
    assert not any("--top-chrome-webui" in line for line in lines)


async def test_whole_life(server: StubServer) -> None:
    """Without a start the first conversion starts it; closing ends every process and removes every file."""
    watch = Watch()
    made = converter(server, watch)
    assert not made.healthy
    assert not made.private_directory.exists()

    assert await made.convert(WORKFLOW) == PROMPT

    assert made.healthy
    profile = [path.name for path in made.private_directory.rglob("*")]
    assert any("profile" in name for name in profile)
    assert len(watch.started) == 2
    assert all(_runs(pid, start) for pid, start in watch.started.items())
    await asyncio.gather(made.aclose(), made.aclose())
    assert watch.alive() == []
    assert sorted(watch.ended) == sorted(watch.started)
    assert leftovers(made) == []
    with pytest.raises(StateError):
        await made.convert(WORKFLOW)


async def test_starts_share_one_browser(server: StubServer) -> None:
    """Concurrent starts launch once."""
    watch = Watch()
    made = converter(server, watch)
    try:
        await asyncio.gather(made.start(), made.start(), made.wait_page())
        assert len(watch.started) == 2
    finally:
        await made.aclose()
    assert leftovers(made) == []


async def test_page_loads_before_the_server_is_ready(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of a server that is not ready; then a page is there without loading anew."""
    ready = asyncio.Event()
    made = converter(server, server_ready=ready, front_end_root=front_end_root())
    find, found = made._gateway._static_file, list[str]()

    def looked_for(path: str) -> Path | None:
        found.append(path)
        return find(path)

    monkeypatch.setattr(made._gateway, "_static_file", looked_for)
    try:
        await made.start()
        waiting = asyncio.create_task(made.wait_page())
        await until(lambda: len(found) >= 20)
        assert sum(server.requests.values()) == 0
        assert not waiting.done()
        ready.set()
        await waiting
        # Once for the page, once for its digest: the page was not loaded again.
        assert server.requests["GET", "object_info"] == 2
    finally:
        await made.aclose()


async def test_killed_browser_is_replaced(server: StubServer) -> None:
    """Chromium dies while idle, then during a conversion: both times the conversion is right."""
    watch = Watch()
    # On the small frontend the second conversion could end before Chromium does.
    made = converter(server, watch, front_end_root=front_end_root())
    try:
        await made.wait_page()
        os.kill(made._engine.browser.processes[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
        assert await made.convert(WORKFLOW) == PROMPT
        running = asyncio.create_task(made.convert(WORKFLOW))
        await until(lambda: bool(made._engine.pool._leased))
        os.kill(made._engine.browser.processes[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
        assert await running == PROMPT
        assert len(watch.alive()) == 2
    finally:
        await made.aclose()
    assert watch.alive() == []
    assert leftovers(made) == []


async def test_killed_driver_is_replaced(server: StubServer) -> None:
    """Playwright's driver dies; the next conversion starts another and the old Chromium is gone."""
    watch = Watch()
    made = converter(server, watch)
    try:
        await made.wait_page()
        os.kill(made._engine.browser.processes[1].pid, signal.SIGKILL)  # type: ignore[union-attr]
        assert await made.convert(WORKFLOW) == PROMPT
        assert len(watch.alive()) == 2
    finally:
        await made.aclose()
    assert leftovers(made) == []


async def test_kill_now(server: StubServer) -> None:
    """The synchronous end for exit handlers leaves nothing either, and a close afterwards is harmless."""
    watch = Watch()
    made = converter(server, watch)
    await made.wait_page()

    made.kill_now()
    made.kill_now()

    assert watch.alive() == []
    assert not made.private_directory.exists()
    await made.aclose()
    assert leftovers(made) == []


async def test_restart(server: StubServer) -> None:
    """A restart gives new processes; conversions go on."""
    watch = Watch()
    made = converter(server, watch)
    try:
        await made.wait_page()
        first = set(watch.started)
        await made.restart_browser()
        assert first.isdisjoint(watch.alive())
        assert await made.convert(WORKFLOW) == PROMPT
    finally:
        await made.aclose()


async def test_start_can_be_cancelled(server: StubServer) -> None:
    """A start that is cancelled at any moment leaves no process and no file, and can be repeated."""
    made = converter(server)
    try:
        for steps in (1, 5, 20, 80, 200):
            task = asyncio.create_task(made.start())
            for _ in range(steps):
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert made._engine.browser is None or made.healthy
    finally:
        await made.aclose()
    assert leftovers(made) == []


async def test_no_browser_at_all(server: StubServer, tmp_path: Path) -> None:
    """A program that is not a browser is an error that says so, with a remedy, and leaves nothing."""
    program = tmp_path / "chrome"
    program.write_text("#!/bin/sh\necho this is not a browser >&2\nexit 1\n")
    program.chmod(0o755)
    made = converter(server, chromium_path=str(program))

    with pytest.raises(BrowserError, match=str(program)) as caught:
        await made.start()

    assert caught.value.remedy
    await made.aclose()
    assert leftovers(made) == []


async def test_server_that_is_gone(server: StubServer) -> None:
    """Without a server there is no page and the error names the server; one that comes back is served again."""
    made = converter(server)
    port = server.port
    await server.aclose()
    try:
        with pytest.raises(ConversionError, match=server.url):
            await made.convert(WORKFLOW)
        await server.start(port)
        assert await made.convert(WORKFLOW) == PROMPT
        await server.aclose()
        with pytest.raises(ConversionError, match="stopped responding"):
            await made.attempt_isolated(WORKFLOW)
    finally:
        await made.aclose()


async def test_server_without_a_frontend(server: StubServer) -> None:
    """The first page says so: nobody waits until it is ready, and no other page or browser is tried."""
    made = Converter(server.url, install=False)
    try:
        for call in (made.convert, made.attempt_isolated):
            with pytest.raises(MissingFrontendError, match=r"no frontend .* GET / with an error status") as caught:
                await call(WORKFLOW)
            assert caught.value.attempts == ()
        server.static = SMALL_FRONTEND
        assert await made.convert(WORKFLOW) == PROMPT
    finally:
        await made.aclose()


async def test_emulator_without_a_frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page names the remedy, and the error repeats it without the page's markup."""
    monkeypatch.setattr("comfyui_emulator.http.app.find_front_end", lambda _: None)
    with EmulatorServer(tmp_path) as emulator:
        made = Converter(emulator.url, install=False)
        try:
            with pytest.raises(MissingFrontendError, match="503 Service Unavailable: No frontend This") as caught:
                await made.convert(WORKFLOW)
            assert "pip install comfyui-frontend-package" in str(caught.value)
        finally:
            await made.aclose()


# --- ended by somebody else ------------------------------------------------------------------------------------------


async def test_close_ends_conversions_at_once(server: StubServer) -> None:
    """Each of those that wait for the first page raises StateError: none is cancelled, which a TaskGroup would drop."""
    made = converter(server, server_ready=asyncio.Event())
    await made.start()
    calls = [made.convert(WORKFLOW), made.explain(WORKFLOW), made.attempt_isolated(WORKFLOW), made.wait_page()]
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    await made.aclose()
    assert [type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)] == [StateError] * 4
    assert leftovers(made) == []


async def test_close_during_a_restart(server: StubServer) -> None:
    """Nothing is launched after the end, wherever the restart stands; whoever asked for it is told."""
    made = converter(server)
    assert await made.convert(WORKFLOW) == PROMPT
    restart = asyncio.create_task(made.restart_browser())
    await until(made._engine._lifecycle.locked)
    await made.aclose()

    with pytest.raises(StateError):
        await restart
    assert leftovers(made) == []


async def test_restart_that_fails_tells_all(server: StubServer, tmp_path: Path) -> None:
    """Conversions that wait for a page of the next browser hear that there is none."""
    made = converter(server, server_ready=asyncio.Event())
    await made.start()
    waiting = [asyncio.create_task(made._engine.pool.lease()) for _ in range(3)]
    await until(lambda: len(made._engine.pool._waiting) == 3)
    made._engine._chromium_path = str(tmp_path / "no-chromium")

    with pytest.raises(BrowserError):
        await made.restart_browser()
    for task in waiting:
        with pytest.raises(BrowserError):
            await task
    await made.aclose()


@pytest.mark.parametrize("victim", ["chromium", "driver"])
async def test_killed_under_a_conversion(server: StubServer, victim: str) -> None:
    """The conversion that was waiting on it goes on in a new browser, without waiting for any time limit."""
    watch = Watch()
    made = converter(server, watch)
    assert await made.convert(WORKFLOW) == PROMPT
    names = {pid: psutil.Process(pid).name() for pid in watch.started}
    (pid,) = [pid for pid, name in names.items() if ("chrom" in name) == (victim == "chromium")]
    page = made._engine.pool._idle[0]
    gate = asyncio.Event()

    async def never(text: str, *, timeout: float) -> Any:
        gate.set()
        await asyncio.Event().wait()

    page.convert = never  # type: ignore[method-assign]
    conversion = asyncio.create_task(made.convert(WORKFLOW))
    await gate.wait()
    os.kill(pid, signal.SIGKILL)

    assert await conversion == PROMPT
    await made.aclose()
    assert watch.alive() == []


async def test_forked_child_touches_nothing(server: StubServer) -> None:
    """A fork has a copy of the converter, not its browser and folder."""
    watch = Watch()
    made = converter(server, watch)
    assert await made.convert(WORKFLOW) == PROMPT
    child = os.fork()
    if child == 0:
        try:
            made.kill_now()
        finally:
            os._exit(0)
    await asyncio.to_thread(os.waitpid, child, 0)

    assert len(watch.alive()) == 2
    assert made.private_directory.exists()
    assert await made.convert(WORKFLOW) == PROMPT
    await made.aclose()
