"""The events of a simulation in a heap: arrivals, ends of runs, servers that leave and come."""

from __future__ import annotations

import heapq
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.pool_simulation.policies import Router
from benchmarks.pool_simulation.servers import SimulatedServer, fleet
from benchmarks.pool_simulation.workload import SimulatedRun, Workload


@dataclass(frozen=True, slots=True)
class Preemption:
    """How often the platform takes a server back, with notice, and when another comes."""

    each_hour: float
    notice: float = 30.0
    boot: float = 60.0


@dataclass(slots=True)
class Tally:
    """What happened. Waits, loads and times count for runs that arrived after the warm-up."""

    arrived: int = 0
    started: int = 0
    done: int = 0
    interrupted: int = 0
    loads: int = 0
    counted: int = 0
    running_seconds: float = 0.0
    loading_seconds: float = 0.0
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    decisions: int = 0
    deciding_seconds: float = 0.0
    most_waiting: int = 0
    ended_at: float = 0.0

    def wait(self, part: float, *, without: str = "") -> float:
        """The wait that so many runs did not exceed, of all tenants but one."""
        waits = sorted(wait for tenant, found in self.waits.items() if tenant != without for wait in found)
        return waits[min(len(waits) - 1, int(len(waits) * part))] if waits else 0.0

    @property
    def mean_wait(self) -> float:
        """Of all runs."""
        waits = [wait for found in self.waits.values() for wait in found]
        return sum(waits) / max(len(waits), 1)

    @property
    def loads_per_1000(self) -> float:
        """Runs that had to load a model."""
        return 1000 * self.loads / max(self.counted, 1)

    @property
    def useful(self) -> float:
        """The part of the GPU time in which runs ran."""
        return self.running_seconds / max(self.running_seconds + self.loading_seconds, 1e-9)

    @property
    def gpu_hours(self) -> float:
        """Runs and loads."""
        return (self.running_seconds + self.loading_seconds) / 3600

    @property
    def decide_us(self) -> float:
        """Microseconds of a decision."""
        return 1e6 * self.deciding_seconds / max(self.decisions, 1)


class Simulation:
    """One policy on one workload."""

    def __init__(
        self,
        router: Router,
        workload: Workload,
        runs: Sequence[SimulatedRun],
        *,
        preemption: Preemption | None = None,
        warm_up: float = 0.0,
        until: float | None = None,
    ) -> None:
        self.router = router
        self.tally = Tally()
        self.now = 0.0
        self._workload = workload
        self._preemption = preemption
        self._warm_up = warm_up
        self._until = until if until is not None else 10 * workload.seconds
        self._random = random.Random(1)
        self._events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self._number = 0
        self._tick = float("inf")
        self._waiting = 0
        self.servers = fleet(workload.servers)
        self._alive = dict.fromkeys(self.servers)
        for server in self.servers:
            router.add(server)
        for run in runs:
            self._push(run.at, "arrive", run)
        if preemption:
            self._plan(preemption)

    def _plan(self, preemption: Preemption) -> None:
        at = 0.0
        while at < self._workload.seconds:
            at += self._random.expovariate(preemption.each_hour * len(self.servers) / 3600)
            self._push(at, "notice")

    def _push(self, at: float, kind: str, *details: object) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, details))

    def run(self) -> Tally:
        """To the end."""
        while self._events and self._events[0][0] <= self._until:
            self.now, _, kind, details = heapq.heappop(self._events)
            if kind == "tick" and self.now != self._tick:
                continue
            if getattr(self, f"_{kind}_")(*details) is not False:
                self._decide()
        self.tally.ended_at = self.now
        return self.tally

    def _decide(self) -> None:
        before = time.perf_counter()
        pairs = self.router.decide(self.now)
        self.tally.deciding_seconds += time.perf_counter() - before
        self.tally.decisions += 1
        for run, server in pairs:
            self._start(run, server)
        self.tally.most_waiting = max(self.tally.most_waiting, self._waiting)
        at = self.router.next_check(self.now)
        if at is None:
            self._tick = float("inf")
        elif not self.now < self._tick <= at:
            self._tick = max(at, self.now + 1e-6)
            self._push(self._tick, "tick")

    def _start(self, run: SimulatedRun, server: SimulatedServer) -> None:
        if server.run is not None or server.gone:
            raise RuntimeError(f"{server.name} has a run already, or is gone")
        loaded, seconds = server.begin(run, self._workload.sizes)
        tally = self.tally
        run.starts += 1
        tally.started += 1
        self._waiting -= 1
        if run.at >= self._warm_up:
            tally.loads += loaded > 0
            tally.loading_seconds += seconds
            tally.waits[run.tenant].append(self.now + seconds - run.at)
        self._push(self.now + seconds + run.seconds, "finish", server, run, run.tries, seconds)

    # --- events ---

    def _arrive_(self, run: SimulatedRun) -> None:
        self.tally.arrived += 1
        self._waiting += 1
        self.router.submit(run, self.now)

    def _finish_(self, server: SimulatedServer, run: SimulatedRun, tries: int, loading: float) -> bool:
        if server.gone or run.tries != tries:
            return False
        server.run = None
        self.router.finished(server, self.now, loading + run.seconds)
        run.ends += 1
        self.tally.done += 1
        if run.at >= self._warm_up:
            self.tally.counted += 1
            self.tally.running_seconds += run.seconds
        return True

    def _notice_(self) -> None:
        staying = [server for server in self._alive if not server.leaving]
        if staying and self._preemption:
            server = self._random.choice(staying)
            server.leaving = True
            self.router.drain(server)
            self._push(self.now + self._preemption.notice, "kill", server)
            self._push(self.now + self._preemption.notice + self._preemption.boot, "boot", server.room)

    def _kill_(self, server: SimulatedServer) -> None:
        server.gone = True
        del self._alive[server]
        self.router.remove(server)
        if (run := server.run) is not None:
            run.tries += 1
            self.tally.interrupted += 1
            self._waiting += 1
            self.router.submit(run, self.now)

    def _boot_(self, room: int) -> None:
        self._number += 1
        server = SimulatedServer(f"n{self._number}", room)
        self._alive[server] = None
        self.router.add(server)

    def _tick_(self) -> None:
        self._tick = float("inf")
