"""A program with a pool of one server that is not there; it waits until it is killed."""

from __future__ import annotations

import asyncio
import sys

from unit.pool.fake_pool_server import FakePoolServer, fake_pool


async def main() -> None:
    """Say that the pool is there, and wait."""
    async with await fake_pool(FakePoolServer("other")):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main())
