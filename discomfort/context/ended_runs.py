"""Marks, in the folder of a context, of runs that have ended without their values: their savers keep nothing."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path

from discomfort._system.descriptors import open_or_create
from discomfort.context import folders
from discomfort.context.exchange import end_mark

_log = logging.getLogger("discomfort.context")

_MOST = 1000
"""Runs whose savers may still be late: a server works on one prompt at a time."""


class EndedRuns:
    """The marks in one folder, those of the latest runs."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._marks: deque[Path] = deque()

    def mark(self, prefix: str) -> None:
        """Mark the run whose files have names with this prefix. Never raises."""
        path = self._home / end_mark(prefix)
        try:
            os.close(open_or_create(path, 0o600))
        except OSError as error:
            _log.debug("%s cannot be made: %s", path, error)
            return
        self._marks.append(path)
        if len(self._marks) > _MOST:
            folders.remove_file(self._marks.popleft())
