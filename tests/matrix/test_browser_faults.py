"""The browser dies, crashes, hangs: conversions are tried again on a fresh page, in a fresh browser, and end.

One connector serves the module; each test leaves it with a browser that works.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio
from contract.engines import private_environment
from contract.graphs import picture_workflow, show_prompt, texts_of
from matrix.conftest import PORT, THROUGH_THE_BROWSER, prepared
from waiting import until

from discomfort import ComfyConnector
from discomfort.conversion.browser.session import BrowserSession
from discomfort.exceptions import ConversionTimeout

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
colours = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComfyConnector]:
    """A connector on the emulator, with a browser."""
    engine = prepared("emulator", tmp_path_factory.mktemp("browsing"), PORT + 400)
    with private_environment(tmp_path_factory.mktemp("browsing-state")):
        made = await ComfyConnector.launch(**{**engine.settings, **THROUGH_THE_BROWSER})
        yield made
        await made.kill_api()
        assert chromiums() == []


def chromiums() -> list[psutil.Process]:
    """Chromium's main processes below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any("--remote-debugging" in word for word in words) and not any(
            word.startswith("--type=") for word in words
        ):
            found.append(process)
    return found


def inner(connector: ComfyConnector) -> BrowserSession:
    """The engine behind its converter."""
    converter = connector._parts.converter
    assert converter is not None
    return converter._engine


def main_process(connector: ComfyConnector) -> psutil.Process:
    """Chromium's main process."""
    browser = inner(connector).browser
    assert browser is not None
    return psutil.Process(browser.processes[0].pid)


async def converts(connector: ComfyConnector) -> bool:
    """Whether a conversion that was never made before is right."""
    colour = next(colours)
    async with asyncio.timeout(100):
        prompt = await connector.get_prompt_from_workflow(picture_workflow(colour))
    return bool(prompt["1"]["inputs"]["color"] == colour)


async def leased(connector: ComfyConnector) -> Any:
    """The page that is at work, as soon as one is."""
    await until(lambda: inner(connector).pool._leased)
    return next(iter(inner(connector).pool._leased))


async def warm(connector: ComfyConnector) -> Any:
    """A loaded page that nobody uses."""
    assert connector._parts.converter is not None
    await connector._parts.converter.wait_page()
    return inner(connector).pool._idle[0]


def kill_renderers(browser: psutil.Process) -> None:
    """SIGKILL every renderer; those that end by themselves meanwhile do not matter."""
    for child in browser.children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                child.kill()
        except psutil.Error:
            continue


async def test_browser_killed_idle(browsing: ComfyConnector) -> None:
    """Another one is launched for the next conversion; the server is not touched."""
    old = main_process(browsing)
    old.kill()
    assert await converts(browsing)
    assert main_process(browsing).pid != old.pid
    assert len(chromiums()) == 1


async def test_browser_killed_in_a_conversion(browsing: ComfyConnector) -> None:
    """The conversions under way, three at once, fail over to the new one."""
    await warm(browsing)
    work = [asyncio.create_task(converts(browsing)) for _ in range(3)]
    await leased(browsing)
    main_process(browsing).kill()
    assert await asyncio.gather(*work) == [True] * 3
    assert len(chromiums()) == 1


async def test_browser_driver_killed(browsing: ComfyConnector) -> None:
    """Playwright's driver dies, and with it the way to the browser: both are replaced."""
    browser = inner(browsing).browser
    assert browser is not None
    psutil.Process(browser.processes[1].pid).kill()
    assert await converts(browsing)
    assert len(chromiums()) == 1


async def test_browser_page_crashed(browsing: ComfyConnector) -> None:
    """Every renderer is killed: pages are replaced, the browser stays."""
    await warm(browsing)
    browser = main_process(browsing)
    kill_renderers(browser)
    assert await converts(browsing)
    assert main_process(browsing).pid == browser.pid


async def test_browser_page_crashed_in_a_conversion(browsing: ComfyConnector) -> None:
    """A renderer dies under its work: the conversion is made again elsewhere."""
    await warm(browsing)
    work = asyncio.create_task(converts(browsing))
    await leased(browsing)
    kill_renderers(main_process(browsing))
    assert await work is True


async def test_browser_endless_script(browsing: ComfyConnector) -> None:
    """A script on the warm page never ends: the attempt does, the page goes, a fresh one converts."""
    page = await warm(browsing)
    loop = asyncio.ensure_future(page._page.evaluate("() => { for (;;) {} }"))
    assert await converts(browsing)
    async with asyncio.timeout(30):
        (end,) = await asyncio.gather(loop, return_exceptions=True)
    assert isinstance(end, Exception)
    assert page not in {*inner(browsing).pool._idle, *inner(browsing).pool._leased}


async def test_browser_every_attempt_too_slow(browsing: ComfyConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt ends in its time: a timeout that lists three attempts; then all is as before."""
    await warm(browsing)
    with monkeypatch.context() as patch:
        patch.setattr("discomfort.conversion.browser.session.attempt_budget", lambda _: 0.001)
        with pytest.raises(ConversionTimeout) as caught:
            async with asyncio.timeout(100):
                await browsing.get_prompt_from_workflow(picture_workflow(next(colours)))
    assert isinstance(caught.value, TimeoutError)
    assert len(caught.value.attempts) == 3
    assert await converts(browsing)
    assert len(chromiums()) == 1


async def test_browser_stopped(browsing: ComfyConnector) -> None:
    """SIGSTOP: it lives and does nothing. The conversion is made again on a new browser; the stopped one is ended."""
    await warm(browsing)
    browser = main_process(browsing)
    browser.suspend()
    async with asyncio.timeout(100):
        assert await converts(browsing)
    assert not browser.is_running()
    assert await converts(browsing)


async def test_browser_gone_the_server_stays(browsing: ComfyConnector) -> None:
    """Prompts need no browser: they run while it is dead."""
    browser = main_process(browsing)
    browser.kill()
    await asyncio.to_thread(browser.wait, 10)
    assert texts_of(await browsing.run_workflow(show_prompt(1), False)) == ["1"]
    assert await browsing._validate_resources() is False
    assert await converts(browsing)
    assert await browsing._validate_resources() is True
