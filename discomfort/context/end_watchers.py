"""Watchers of a context, which are told at once when it ends, such as a run that works with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class EndWatchers:
    """Functions that are called at an end, in the thread that ends. Thread-safe."""

    def __init__(self) -> None:
        self._told: dict[object, Callable[[], None]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watched(self, ended: Callable[[], None]) -> Iterator[None]:
        """A block during which ``ended`` is called at the end. It must return at once, and not raise."""
        key = object()
        with self._lock:
            self._told[key] = ended
        try:
            yield
        finally:
            with self._lock:
                del self._told[key]

    def tell(self) -> None:
        """Call them all."""
        with self._lock:
            told = list(self._told.values())
        for ended in told:
            ended()
