"""A scripted server and an open client for each test, and a look at what is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from unit.client.fake_comfy import FAST, FakeComfy, own_tasks

from discomfort.client import withdraw
from discomfort.client.comfy import ComfyClient


@pytest.fixture
async def server() -> AsyncIterator[FakeComfy]:
    """A fake ComfyUI that listens."""
    async with FakeComfy() as fake:
        yield fake


@pytest.fixture
async def client(server: FakeComfy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ComfyClient]:
    """An open client of that server; leaves no task behind."""
    monkeypatch.setattr(withdraw, "_LOOKS", (0.0, 0.002, 0.005, 0.02))
    monkeypatch.setattr(withdraw, "_RETRY", 0.01)
    opened = ComfyClient(server.url, limits=FAST)
    await opened.open()
    yield opened
    await opened.aclose()
    assert not list(own_tasks())
    assert opened.pending == 0
