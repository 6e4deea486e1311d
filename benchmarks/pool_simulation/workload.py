"""The runs that arrive: models by Zipf's law, Poisson arrivals, log-normal times, many tenants, one perhaps greedy."""

from __future__ import annotations

import math
import random
from bisect import bisect
from dataclasses import dataclass, field
from itertools import accumulate

from discomfort.pool.run_requests import ModelFile

GIGABYTE = 1_000_000_000
SIZES = (4.0, 6.5, 12.0, 12.0, 17.0, 23.0)
SECONDS = (3.0, 6.0, 8.0, 12.0, 20.0, 60.0)
SIGMA = 0.5
OVERHEAD, RATE = 2.0, 1e9
"""A load takes two seconds, and one for each gigabyte."""


@dataclass(frozen=True, slots=True)
class Family:
    """A large model and its usual run. ``sizes`` has all files of the set, without those that are new in each run."""

    files: tuple[ModelFile, ...]
    median: float


@dataclass(eq=False, slots=True)
class SimulatedRun:
    """A run: what it needs, and what became of it."""

    id: int
    tenant: str
    files: tuple[ModelFile, ...]
    seconds: float
    at: float
    tries: int = 0
    starts: int = 0
    ends: int = 0


@dataclass(slots=True)
class Workload:
    """What arrives in a simulation. ``load`` is the work in parts of what the servers can do without any load."""

    servers: int = 1000
    seconds: float = 1200.0
    load: float = 0.9
    models: int = 60
    tenants: int = 20
    greedy: float = 0.0
    """What a greedy tenant sends at once, in parts of everything else."""
    new_loras: bool = False
    """Each run has a LoRA of its own."""
    seed: int = 7
    sizes: dict[ModelFile, int] = field(default_factory=dict)
    families: list[Family] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(3)
        for number in range(self.models):
            file = ModelFile("checkpoints", f"m{number:03d}.safetensors")
            self.sizes[file] = int(rng.choice(SIZES) * GIGABYTE)
            self.families.append(Family((file,), rng.choice(SECONDS)))
            self.weights.append(1 / (number + 1))

    @property
    def mean_seconds(self) -> float:
        """What a run takes on average."""
        weighted = sum(w * family.median for w, family in zip(self.weights, self.families, strict=True))
        return weighted / sum(self.weights) * math.exp(SIGMA**2 / 2)

    @property
    def rate(self) -> float:
        """Runs in a second."""
        return self.servers * self.load / self.mean_seconds

    def runs(self) -> list[SimulatedRun]:
        """All of them, by time."""
        rng = random.Random(self.seed)
        totals = list(accumulate(self.weights))
        found: list[SimulatedRun] = []
        at = 0.0
        while at < self.seconds:
            at += rng.expovariate(self.rate)
            found.append(self._run(rng, totals, len(found), at))
        for _ in range(int(self.greedy * self.rate * self.seconds)):
            found.append(self._run(rng, totals, len(found), self.seconds * 0.3, "greedy"))
        return sorted(found, key=lambda run: (run.at, run.id))

    def _run(self, rng: random.Random, totals: list[float], number: int, at: float, tenant: str = "") -> SimulatedRun:
        family = self.families[bisect(totals, rng.random() * totals[-1])]
        seconds = min(max(rng.lognormvariate(math.log(family.median), SIGMA), 0.5), 600.0)
        files = family.files
        if self.new_loras:
            lora = ModelFile("loras", f"l{number}.safetensors")
            self.sizes[lora] = GIGABYTE // 5
            files = (lora, *files)  # the largest is used last
        return SimulatedRun(number, tenant or f"t{rng.randrange(self.tenants):02d}", files, seconds, at)


def load_seconds(size: float) -> float:
    """What the load of a file takes."""
    return OVERHEAD + size / RATE
