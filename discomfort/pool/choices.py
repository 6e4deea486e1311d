"""The choice of the next run and its server, among all that wait and all that are idle.

For each turn (first the tenants that had least, then the others, so that no server is idle while anybody has work):
a run that has waited too long; a run whose models an idle server holds; a run for which a load is worth it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Literal

from discomfort.pool.holdings import KnownServer, ModelSet
from discomfort.pool.load_costs import LoadCost, LoadCosts
from discomfort.pool.pool_policy import Policy
from discomfort.pool.server_book import ServerBook
from discomfort.pool.waiting_room import WaitingRoom
from discomfort.pool.waiting_runs import Lane, Needs, WaitingRun

MOST = 64
"""Loads that are weighed in one decision at most; the others are weighed in the next one."""
LEAST = 0.05
"""What a load weighs at least: where servers stand idle it costs nobody anything, but is not free either."""
SOONEST, LATEST = 0.25, 2.0
"""Seconds after which a load that was not worth it is weighed again: what decides has changed a little."""
FEW = 0.05
"""The bound on the wait holds for so many runs at once, as a part of the servers. More of them mean that the pool
cannot keep up: then the bound cannot hold for all, and to keep it for some would make all others wait for loads."""
ALIKE = 8
"""How many servers whose last run had the same skeleton are looked at."""

Key = tuple[float, int, tuple[int, float, int]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A run, the server for it, and whether its tenant had more than the others."""

    run: WaitingRun
    server: KnownServer
    far: bool = False


def key(run: WaitingRun) -> Key:
    """Who goes first: the tenant that had least, then its runs in their order."""
    return run.tenant.had, run.tenant.number, run.order


