"""A browser that is restarted while conversions wait for a page, on browsers and pages that are only pretended."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import pytest
from waiting import until

from discomfort._system.concurrency import EndableScopes
from discomfort.conversion.browser import session
from discomfort.conversion.browser.process import BrowserGoneError
from discomfort.conversion.browser.session import BrowserSession
from discomfort.exceptions import BrowserError


class Page:
    """A loaded page that nobody converts on."""

    uses = heap = growth = 0
    alive = True
    environment = browser = root = None

    async def aclose(self) -> None:
        """Close the page."""
        self.alive = False


class Machine:
    """Stands for the module's ``Browser`` and ``FrontEndPage``: launches, and pages that load when ``gate`` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.loading = 0
        self.launches: list[BrowserError | None] = []
        self.opened: list[Page] = []

    def browser(self, *_: Any, **__: Any) -> PretendedBrowser:
        """The next browser."""
        return PretendedBrowser(self)

    async def open(self, *_: Any, **__: Any) -> Page:
        """Load a page."""
        self.loading += 1
        try:
            await self.gate.wait()
        finally:
            self.loading -= 1
        self.opened.append(Page())
        return self.opened[-1]


class PretendedBrowser:
    """A browser that ends its work as the real one does."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._work = machine, EndableScopes()
        self.connected = True

    async def launch(self) -> None:
        """Start, or raise what the machine has in store."""
        error = self._machine.launches.pop(0) if self._machine.launches else None
        if error is not None:
            raise error

    def work(self) -> AbstractAsyncContextManager[None]:
        """Around work on the pages."""
        return self._work.enter()

    def end_work(self) -> None:
        """Fail that work."""
        self._work.end(lambda: BrowserGoneError("the browser ended"))

    async def aclose(self) -> None:
        """Close the browser; that takes a while, in which a load that was broken off comes to its end."""
        self.connected = False
        await until(lambda: not self._machine.loading)

    def kill(self) -> None:
        """Kill the browser."""
        self.connected = False


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Replaces browsers and pages."""
    made = Machine()
    monkeypatch.setattr(session, "Browser", made.browser)
    monkeypatch.setattr(session, "FrontEndPage", made)
    return made


@pytest.fixture
async def engine(machine: Machine, tmp_path: Any) -> Any:
    """A session that has started, with one page that is being loaded and two callers that wait for it."""

    class Gateway:
        """What a page needs to know."""

        port, origin, static_root = 1, "http://x", None
        server_lost = asyncio.Event()

        def cookies(self, name: str) -> dict[str, str]:
            """None."""
            return {}

    async def nothing() -> None:
        return None

    made = BrowserSession(cast(Any, Gateway()), nothing, lambda page: False, directory=tmp_path / "browser")
    await made.start()
    yield made
    await made.aclose()
    assert not any(page.alive for page in machine.opened)


async def test_who_waits_gets_a_page_of_the_next_browser(engine: BrowserSession, machine: Machine) -> None:
    """The load that the restart broke off fails nobody."""
    waiting = [asyncio.create_task(engine.pool.lease()) for _ in range(2)]
    await until(lambda: machine.loading and len(engine.pool._waiting) == 2)
    first = engine.browser

    await engine.restart()
    machine.gate.set()
    page = await waiting[0]
    engine.pool.give_back(page, sound=True)

    assert await waiting[1] is page
    assert page.browser is engine.browser is not first
    engine.pool.give_back(page, sound=True)


async def test_browser_that_ends_by_itself_fails_who_waits(engine: BrowserSession, machine: Machine) -> None:
    """Nobody restarts that one: those who wait are told, each by an error of its own."""
    waiting = [asyncio.create_task(engine.pool.lease()) for _ in range(2)]
    await until(lambda: machine.loading and len(engine.pool._waiting) == 2)
    cast(Any, engine.browser).end_work()
    errors = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in errors] == [BrowserGoneError, BrowserGoneError]
    assert errors[0] is not errors[1]


async def test_next_browser_that_does_not_start(engine: BrowserSession, machine: Machine) -> None:
    """All who wait learn why, with the remedy, each by an error of its own."""
    waiting = [asyncio.create_task(engine.pool.lease()) for _ in range(2)]
    await until(lambda: machine.loading and len(engine.pool._waiting) == 2)
    machine.launches = [BrowserError("no memory", remedy="Buy some")]
    with pytest.raises(BrowserError) as caught:
        await engine.restart()
    errors = await asyncio.gather(*waiting, return_exceptions=True)

    assert [str(error) for error in errors] == [str(caught.value)] * 2
    assert [cast(BrowserError, error).remedy for error in errors] == ["Buy some"] * 2
    assert len({id(error) for error in (caught.value, *errors)}) == 3
