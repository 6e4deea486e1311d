"""Events of a provision, for bars and logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_log = logging.getLogger("discomfort.provision")

_EVERY = 0.1
"""Seconds between two events of one file that only say that more has arrived."""


@dataclass(frozen=True, slots=True)
class ProvideProgress:
    """What happens to one model, one pack, or the server.

    A model is ``waiting`` (for a pause, or for another process), ``receiving``, ``checking`` or ``done``; a pack and
    the server are ``working``, with a line about it in ``text``, or ``done``. ``received`` and ``total`` are bytes;
    ``total`` is ``None`` while it is not known.
    """

    name: str
    kind: Literal["model", "pack", "server"]
    stage: Literal["waiting", "receiving", "checking", "working", "done"]
    received: int = 0
    total: int | None = None
    text: str = ""


class ProvideReporter:
    """Calls a caller's function for each event. Its first exception is logged and ends the reporting."""

    def __init__(self, callback: Callable[[ProvideProgress], object] | None) -> None:
        self._callback = callback
        self._last: dict[str, tuple[str, float]] = {}

    def tell(self, event: ProvideProgress) -> None:
        """Pass an event on, unless it says nothing new and comes too soon."""
        stage, at = self._last.get(event.name, ("", 0.0))
        now = time.monotonic()
        if self._callback is None or (stage == event.stage and event.kind == "model" and now - at < _EVERY):
            return
        self._last[event.name] = event.stage, now
        try:
            self._callback(event)
        except Exception:  # noqa: BLE001 - whatever it raises, the downloads go on
            _log.exception("on_progress raised; it is not called again")
            self._callback = None
