"""The pool's bookkeeping, on pages that are only pretended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from discomfort.conversion.browser.page_pool import PagePool
from discomfort.exceptions import BrowserError, ConversionError, StateError


class FakePage:
    """A page that can be closed, and that counts its uses."""

    def __init__(self) -> None:
        self.alive = True
        self.uses = 0
        self.closed = False

    async def aclose(self) -> None:
        """Be closed."""
        self.alive = False
        self.closed = True


class Loader:
    """Loads pages when it is allowed to."""

    def __init__(self) -> None:
        self.pages: list[FakePage] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.loads = 0

    async def __call__(self) -> Any:
        self.loads += 1
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.pages.append(FakePage())
        return self.pages[-1]


@pytest.fixture
def loader() -> Loader:
    """Gives pages at once."""
    return Loader()


@pytest.fixture
async def make(loader: Loader) -> AsyncIterator[Callable[..., PagePool]]:
    """Makes pools and closes them."""
    made: list[PagePool] = []

    def build(size: int = 1, worn: Callable[[Any], bool] = lambda page: False) -> PagePool:
        made.append(PagePool(loader, size=size, worn=worn))
        made[-1].open()
        return made[-1]

    yield build
    for pool in made:
        await pool.aclose()
    assert all(page.closed for page in loader.pages)


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_lease_at_a_time(make: Callable[..., PagePool], loader: Loader) -> None:
    """Those who wait get the page in the order of their arrival."""
    pool = make()
    page = await pool.lease()
    order: list[int] = []

    async def user(number: int) -> None:
        leased = await pool.lease()
        order.append(number)
        assert leased is page
        pool.give_back(leased, sound=True)

    users = [asyncio.create_task(user(i)) for i in range(5)]
    await settle()
    assert order == []
    pool.give_back(page, sound=True)
    await asyncio.gather(*users)

    assert order == [0, 1, 2, 3, 4]
    assert loader.loads == 1


async def test_unsound_pages_are_replaced(make: Callable[..., PagePool], loader: Loader) -> None:
    """A page given back as unsound is closed; the next lease gets another."""
    pool = make()
    first = await pool.lease()
    pool.give_back(first, sound=False)

    second = await pool.lease()

    assert second is not first
    assert loader.pages[0].closed
    pool.give_back(second, sound=True)


async def test_dead_idle_pages_are_never_leased(make: Callable[..., PagePool], loader: Loader) -> None:
    """A page that crashed while nobody used it is replaced."""
    pool = make()
    page = await pool.lease()
    pool.give_back(page, sound=True)
    loader.pages[0].alive = False

    leased = await pool.lease()

    assert leased is loader.pages[1]
    pool.give_back(leased, sound=True)


async def test_worn_page_serves_until_its_successor_is_there(make: Callable[..., PagePool], loader: Loader) -> None:
    """Recycling costs nobody a wait: the old page is closed only when the new one is ready."""
    pool = make(worn=lambda page: page.uses >= 1)
    old = await pool.lease()
    old.uses = 1
    loader.gate.clear()
    pool.give_back(old, sound=True)
    await settle()

    again = await pool.lease()
    assert again is old
    pool.give_back(again, sound=True)
    loader.gate.set()
    await settle()

    assert loader.pages[0].closed
    new = await pool.lease()
    assert new is loader.pages[1]
    pool.give_back(new, sound=True)
    assert loader.loads == 2


async def test_worn_page_in_use_is_closed_when_given_back(make: Callable[..., PagePool], loader: Loader) -> None:
    """A successor that arrives during the old page's last lease does not disturb it."""
    pool = make(worn=lambda page: page.uses >= 1)
    old = await pool.lease()
    old.uses = 1
    loader.gate.clear()
    pool.give_back(old, sound=True)
    again = await pool.lease()
    loader.gate.set()
    await settle()
    assert not loader.pages[0].closed

    pool.give_back(again, sound=True)
    await settle()

    assert loader.pages[0].closed
    assert "idle=1 leased=0" in repr(pool)