class Choices:
    """Picks. ``steps`` counts what was looked at; ``unfinished`` says that there was more to weigh."""

    def __init__(self, policy: Policy, book: ServerBook, room: WaitingRoom, costs: LoadCosts) -> None:
        self._policy = policy
        self._book = book
        self._room = room
        self._costs = costs
        self.steps = 0
        self.unfinished = False
        self._weighed = 0

    def begin(self) -> None:
        """A decision begins."""
        self.unfinished = False
        self._weighed = 0

    def eligible(self) -> list[Needs]:
        """The needs for which there is an idle server."""
        book = self._book
        found = []
        for needs in self._room.needs.values():
            needs.refresh(book.groups, book.version)
            if any(needs.an_idle_one(group) for group in needs.groups):
                found.append(needs)
        self.steps += len(self._room.needs)
        return found

    def pick(self, now: float) -> Choice | None:
        """The next run to begin."""
        eligible = self.eligible()
        firsts = [first for needs in eligible if (first := needs.all.first()) is not None]
        if not firsts:
            return None
        limit = min(first.tenant.had for first in firsts) + self._policy.slack
        warm = self._warm(limit)
        ready = warm if warm and not warm.far else None
        if found := self._late(eligible, limit, False, ready, now) or ready or self._worth(eligible, limit, False, now):
            return found
        # Those that had more than their share have no claim to a load before the work of others who had less.
        return warm or self._worth(eligible, limit, True, now) or self._late(eligible, limit, True, None, now)

    # --- runs whose models are there ---

    def _warm(self, limit: float) -> Choice | None:
        """The first run, by turn, for which an idle server holds everything."""
        best: Choice | None = None
        least: Key | None = None
        for models in self._book.ready:
            for needs, lane in self._room.lanes.get(models, {}).items():
                self.steps += 1
                run = lane.queue.first()
                if run is None or (least is not None and key(run) >= least):
                    continue
                if server := self._holder(needs, models, run.request.skeleton):
                    best, least = Choice(run, server, run.tenant.had > limit), key(run)
        return best

    def _holder(self, needs: Needs, models: ModelSet, skeleton: str) -> KnownServer | None:
        """An idle server that holds the set; one whose last run had the same skeleton keeps results of nodes, too."""
        for number, server in enumerate(self._book.by_skeleton.get(skeleton, ()) if skeleton else ()):
            if number == ALIKE:
                break
            self.steps += 1
            if models in server.sets and needs.allows(server):
                return server
        for group, servers in models.idle.items():
            if group in needs.groups:
                few = islice((server for server in servers if server.name not in needs.avoided), ALIKE)
                best = min(few, key=lambda server: len(server.held), default=None)
                if best is not None:
                    return best
        return None

    # --- runs that have waited too long ---

    def _late(self, eligible: list[Needs], limit: float, far: bool, ready: Choice | None, now: float) -> Choice | None:
        """The first run that has waited as long as its load takes and costs others, or ``max_wait``.

        It goes before one that needs no load, unless that one waited nearly as long. Else a pool with too much work
        would do nothing but load, and nobody would wait less.
        """
        for _ in range(ALIKE):
            late = min(heads(eligible, "late", limit, far), key=key, default=None)
            if late is None:
                return None
            needs, models = late.lane.needs, late.lane.models
            if server := self._holder(needs, models, late.request.skeleton):
                if late.overdue and ready and not ready.run.overdue and self._goes_before(late, ready.run, 0.0):
                    return Choice(late, server)
                self._room.postpone(late, now + LATEST)
                continue
            cost = self._costs.cheapest(needs, models, now, 1.0)
            if cost is None:
                return None
            price = cost.load + cost.regret
            if late.overdue or late.order[1] + price <= now:
                return self._late_or_ready(late, cost, limit, far, ready, now)
            self._room.postpone(late, late.order[1] + price)
        return None

    def _late_or_ready(
        self, late: WaitingRun, cost: LoadCost, limit: float, far: bool, ready: Choice | None, now: float
    ) -> Choice:
        core = late.lane.models.core
        if ready is None and core is not None and not core.held_by(cost.server):
            ready = self._nearly_ready(limit, far, now)
        if ready is None or self._goes_before(late, ready.run, cost.load + cost.regret):
            return Choice(late, cost.server)
        return ready

    def _nearly_ready(self, limit: float, far: bool, now: float) -> Choice | None:
        """A run of which an idle server holds the largest model, and that server."""
        run = self._first_at_core(limit, far)
        cost = self._costs.cheapest(run.lane.needs, run.lane.models, now, 1.0) if run else None
        return Choice(run, cost.server) if run and cost else None

    def _goes_before(self, late: WaitingRun, ready: WaitingRun, price: float) -> bool:
        """Whether a run goes first although another one needs no load."""
        needs = late.lane.needs
        if late.overdue and not ready.overdue and needs.overdue <= max(needs.members * FEW, 1):
            return True
        return ready.order[1] - late.order[1] >= self._policy.patience * price

    # --- runs for which a load is worth it ---

    def _worth(self, eligible: list[Needs], limit: float, far: bool, now: float) -> Choice | None:
        while self._weighed < MOST:
            at_core = self._first_at_core(limit, far)
            run = at_core or min(heads(eligible, "open", limit, far), key=key, default=None)
            if run is None:
                return None
            self._weighed += 1
            self.steps += 1
            first = run.lane.queue.first() or run
            verdict = self._weigh(first, limit, now)
            if isinstance(verdict, LoadCost):
                return Choice(first, verdict.server)
            until = min(max(run.order[1] + verdict, now + SOONEST), now + LATEST)
            self._room.park(run, ceil(until / SOONEST) * SOONEST, core_too=at_core is not None)
        self.unfinished = True
        return None

    def _first_at_core(self, limit: float, far: bool) -> WaitingRun | None:
        """The first run of which an idle server holds the largest model."""
        best: WaitingRun | None = None
        for models in self._book.ready:
            for needs, queue in self._room.cores.get(models, {}).items():
                self.steps += 1
                run = queue.first()
                if run is None or (run.tenant.had > limit) != far or (best and key(best) <= key(run)):
                    continue
                if any(group in needs.groups for group in models.idle):
                    best = run
        return best

    def _weigh(self, run: WaitingRun, limit: float, now: float) -> LoadCost | float:
        """The load, if it is worth it; else how long the run must have waited until it is.

        A load costs little where servers stand idle anyhow, but for what it pushes out. It is worth it when those that
        hold the models will need longer than it takes for all that wait for them.
        """
        lane = run.lane
        busy = lane.needs.busy_share
        weight = min(max(2 * busy - 1, LEAST), 1.0)
        cost = self._costs.cheapest(lane.needs, lane.models, now, weight)
        if cost is None:
            return LATEST
        wait, spared = self._expected_wait(run, lane, cost.server, limit)
        bar = (cost.load - spared) * weight + cost.regret
        if wait is None or max(wait, now - run.order[1]) >= bar:
            return cost
        return bar

    def _expected_wait(
        self, run: WaitingRun, lane: Lane, server: KnownServer, limit: float
    ) -> tuple[float | None, float]:
        """How long those that hold the models need for what waits for them, and what must be loaded there even so.
        ``None`` if there are none to wait for."""
        holders = count_holders(lane.needs, lane.models)
        if holders:
            return lane.queue.count(max(limit, run.tenant.had)) * run.seconds / holders, 0.0
        core = lane.models.core
        if core is None or core.held_by(server) or not (holders := count_holders(lane.needs, core)):
            return None, 0.0
        rest = (model for model in lane.models.models if model is not core.models[0])
        return self._room.crowd(core) * run.seconds / holders, self._costs.load_seconds(rest)


def heads(eligible: list[Needs], queue: Literal["late", "open"], limit: float, far: bool) -> Iterator[WaitingRun]:
    """The first run of each of these queues, of the tenants whose turn it is."""
    for needs in eligible:
        run = (needs.late if queue == "late" else needs.open).first()
        if run is not None and (run.tenant.had > limit) == far:
            yield run


def count_holders(needs: Needs, models: ModelSet) -> int:
    """How many servers hold the set, of those that fit."""
    found = (servers for group, servers in models.holders.items() if group in needs.groups)
    if not needs.avoided:
        return sum(map(len, found))
    return sum(server.name not in needs.avoided for servers in found for server in servers)
