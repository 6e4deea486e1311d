"""A server that the tests of one folder share, through one connector in the session's event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from discomfort import ComfyConnector


class SharedServers:
    """The connectors that the tests below ``folder`` share, one for each engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[tuple[asyncio.AbstractEventLoop, ComfyConnector]] = []

    @asynccontextmanager
    async def connector(self, settings: dict[str, Any]) -> AsyncIterator[ComfyConnector]:
        """A connector, shut down at the end of the block, or before by :meth:`release_after`."""
        made = await ComfyConnector.launch(**settings)
        self._open.append((asyncio.get_running_loop(), made))
        try:
            yield made
        finally:
            await made.kill_api()

    def release_after(self, nextitem: pytest.Item | None) -> None:
        """Shut down with the last test of the folder: other suites should not run beside the server."""
        if nextitem is not None and nextitem.path.is_relative_to(self._folder):
            return
        while self._open:
            loop, connector = self._open.pop()
            if not loop.is_closed():
                loop.run_until_complete(connector.kill_api())

    def share_loop(self, items: list[pytest.Item], uses_server: Callable[[pytest.Item], bool]) -> None:
        """Coroutines of the folder that use the server run in the loop that its connector lives in."""
        mark = pytest.mark.asyncio(loop_scope="session")
        for item in items:
            is_ours = item.path.is_relative_to(self._folder) and uses_server(item)
            if is_ours and inspect.iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(mark, append=False)
