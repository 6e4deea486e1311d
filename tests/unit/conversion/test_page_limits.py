"""When a page is replaced, and how its memory is followed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from discomfort.conversion.browser import page_limits
from discomfort.conversion.browser.page import FrontEndPage
from discomfort.conversion.browser.page_limits import worn
from discomfort.conversion.browser.session import BrowserSession
from discomfort.exceptions import BrowserError


class Session:
    """A page's DevTools session: a heap of the given sizes, one after each collection."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)
        self.collected = 0

    async def send(self, command: str) -> dict[str, Any]:
        """One command."""
        if command == "HeapProfiler.collectGarbage":
            self.collected += 1
            return {}
        assert command == "Runtime.getHeapUsage"
        return {"usedSize": self.sizes.pop(0), "totalSize": 0}


class Tab:
    """A page whose events nobody sends."""

    def on(self, event: str, handler: object) -> None:
        """Subscribe."""


def page(*sizes: int) -> FrontEndPage:
    """A page with a heap of the given sizes."""
    return FrontEndPage("1", cast(Any, None), cast(Any, Tab()), cast(Any, Session(*sizes)))


async def test_growth_is_that_of_what_is_in_use() -> None:
    """Measured after a collection, from the least ever: the first workflow may have been the largest."""
    made = page(70, 40, 75, 60)
    seen = []
    for _ in range(4):
        await made.collect_garbage()
        seen.append(made.growth)

    assert seen == [0, 0, 35, 20]


async def test_page_that_keeps_memory_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A custom node's leak ends with the page."""
    monkeypatch.setattr(page_limits, "MAX_GROWTH", 100)
    made = page(40, 139, 140)
    for expected in (False, False, True):
        await made.collect_garbage()
        assert worn(made) is expected


@pytest.mark.parametrize(("name", "limit"), [("uses", "MAX_USES"), ("heap", "MAX_HEAP")])
def test_limits_of_a_page(name: str, limit: str) -> None:
    """Conversions and garbage have limits of their own."""
    made = page()
    setattr(made, name, getattr(page_limits, limit) - 1)
    assert not worn(made)
    setattr(made, name, getattr(page_limits, limit))
    assert worn(made)


class Browser:
    """A browser whose processes have the given sizes, one after the other."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)

    async def overhead(self) -> int:
        """What the processes apart from the pages hold."""
        return self.sizes.pop(0)


@pytest.mark.parametrize("others", ["none", "on a warm page", "on a fresh page"])
async def test_browser_that_keeps_memory_is_replaced(monkeypatch: pytest.MonkeyPatch, others: str) -> None:
    """Measured from the least ever, and not while another conversion is under way."""
    monkeypatch.setattr("discomfort.conversion.browser.session.MAX_OVERHEAD_GROWTH", 100)
    engine = BrowserSession(cast(Any, None), cast(Any, None), lambda page: False)
    engine.browser = cast(Any, Browser(90, 50, 149, 150))
    made = page()
    engine.pool._leased.update({made, page()} if others == "on a warm page" else {made})
    engine._isolated = int(others == "on a fresh page")
    restarted = []

    async def restart(seen: int) -> None:
        restarted.append(seen)

    monkeypatch.setattr(engine, "_restart", restart)
    counts = []
    for _ in range(4):
        await engine._renew(made)
        counts.append(len(restarted))

    assert counts == [0, 0, 0, int(others == "none")]


async def test_new_browser_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Is told in the log: the conversion before it has its prompt, and the next one starts a browser itself."""
    monkeypatch.setattr("discomfort.conversion.browser.session.MAX_OVERHEAD_GROWTH", 0)
    engine = BrowserSession(cast(Any, None), cast(Any, None), lambda page: False)
    engine.browser = cast(Any, Browser(1))
    made = page()
    engine.pool._leased.add(made)

    async def restart(seen: int) -> None:
        raise BrowserError("no memory")

    monkeypatch.setattr(engine, "_restart", restart)
    await engine._renew(made)

    assert "no memory" in caplog.text


async def test_conversion_on_a_fresh_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """From before it looks for the browser until its page is closed, also where it fails."""
    engine = BrowserSession(cast(Any, None), cast(Any, None), lambda page: False)
    seen = []

    async def ensure_running() -> None:
        seen.append(engine._isolated)
        raise BrowserError("there is none")

    monkeypatch.setattr(engine, "ensure_running", ensure_running)
    with pytest.raises(BrowserError):
        await engine.on_fresh_page("{}")

    assert [*seen, engine._isolated] == [1, 0]
