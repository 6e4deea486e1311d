"""The waiting room: all runs that wait, by id, by models and by needs."""

from __future__ import annotations

from heapq import heappop, heappush

from discomfort.pool.fair_shares import FairShares, Tenant
from discomfort.pool.holdings import ModelSet
from discomfort.pool.run_requests import PoolRequest
from discomfort.pool.server_classes import Requirement
from discomfort.pool.waiting_runs import Lane, Needs, TenantQueues, WaitingRun

NeedsKey = tuple[Requirement, frozenset[str], str | None]


class WaitingRoom:
    """The runs that wait."""

    def __init__(self, shares: FairShares, max_wait: float) -> None:
        self._shares = shares
        self._max_wait = max_wait
        self.runs: dict[str, WaitingRun] = {}
        self.needs: dict[NeedsKey, Needs] = {}
        self.lanes: dict[ModelSet, dict[Needs, Lane]] = {}
        self.cores: dict[ModelSet, dict[Needs, TenantQueues]] = {}
        """Runs that need more than one model, by the largest; without those that were found not worth the rest."""
        self._crowds: dict[ModelSet, int] = {}
        self._ages: list[tuple[float, int, WaitingRun]] = []
        self._bounds: list[tuple[float, int, WaitingRun]] = []
        self._parked: list[tuple[float, int, WaitingRun]] = []
        self._number = 0

    def lane(self, models: ModelSet, key: NeedsKey) -> Lane:
        """The lane, made where there is none."""
        needs = self.needs.get(key)
        if needs is None:
            needs = self.needs[key] = Needs(*key)
        lanes = self.lanes.setdefault(models, {})
        lane = lanes.get(needs)
        if lane is None:
            lane = lanes[needs] = Lane(needs, models)
        return lane

    def enter(self, request: PoolRequest, tenant: Tenant, lane: Lane, seconds: float, patience: float) -> WaitingRun:
        """A run waits."""
        self._number += 1
        run = WaitingRun(request, tenant, (-request.priority, request.at, self._number), lane, seconds)
        self.runs[request.id] = run
        self._shares.join(tenant, run.order)
        lane.queue.add(run)
        lane.needs.all.add(run)
        core = lane.models.core or lane.models
        self._crowds[core] = self._crowds.get(core, 0) + 1
        self.reopen(run)
        if patience > 0:
            heappush(self._ages, (request.at + patience, self._number, run))
        heappush(self._bounds, (request.at + self._max_wait, self._number, run))
        return run

    def reopen(self, run: WaitingRun) -> None:
        """It is to be asked whether a load is worth it."""
        lane = run.lane
        lane.needs.open.add(run)
        if lane.models.core is not None:
            queues = self.cores.setdefault(lane.models.core, {})
            if lane.needs not in queues:
                queues[lane.needs] = TenantQueues()
            queues[lane.needs].add(run)

    def park(self, run: WaitingRun, until: float, *, core_too: bool) -> None:
        """It is not worth a load before then, unless something changes."""
        run.lane.needs.open.remove(run)
        if core_too:
            self._leave_core(run)
        heappush(self._parked, (until, run.order[2], run))

    def leave(self, run: WaitingRun) -> None:
        """It waits no longer."""
        lane, needs = run.lane, run.lane.needs
        del self.runs[run.request.id]
        needs.overdue -= run.overdue
        self._shares.leave(run.tenant, run.order)
        for queue in (lane.queue, needs.all, needs.open, needs.late):
            queue.remove(run)
        self._leave_core(run)
        core = lane.models.core or lane.models
        self._crowds[core] -= 1
        if not self._crowds[core]:
            del self._crowds[core]
        if not lane.queue:
            lanes = self.lanes[lane.models]
            del lanes[needs]
            if not lanes:
                del self.lanes[lane.models]
        if not needs.all:
            del self.needs[needs.requirement, needs.avoided, needs.owner]
        self._sweep()

    def _leave_core(self, run: WaitingRun) -> None:
        core, needs = run.lane.models.core, run.lane.needs
        if core is None or (queues := self.cores.get(core)) is None or needs not in queues:
            return
        queues[needs].remove(run)
        if not queues[needs]:
            del queues[needs]
            if not queues:
                del self.cores[core]

    def advance(self, now: float) -> None:
        """Time has passed: some have waited too long, and some are to be asked again."""
        while self._ages and self._ages[0][0] <= now:
            run = heappop(self._ages)[2]
            if self.waits(run):
                run.lane.needs.late.add(run)
        while self._bounds and self._bounds[0][0] <= now:
            run = heappop(self._bounds)[2]
            if self.waits(run):
                run.overdue = True
                run.lane.needs.overdue += 1
                run.lane.needs.late.add(run)
        while self._parked and self._parked[0][0] <= now:
            run = heappop(self._parked)[2]
            if self.waits(run):
                self.reopen(run)

    def postpone(self, run: WaitingRun, until: float) -> None:
        """It has not waited too long before then."""
        run.lane.needs.late.remove(run)
        heappush(self._ages, (until, run.order[2], run))

    def next_time(self) -> float | None:
        """When time alone changes something."""
        for heap in (self._ages, self._bounds, self._parked):
            while heap and not self.waits(heap[0][2]):
                heappop(heap)
        return min((heap[0][0] for heap in (self._ages, self._bounds, self._parked) if heap), default=None)

    def waits(self, run: WaitingRun) -> bool:
        """Whether this very run still waits; another with its id may."""
        return self.runs.get(run.request.id) is run

    def crowd(self, models: ModelSet) -> int:
        """How many runs wait for the largest model of these."""
        return self._crowds.get(models.core or models, 0)

    def _sweep(self) -> None:
        """Keeps what has left from filling the heaps."""
        for heap in (self._ages, self._bounds, self._parked):
            if len(heap) > 2 * len(self.runs) + 64:
                heap[:] = sorted({entry[1]: entry for entry in heap if self.waits(entry[2])}.values())
