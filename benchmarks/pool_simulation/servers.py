"""The simulated servers: what they really hold, whatever a policy believes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.pool_simulation.workload import GIGABYTE, SimulatedRun, load_seconds
from discomfort.pool.run_requests import ModelFile


@dataclass(eq=False, slots=True)
class SimulatedServer:
    """A server with its memory, the longest unused model first."""

    name: str
    room: int
    held: OrderedDict[ModelFile, None] = field(default_factory=OrderedDict)
    used: int = 0
    run: SimulatedRun | None = None
    leaving: bool = False
    gone: bool = False

    def holds(self, files: Iterable[ModelFile]) -> bool:
        """Whether it has all of these."""
        return all(file in self.held for file in files)

    def begin(self, run: SimulatedRun, sizes: Mapping[ModelFile, int]) -> tuple[int, float]:
        """The run begins. Returns how many models are loaded for it, and how long that takes."""
        self.run = run
        missing = [file for file in run.files if file not in self.held]
        for file in run.files:
            if file in self.held:
                self.held.move_to_end(file)
        need = sum(sizes[file] for file in missing)
        while self.used + need > self.room and len(self.held) > len(run.files) - len(missing):
            file, _ = self.held.popitem(last=False)
            self.used -= sizes[file]
        self.held.update(dict.fromkeys(missing))
        self.used += need
        return len(missing), sum(load_seconds(sizes[file]) for file in missing)


def fleet(count: int) -> list[SimulatedServer]:
    """Two thirds with 24 GB, one third with 48 GB."""
    return [SimulatedServer(f"s{number:04d}", (24 if number % 3 else 48) * GIGABYTE) for number in range(count)]
