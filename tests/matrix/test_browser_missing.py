"""No browser, one that may not, one that never gets there, and one that does not go."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import picture_workflow, show_prompt, texts_of
from faults.traces import Trace
from matrix import children
from matrix.conftest import THROUGH_THE_BROWSER
from matrix.test_browser_faults import chromiums, main_process
from waiting import until

from discomfort import ComfyConnector
from discomfort.conversion.browser import chromium
from discomfort.conversion.browser.page import FrontEndPage
from discomfort.exceptions import BrowserError, ConversionTimeout, SelfTestError

pytestmark = pytest.mark.browser
CONDITIONS = children.conditions_can_be_set()


@pytest.mark.parametrize("stopped", [False, True], ids=["page", "process"])
async def test_browser_hangs_on_close(emulator: EngineUnderTest, trace: Trace, stopped: bool) -> None:
    """Its page runs an endless script, or the whole process is stopped: killed within the shutdown's bound."""
    connector = await ComfyConnector.create(**{**emulator.settings, **THROUGH_THE_BROWSER})
    assert connector._parts.converter is not None
    await connector._parts.converter.wait_page()
    page = connector._parts.converter._engine.pool._idle[0]
    loop = asyncio.ensure_future(page._page.evaluate("() => { for (;;) {} }"))
    await asyncio.sleep(0)
    if stopped:
        main_process(connector).suspend()
    trace.record()
    async with asyncio.timeout(60):
        await connector.kill_api()
    assert trace.left() == []
    assert chromiums() == []
    async with asyncio.timeout(10):
        await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize("when", ["eager", "lazy"])
async def test_browser_missing_altogether(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, when: str
) -> None:
    """None is configured, none is installed, none can be fetched: the error has a command to run.

    Eager, the start fails; lazy, prompts run and conversions fail.
    """
    monkeypatch.setattr(chromium, "system_chromium", lambda: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    # Nobody listens there: the download fails at once.
    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = {**emulator.settings, "browser": when}
    if when == "eager":
        with pytest.raises(BrowserError) as caught:
            async with asyncio.timeout(100):
                await ComfyConnector.create(**settings)
    else:
        async with await ComfyConnector.create(**settings) as connector:
            assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]
            with pytest.raises(BrowserError) as caught:
                async with asyncio.timeout(100):
                    await connector.get_prompt_from_workflow(picture_workflow())
            assert texts_of(await connector.run_workflow(show_prompt(2), False)) == ["2"]
    assert "playwright install" in caught.value.remedy


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_browser_without_permission_for_a_sandbox(emulator: EngineUnderTest, trace: Trace) -> None:
    """A user without privileges where none may have a sandbox: it runs without one, and says so."""
    child = await children.begin("convert", emulator.settings, prefix=children.NOBODY)
    told, err = await children.end(child)
    assert told["completed"] is True
    assert "--no-sandbox" in told["switches"]
    assert "sandbox is not permitted" in err
    assert await trace.settle() == []


@pytest.mark.skipif(not CONDITIONS, reason="this machine allows no namespaces")
async def test_browser_with_small_shared_memory(emulator: EngineUnderTest, trace: Trace) -> None:
    """With 64 KiB of /dev/shm Chromium is told to use files, and converts."""
    child = await children.begin("convert", emulator.settings, prefix=children.small_disk(Path("/dev/shm"), "64k"))
    told, _ = await children.end(child)
    assert told["completed"] is True
    assert "--disable-dev-shm-usage" in told["switches"]
    assert await trace.settle() == []


@pytest.mark.parametrize("page", ["silent", "endless"])
async def test_browser_never_ready(
    emulator: EngineUnderTest, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """A frontend that never gets there, quietly or in an endless loop: a timeout, after which prompts still run."""
    monkeypatch.setitem(FrontEndPage.open.__func__.__kwdefaults__, "timeout", 1.5)
    root = tmp_path / "frontend"
    root.mkdir()
    script = "<script>for (;;) {}</script>" if page == "endless" else "nothing here"
    (root / "index.html").write_text(f"<!doctype html><title>x</title><body>{script}")
    command = f"{emulator.settings['api_command_line']} {shlex.join(['--front-end-root', str(root)])}"
    settings = {**emulator.settings, "api_command_line": command}
    async with await ComfyConnector.create(**settings) as connector:
        with pytest.raises(ConversionTimeout) as caught:
            async with asyncio.timeout(100):
                await connector.get_prompt_from_workflow(picture_workflow())
        assert "not ready" in str(caught.value)
        assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]
    with pytest.raises(SelfTestError, match="not ready"):
        async with asyncio.timeout(100):
            await ComfyConnector.create(**{**settings, "browser": "eager"})


async def test_browser_killed_while_it_starts(emulator: EngineUnderTest, trace: Trace) -> None:
    """Chromium dies as soon as it is there, during the start: the start ends well or with its own error."""
    creating = asyncio.create_task(ComfyConnector.create(**{**emulator.settings, "browser": "eager"}))
    await until(chromiums)
    for process in chromiums():
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    async with asyncio.timeout(100):
        (end,) = await asyncio.gather(creating, return_exceptions=True)
    if isinstance(end, ComfyConnector):
        assert await end.get_prompt_from_workflow(picture_workflow())
        await end.kill_api()
    else:
        assert isinstance(end, BrowserError | SelfTestError), end
    assert ComfyConnector.current() is None
