"""Fair shares among tenants: start-time fair queueing, whose virtual time is seconds of work divided by the weight.

A tenant that had less goes first. One that comes back after a pause starts where those are who were served last: it
neither has saved up credit, nor pays for what it got while nobody else wanted it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field

Order = tuple[int, float, int]
"""A run's place among its tenant's: higher priorities first (negative), then the older, then the first to come."""

LIMIT = 1024
"""Tenants without a run that are remembered at most, once there is nothing to remember of them."""


@dataclass(eq=False, slots=True)
class Tenant:
    """``had`` is the virtual time: it only grows. ``debt`` is work that was charged wrongly, and counts next time."""

    name: str
    number: int
    weight: float
    had: float
    debt: float = 0.0
    waiting: list[Order] = field(default_factory=list)
    """The places of its waiting runs, in order: by priority, then by age."""
    running: int = 0

    def ahead_of(self, order: Order) -> int:
        """How many of the tenant's own runs go before."""
        return bisect_left(self.waiting, order)


class FairShares:
    """The tenants with their virtual times."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._tenants: dict[str, Tenant] = {}
        self._floor = self._most = 0.0
        self._count = 0
        self.waiting: dict[Tenant, None] = {}
        """Those of whom runs wait."""

    def find(self, name: str) -> Tenant | None:
        """The tenant, if anything is known of it."""
        return self._tenants.get(name)

    def arriving(self, name: str) -> Tenant:
        """The tenant of a run that comes now."""
        if not self.waiting:
            self._floor = self._most  # all got what they wanted, so that nobody owes anything
        tenant = self._tenants.get(name)
        if tenant is None:
            self._forget_some()
            self._count += 1
            weight = max(self._weights.get(name, 1.0), 1e-6)
            tenant = self._tenants[name] = Tenant(name, self._count, weight, self._floor)
        elif not tenant.waiting:
            tenant.had = max(tenant.had, self._floor)
        return tenant

    def charge(self, tenant: Tenant, seconds: float) -> None:
        """A run begins that is expected to take so long."""
        self._floor = max(self._floor, tenant.had)
        due = seconds + tenant.debt
        tenant.had += max(due, 0.0) / tenant.weight
        self._most = max(self._most, tenant.had)
        tenant.debt = min(due, 0.0)
        tenant.running += 1

    @staticmethod
    def settle(tenant: Tenant, charged: float, took: float | None) -> None:
        """It has ended; what it really took counts."""
        tenant.running -= 1
        if took is not None:
            tenant.debt += took - charged

    def join(self, tenant: Tenant, order: Order) -> None:
        """A run of the tenant waits."""
        insort(tenant.waiting, order)
        self.waiting[tenant] = None

    def leave(self, tenant: Tenant, order: Order) -> None:
        """It waits no longer."""
        del tenant.waiting[bisect_left(tenant.waiting, order)]
        if not tenant.waiting:
            del self.waiting[tenant]

    def _forget_some(self) -> None:
        """A tenant without a run, not ahead of the floor, is as good as a new one. Of very many, all without a run."""
        if len(self._tenants) < LIMIT or self._count % (LIMIT // 4):
            return
        many = len(self._tenants) > 8 * LIMIT
        for tenant in list(self._tenants.values()):
            if not tenant.waiting and not tenant.running and (many or tenant.had <= self._floor):
                del self._tenants[tenant.name]
