"""A server that the tests of one folder share, through one connector in the session's event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discomfort import ComfyConnector


class SharedServers:
    """The connectors that the tests below ``folder`` share, one for each engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, ComfyConnector] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, settings: dict[str, Any]) -> ComfyConnector:
        """The connector with these settings, started at its first use."""
        port = settings["initial_port"]
        if port not in self._open:
            self._open[port] = await ComfyConnector.launch(**settings)
            self._loop = asyncio.get_running_loop()
        return self._open[port]

    async def aclose(self) -> None:
        """Shut down. For the end of the session, while its loop is still there."""
        while self._open:
            _, connector = self._open.popitem()
            await connector.kill_api()

    def release_after(self, nextitem: pytest.Item | None) -> None:
        """Shut down if the next test is of another folder: other suites should not run beside the server."""
        if self._loop is None or nextitem is None or nextitem.path.is_relative_to(self._folder):
            return
        self._loop.run_until_complete(self.aclose())

    def share_loop(self, items: list[pytest.Item], uses_server: Callable[[pytest.Item], bool]) -> None:
        """Coroutines of the folder that use the server run in the loop that its connector lives in."""
        mark = pytest.mark.asyncio(loop_scope="session")
        for item in items:
            is_ours = item.path.is_relative_to(self._folder) and uses_server(item)
            if is_ours and inspect.iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(mark, append=False)