async def test_failed_load_reaches_those_who_wait(make: Callable[..., PagePool], loader: Loader) -> None:
    """A load that fails is told to all who wait for it, and the next lease tries again."""
    loader.gate.clear()
    loader.errors = [ConversionError("no page")]
    pool = make()
    users = [asyncio.create_task(pool.lease()) for _ in range(2)]
    await settle()
    loader.gate.set()

    results = await asyncio.gather(*users, return_exceptions=True)

    assert [type(result) for result in results] == [ConversionError, ConversionError]
    # One object would collect the tracebacks of all who raise it.
    assert results[0] is not results[1]
    page = await pool.lease()
    pool.give_back(page, sound=True)


async def test_failed_load_is_no_matter_while_a_page_works(make: Callable[..., PagePool], loader: Loader) -> None:
    """Those who wait are served by the page that is left."""
    loader.errors = [ConversionError("no page")]
    pool = make(size=2)
    page = await pool.lease()
    waiting = asyncio.create_task(pool.lease())
    await settle()

    pool.give_back(page, sound=True)

    assert await waiting is not None
    pool.give_back(await waiting, sound=True)


async def test_cancelled_lease_loses_no_page(make: Callable[..., PagePool]) -> None:
    """A page handed to somebody who was cancelled in the same moment is free again."""
    pool = make()
    page = await pool.lease()
    waiting = asyncio.create_task(pool.lease())
    await settle()
    pool.give_back(page, sound=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert await asyncio.wait_for(pool.lease(), 1) is page
    pool.give_back(page, sound=True)


async def test_drain_replaces_all(make: Callable[..., PagePool], loader: Loader) -> None:
    """After a drain nobody gets a page of before, not even one that was being loaded."""
    pool = make(size=2)
    leased = await pool.lease()
    await settle()
    await pool.drain()
    assert all(page.closed for page in loader.pages[:2])
    pool.give_back(leased, sound=True)

    fresh = await pool.lease()

    assert fresh not in loader.pages[:2]
    pool.give_back(fresh, sound=True)


async def test_load_overtaken_by_a_drain_is_closed(make: Callable[..., PagePool], loader: Loader) -> None:
    """A page whose load ends after a drain is not used."""
    loader.gate.clear()
    pool = make()
    await settle()
    await pool.drain(refill=False)
    loader.gate.set()
    await settle()

    assert all(page.closed for page in loader.pages)


async def test_closed_pool_refuses(make: Callable[..., PagePool], loader: Loader) -> None:
    """Closing ends waits and closes the pages that are given back later; closing twice is nothing."""
    pool = make()
    page = await pool.lease()
    waiting = asyncio.create_task(pool.lease())
    await settle()
    await pool.aclose()
    await pool.aclose()
    pool.give_back(page, sound=True)
    await settle()

    with pytest.raises(StateError, match="closed"):
        await waiting
    with pytest.raises(StateError, match="closed"):
        await pool.lease()
    assert loader.pages[0].closed


async def test_closing_does_not_drop_a_task_from_its_group(loader: Loader) -> None:
    """A cancelled child would end a TaskGroup without a word; this one is told."""
    loader.gate.clear()
    pool = PagePool(loader, size=1)
    pool.open()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.lease())
            await settle()
            await pool.aclose()

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert [type(error) for error in caught.value.exceptions] == [StateError]


@pytest.mark.parametrize("error", [TypeError("status"), OSError("page.js"), RuntimeError("anything")])
async def test_load_that_fails_in_any_way(make: Callable[..., PagePool], loader: Loader, error: Exception) -> None:
    """Whoever waits is told, as a ConversionError; nobody waits for a load that is no more."""
    loader.errors = [error]
    pool = make()
    with pytest.raises(ConversionError, match=str(error)):
        await pool.lease()
    assert await pool.lease()


async def test_waiters_are_failed_or_served_after_a_drain(make: Callable[..., PagePool], loader: Loader) -> None:
    """A restart drains: who waits gets a page of the new browser, or is told that there is none."""
    loader.gate.clear()
    pool = make()
    served = asyncio.create_task(pool.lease())
    await settle()
    await pool.drain(refill=False)
    assert not served.done()
    loader.gate.set()
    pool.open()
    assert await served

    loader.gate.clear()
    failed = [asyncio.create_task(pool.lease()) for _ in range(2)]
    await settle()
    await pool.drain(refill=False)
    pool.fail_waiting(BrowserError("no space left"))
    errors = await asyncio.gather(*failed, return_exceptions=True)
    assert [str(each) for each in errors] == ["no space left"] * 2
    assert errors[0] is not errors[1]
    loader.gate.set()
