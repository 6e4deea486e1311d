"""A lease: what somebody else must renew, or this process ends what it holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CHECKS = 4
"""Looks at a lease, and renewals of it, in the time that it lasts."""


class Lease:
    """Calls ``expired`` in a thread of its own once ``seconds`` have passed without :meth:`renew`.

    The thread does not wait for an event loop: a process that was stopped for too long ends what it holds as soon as it
    goes on.
    """

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._seconds, self._expired = seconds, expired
        self._ended = threading.Event()
        self._until = time.monotonic() + seconds

    def begin(self) -> None:
        """Start to look."""
        self.renew()
        threading.Thread(target=self._watch, name="discomfort-lease", daemon=True).start()

    def renew(self) -> None:
        """Let it last from now on."""
        self._until = time.monotonic() + self._seconds

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds / CHECKS):
            if time.monotonic() > self._until:
                self._expired()
                return


def surely_over(renewed_at: float, seconds: float) -> float:
    """When the holder of a lease has surely ended what it holds; ``renewed_at`` is when the last renewal was sent."""
    return renewed_at + seconds * (1 + 1 / CHECKS) + 1.0
