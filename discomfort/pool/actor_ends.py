"""The ends of actors: what is known of one that was lost, and which machines new ones should not get."""

from __future__ import annotations

import time

_FRESH = 30.0
"""Seconds: an actor that ends so soon says something about its machine."""

_AVOID = 30.0
"""Seconds that a machine is avoided. Ray lists one that has died for about 15 s more, and places actors there."""


class ActorLost(Exception):
    """An actor does not answer any more. ``is_certain``: its process has ended, and its server with it.

    Otherwise its machine was lost, and nobody can know what goes on there until its lease is over.
    """

    def __init__(self, problem: str, *, is_certain: bool) -> None:
        super().__init__(problem)
        self.problem, self.is_certain = problem, is_certain


class AvoidedNodes:
    """Machines on which actors died for no reason of their own."""

    def __init__(self, seconds: float = _AVOID) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def note(self, node: str) -> None:
        """Avoid a machine for a while; nothing if it is not known."""
        if node:
            self._until[node] = time.monotonic() + self._seconds

    def note_end(self, node: str, *, is_certain: bool, seconds: float) -> None:
        """Avoid the machine of an actor that was lost with it, or ``seconds`` after it was made."""
        if not is_certain or seconds < _FRESH:
            self.note(node)

    def now(self) -> frozenset[str]:
        """The machines to avoid now."""
        now = time.monotonic()
        self._until = {node: until for node, until in self._until.items() if until > now}
        return frozenset(self._until)
