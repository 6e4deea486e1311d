"""The runs that wait, in queues by tenant.

A run stands in several queues at once: that of its set of models, that of its largest model, and those of all runs with
the same needs. A queue is a heap for each tenant, and a heap of the tenants; what has left is dropped when it comes to
the top. So each step costs the logarithm of what waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from discomfort.pool.fair_shares import Order, Tenant
from discomfort.pool.holdings import KnownServer, ModelSet, ServerGroup
from discomfort.pool.run_requests import PoolRequest
from discomfort.pool.server_classes import Requirement


@dataclass(eq=False, slots=True)
class WaitingRun:
    """A run that waits. ``seconds`` is what it is expected to take on a warm server."""

    request: PoolRequest
    tenant: Tenant
    order: Order
    lane: Lane
    seconds: float
    overdue: bool = False
    """It has waited longer than any run should."""


class TenantQueues:
    """Runs by tenant. ``first`` is the first run of the tenant that had least."""

    __slots__ = ("_by_age", "_heaps", "_turns", "members")

    def __init__(self, *, by_age: bool = False) -> None:
        self._by_age = by_age
        self.members: dict[Tenant, dict[WaitingRun, None]] = {}
        self._heaps: dict[Tenant, list[tuple[Order, WaitingRun]]] = {}
        self._turns: list[tuple[float, int, Tenant]] = []

    def __bool__(self) -> bool:
        return bool(self.members)

    def add(self, run: WaitingRun) -> None:
        """It waits here, too."""
        tenant = run.tenant
        members = self.members.get(tenant)
        if members is None:
            members = self.members[tenant] = {}
            if tenant not in self._heaps:
                self._heaps[tenant] = []
                heappush(self._turns, (tenant.had, tenant.number, tenant))
        elif run in members:
            return
        members[run] = None
        order = (0, run.order[1], run.order[2]) if self._by_age else run.order
        heap = self._heaps[tenant]
        heappush(heap, (order, run))
        if len(heap) > 2 * len(members) + 8:
            heap[:] = [entry for entry in dict.fromkeys(heap) if entry[1] in members]
            heapify(heap)

    def remove(self, run: WaitingRun) -> None:
        """It waits here no longer, if it did."""
        members = self.members.get(run.tenant)
        if members is not None and run in members:
            del members[run]
            if not members:
                del self.members[run.tenant]

    def first(self) -> WaitingRun | None:
        """The run whose turn it is."""
        turns = self._turns
        while turns:
            had, number, tenant = turns[0]
            members = self.members.get(tenant)
            if members is None:
                heappop(turns)
                del self._heaps[tenant]
            elif tenant.had > had:
                heapreplace(turns, (tenant.had, number, tenant))
            else:
                heap = self._heaps[tenant]
                while heap[0][1] not in members:
                    heappop(heap)
                return heap[0][1]
        return None

    def count(self, limit: float, most: int = 32) -> int:
        """How many runs wait of tenants that had no more than ``limit``; of many tenants, of all."""
        if len(self.members) > most:
            limit = float("inf")
        return sum(len(members) for tenant, members in self.members.items() if tenant.had <= limit)


@dataclass(eq=False, slots=True)
class Needs:
    """What runs need of a server apart from models, and the runs that need it.

    ``owner`` is the tenant, where a server belongs to one. ``open`` are those of which it was not found lately that a
    load is not worth it, ``late`` those that have waited too long.
    """

    requirement: Requirement
    avoided: frozenset[str]
    owner: str | None
    all: TenantQueues = field(default_factory=TenantQueues)
    open: TenantQueues = field(default_factory=TenantQueues)
    late: TenantQueues = field(default_factory=lambda: TenantQueues(by_age=True))
    groups: dict[ServerGroup, None] = field(default_factory=dict)
    version: int = -1
    overdue: int = 0

    def suits(self, group: ServerGroup) -> bool:
        """Whether the runs fit servers of this group."""
        return group.owner in (None, self.owner) and not self.requirement.misfits(group.server_class)

    def refresh(self, groups: Mapping[Any, ServerGroup], version: int) -> None:
        """The groups changed: which ones fit, and take runs."""
        if self.version != version:
            self.groups = {group: None for group in groups.values() if group.members and self.suits(group)}
            self.version = version

    def an_idle_one(self, group: ServerGroup) -> bool:
        """Whether an idle server of the group is not avoided."""
        if not self.avoided:
            return bool(group.idle)
        return any(server.name not in self.avoided for server in group.idle[: len(self.avoided) + 1])

    def allows(self, server: KnownServer) -> bool:
        """Whether the runs may go to the server."""
        return server.group in self.groups and server.name not in self.avoided

    @property
    def members(self) -> int:
        """How many servers fit."""
        return sum(group.members for group in self.groups)

    @property
    def busy_share(self) -> float:
        """Which part of the servers that fit is busy."""
        members = self.members
        return 1 - sum(len(group.idle) for group in self.groups) / members if members else 1.0


@dataclass(eq=False, slots=True)
class Lane:
    """Runs that are alike for the scheduler: the same models, the same needs."""

    needs: Needs
    models: ModelSet
    queue: TenantQueues = field(default_factory=TenantQueues)
