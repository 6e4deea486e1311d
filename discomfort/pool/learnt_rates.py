"""Rates that are learnt from what runs took: seconds of a load for each byte, and of a run by its kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

KINDS = 4096
"""How many kinds of run are remembered."""
MEMORY = 0.998
"""How much of what is known stays after one more load: some 500 loads count."""
GIGABYTE = 1e9


class LearntRates:
    """What a load and a run are expected to take."""

    def __init__(self, *, load_rate: float, load_overhead: float, first_guess: float) -> None:
        self._overhead = load_overhead
        self._bytes = 100 * GIGABYTE
        self._seconds = self._bytes / max(load_rate, 1.0)
        self._kinds: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._mean = first_guess
        self._known = False

    def load_seconds(self, size: float) -> float:
        """What it takes to load so many bytes."""
        return self._overhead + size * self._seconds / self._bytes

    def run_seconds(self, *kinds: Hashable) -> float:
        """What a run of the first kind that is known takes on a warm server."""
        for kind in kinds:
            if (learnt := self._kinds.get(kind)) is not None:
                return learnt[0]
        return self._mean

    def learn_run(self, seconds: float, *kinds: Hashable) -> None:
        """A run took so long without its loads."""
        self._mean = 0.98 * self._mean + 0.02 * seconds if self._known else seconds
        self._known = True
        for kind in kinds:
            before, count = self._kinds.pop(kind, (seconds, 0))
            part = max(1 / (count + 1), 0.05)
            self._kinds[kind] = (1 - part) * before + part * seconds, count + 1
        while len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)

    def knows(self, kind: Hashable) -> bool:
        """Whether a run of this kind was seen."""
        return kind in self._kinds

    def learn_load(self, seconds: float, size: float, count: int) -> None:
        """Loading ``count`` models of ``size`` bytes together took so long. A single one says little: runs vary."""
        if size <= 0:
            return
        net = min(seconds - count * self._overhead, 60 * size / GIGABYTE)
        self._bytes = MEMORY * self._bytes + size
        self._seconds = max(MEMORY * self._seconds + net, self._bytes / (100 * GIGABYTE))
