"""A browser with a loaded page, shared by the tests of one module: a page load takes seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from browser.stub_server import StubServer, front_end_root

from discomfort.conversion import Converter


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[StubServer]:
    """The stand-in server, without a frontend of its own."""
    stub = await StubServer().start()
    yield stub
    await stub.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def converter(server: StubServer) -> AsyncIterator[Converter]:
    """A converter with a loaded page, shared by the tests of one module."""
    made = Converter(server.url, front_end_root=front_end_root(), install=False)
    try:
        await made.wait_page()
        yield made
    finally:
        await made.aclose()
