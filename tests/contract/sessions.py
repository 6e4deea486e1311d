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
        self._open: dict[int, tuple[asyncio.AbstractEventLoop, ComfyConnector]] = {}

    async def get(self, settings: dict[str, Any]) -> ComfyConnector:
        """The connector with these settings, started at its first use; :meth:`release_after` shuts it down."""
        port = settings["initial_port"]
        if port not in self._open:
            made = await ComfyConnector.launch(**settings)
            self._open[port] = (asyncio.get_running_loop(), made)
        return self._open[port][1]

    def release_after(self, nextitem: pytest.Item | None) -> None:
        """Shut down if the next test is of another folder: other suites should not run beside the server."""
        if nextitem is not None and nextitem.path.is_relative_to(self._folder):
            return
        while self._open:
            _, (loop, connector) = self._open.popitem()
            if not loop.is_closed():
                loop.run_until_complete(connector.kill_api())

    def share_loop(self, items: list[pytest.Item], uses_server: Callable[[pytest.Item], bool]) -> None:
        """Coroutines of the folder that use the server run in the loop that its connector lives in."""
        mark = pytest.mark.asyncio(loop_scope="session")
        for item in items:
            is_ours = item.path.is_relative_to(self._folder) and uses_server(item)
            if is_ours and inspect.iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(mark, append=False)
