"""The bridge between the loop of a test and the connector's own: who ends a call, and what its caller gets."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from discomfort._system.loop_thread import LoopThread
from discomfort.exceptions import StateError
from discomfort.sync import SyncConnector
from discomfort.testing.bridge import AsyncConnector


class Server:
    """Answers never; says when a call began, and when it has let go."""

    def __init__(self) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()

    async def health(self) -> dict[str, str]:
        """Wait until cancelled."""
        self.began.set()
        try:
            return await asyncio.Future()
        finally:
            await asyncio.sleep(0)
            self.let_go.set()


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """The connector's thread, closed at the end."""
    made = LoopThread("discomfort-test")
    yield made
    made.close()


@pytest.fixture
def server() -> Server:
    """What the connector asks."""
    return Server()


@pytest.fixture
def connector(thread: LoopThread, server: Server) -> AsyncConnector:
    """A connector for this loop whose work is done in the thread."""
    return AsyncConnector(cast(SyncConnector, SimpleNamespace(_thread=thread, connector=server)))


async def test_shutdown_during_a_call(connector: AsyncConnector, server: Server, thread: LoopThread) -> None:
    """Its caller, who cancelled nothing, gets StateError and no CancelledError."""
    call = asyncio.create_task(connector.health())
    await asyncio.to_thread(server.began.wait)
    await asyncio.to_thread(thread.close)
    with pytest.raises(StateError, match="shut down during the call"):
        await call
    assert server.let_go.is_set()


async def test_caller_that_cancels(connector: AsyncConnector, server: Server) -> None:
    """It gets its own CancelledError, once the work has let go."""
    call = asyncio.create_task(connector.health())
    await asyncio.to_thread(server.began.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert server.let_go.is_set()


async def test_call_after_the_shutdown(connector: AsyncConnector, server: Server, thread: LoopThread) -> None:
    """StateError, and the coroutine is closed unbegun."""
    thread.close()
    made: list[Any] = []
    health = server.health

    def remembered() -> Any:
        made.append(health())
        return made[0]

    server.health = remembered  # type: ignore[method-assign]
    with pytest.raises(StateError, match="shut down"):
        await connector.health()
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED
    assert not server.began.is_set()
