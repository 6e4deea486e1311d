"""Prompts that killed servers: they are refused for a while, whoever submits them again."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable

from discomfort.exceptions import DiscomfortError
from discomfort.pool.run_state import PooledRun

_SECONDS = 3600.0
"""How long a prompt is refused. The cause may be mended meanwhile: a pack updated, memory added."""

_MOST = 1000


class Quarantine:
    """Keeps the last prompts that killed servers, each with its error; ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._errors: OrderedDict[str, tuple[float, DiscomfortError]] = OrderedDict()

    def note(self, run: PooledRun, error: DiscomfortError) -> None:
        """A run has killed too many servers."""
        self._errors[run.call.digest] = self._clock(), error
        if len(self._errors) > _MOST:
            self._errors.popitem(last=False)

    def check(self, digest: str) -> None:
        """Raise a copy of the error of a prompt that is refused."""
        at, error = self._errors.get(digest, (0.0, None))
        if error is None:
            return
        if self._clock() - at >= _SECONDS:
            del self._errors[digest]
        else:
            # One error raised in several tasks would collect all their tracebacks.
            raise copy.copy(error)
