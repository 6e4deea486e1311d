"""Calls that the shutdown, or the loss of the server, ends."""

from __future__ import annotations

import asyncio

import pytest

from discomfort.connector.calls import Calls
from discomfort.exceptions import ServerDiedError, StateError


class Waiting:
    """A call that waits, inside or outside of the work that needs the server."""

    def __init__(self, calls: Calls, *, needs_server: bool = False, in_client: bool = False) -> None:
        self._calls, self._needs_server, self._in_client = calls, needs_server, in_client
        self.waits = asyncio.Event()
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with self._calls.open(lambda: StateError("shut down")) as call:
            call.in_client = self._in_client
            if self._needs_server:
                async with self._calls.server_needed():
                    await self._wait()
            else:
                await self._wait()

    async def _wait(self) -> None:
        self.waits.set()
        await asyncio.Event().wait()


async def waiting(calls: Calls, *, needs_server: bool = False, in_client: bool = False) -> asyncio.Task[None]:
    """The task of a call that has come to its wait."""
    made = Waiting(calls, needs_server=needs_server, in_client=in_client)
    await made.waits.wait()
    return made.task


async def test_shutdown_ends_every_call() -> None:
    """Each with the error that it was opened with; what is in the client is the client's to end."""
    calls = Calls()
    plain, deep = await waiting(calls), await waiting(calls, needs_server=True)
    inside = await waiting(calls, in_client=True)
    calls.end_all()

    for task in (plain, deep):
        with pytest.raises(StateError, match="shut down"):
            await task
    assert not inside.done()
    inside.cancel()


async def test_loss_of_the_server_ends_what_needs_it() -> None:
    """And nothing else: a call that waits for the next server goes on."""
    calls = Calls()
    other, needing = await waiting(calls), await waiting(calls, needs_server=True)
    calls.server_lost(ServerDiedError("killed", signal="SIGKILL"))

    with pytest.raises(ServerDiedError, match="killed") as caught:
        await needing
    assert caught.value.signal == "SIGKILL"
    assert not other.done()
    other.cancel()
    await asyncio.wait([other])
    calls.end_all()
    assert other.cancelled()
