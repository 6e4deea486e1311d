"""The last events of a connector, kept for its diagnostics."""

from __future__ import annotations

import time
from collections import deque

from discomfort._json import JsonObject

_KEPT = 200
_LONGEST_TEXT = 500


class EventLog:
    """The last 200 events: time of day, kind, facts. No prompts, outputs or headers."""

    def __init__(self) -> None:
        self._events: deque[JsonObject] = deque(maxlen=_KEPT)

    def note(self, kind: str, **facts: str | float | None) -> None:
        """Record one event; long texts are truncated."""
        kept = {name: fact[:_LONGEST_TEXT] if isinstance(fact, str) else fact for name, fact in facts.items()}
        self._events.append({"at": round(time.time(), 3), "kind": kind, **kept})

    @property
    def events(self) -> list[JsonObject]:
        """The recorded events, oldest first. Safe in any thread."""
        return [dict(event) for event in list(self._events)]
