"""An event that happens once and runs its callbacks in the thread in which it happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count

_log = logging.getLogger("discomfort.server")


class OneShot:
    """Set once, from any thread; every callback is called exactly once, or never if removed before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._keys = count()
        self._callbacks: dict[int, Callable[[], None]] = {}

    @property
    def happened(self) -> bool:
        """Whether :meth:`fire` was called."""
        return self._event.is_set()

    def fire(self) -> None:
        """Trigger the event; a second call does nothing. Errors of callbacks are logged."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            _call(callback)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when it happens, or at once, in this thread, if it has. Returns an unsubscribe function."""
        with self._lock:
            late = self._event.is_set()
            key = next(self._keys)
            if not late:
                self._callbacks[key] = callback
        if late:
            _call(callback)

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        return remove

    def wait(self, timeout: float | None) -> bool:
        """Block for ``timeout`` seconds at most. Returns whether the event has happened."""
        return self._event.wait(timeout)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - it must not end the thread that the others depend on
        _log.exception("a callback of a server process raised")
