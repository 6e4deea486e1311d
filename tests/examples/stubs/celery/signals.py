"""The signals of a worker, which call nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Keeps what is connected."""

    def __init__(self) -> None:
        self.connected: list[Callable[..., Any]] = []

    def connect(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Used as a decorator."""
        self.connected.append(function)
        return function


worker_init, worker_shutdown = Signal(), Signal()
