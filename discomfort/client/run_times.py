"""Times at which a prompt was accepted, began and ended, by the clock of the server. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ENDS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(slots=True)
class RunTimes:
    """Unix times in seconds; ``None`` as long as the server has not reported them.

    ``created``: the prompt was accepted (reported since JOB_TIMES). ``started`` and ``ended``: its execution was.
    """

    created: float | None = None
    started: float | None = None
    ended: float | None = None

    def note_message(self, kind: object, data: Mapping[str, Any]) -> None:
        """Take the time of a message about the prompt, from the socket or from its record."""
        told = seconds(data.get("timestamp"))
        if kind == "execution_start":
            self.started = told or self.started
        # A blocked output is announced as an error, but the run goes on.
        elif kind in _ENDS and data.get("exception_type") != "ExecutionBlocked":
            self.ended = told or self.ended

    def note_record(self, record: Mapping[str, Any]) -> None:
        """Take the times in the prompt's history record."""
        self.created = accepted_at(record.get("prompt")) or self.created
        status = record.get("status")
        messages = status.get("messages") if isinstance(status, Mapping) else None
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, list) and len(message) > 1 and isinstance(message[1], Mapping):
                self.note_message(message[0], message[1])


def accepted_at(item: object) -> float | None:
    """When the prompt of a queue item, or of the ``prompt`` of a record, was accepted."""
    extra = item[3] if isinstance(item, list) and len(item) > 3 else None
    return seconds(extra.get("create_time")) if isinstance(extra, Mapping) else None


def seconds(milliseconds: object) -> float | None:
    """A server's time in seconds; ``None`` for anything else."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    try:
        told = milliseconds / 1000
    except OverflowError:
        return None
    return told if math.isfinite(told) and told > 0 else None
