"""A table that shows a running sweep in a notebook; IPython is imported when one is made."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from discomfort.exceptions import ConfigurationError
from discomfort.sweeps.notebook_table import progress_html
from discomfort.sweeps.sweep_results import SweepProgress, SweepResult

_INTERVAL = 0.25
"""Seconds between two changes of the table: each is a message to the browser."""
_RECENT = 8


class LiveTable:
    """The ``on_progress`` of a sweep in a notebook: a bar over all rows, and those that ended last::

        report = await upscale.grid(seed=range(8)).run("results", on_progress=LiveTable())

    For one run of a sweep. Raises ConfigurationError without IPython.
    """

    def __init__(self) -> None:
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            remedy = "Install it: pip install ipywidgets"
            raise ConfigurationError("a live table needs a notebook, and IPython is missing", remedy=remedy) from error
        self._html: Any = HTML
        self._display: Any = display
        self._handle: Any = None
        self._recent: deque[SweepResult] = deque(maxlen=_RECENT)
        self._shown = float("-inf")

    def __call__(self, progress: SweepProgress) -> None:
        """Show it, a few times in a second at most; the end is always shown."""
        if progress.event is not None:
            return
        if progress.row.status != "waiting":
            self._recent.appendleft(progress.row)
        now = time.monotonic()
        if now - self._shown < _INTERVAL and progress.ended < progress.total:
            return
        self._shown = now
        text = progress_html(
            progress.row, progress.ended, progress.total, progress.failed, progress.left, list(self._recent)
        )
        if self._handle is None:
            self._handle = self._display(self._html(text), display_id=True)
        else:
            self._handle.update(self._html(text))
