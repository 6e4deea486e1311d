"""The outlook of a waiting run: how many go before it, for how long, and why it waits."""

from __future__ import annotations

from dataclasses import dataclass

from discomfort.pool.choices import count_holders
from discomfort.pool.fair_shares import FairShares, Tenant
from discomfort.pool.server_book import ServerBook
from discomfort.pool.waiting_runs import Needs, WaitingRun

MANY = 64
"""With more tenants than this, the others' runs are estimated and not counted."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting run can expect: how many runs go before it, in how many seconds, and why it waits."""

    position: int
    about: float | None
    reason: str


def outlook_of(run: WaitingRun, book: ServerBook, shares: FairShares, total: int) -> Outlook:
    """An estimate: runs that need no load, and those of tenants that come later, can still go before it."""
    needs = run.lane.needs
    needs.refresh(book.groups, book.version)
    position = _ahead(run, shares, total)
    servers = sum(group.members for group in needs.groups)
    if not servers:
        return Outlook(position, None, "no server fits")
    if any(needs.an_idle_one(group) for group in needs.groups):
        return _beside_idle(run, position)
    return Outlook(position, round((position + 1) * run.seconds / servers, 1), _busy(servers, needs))


def _beside_idle(run: WaitingRun, position: int) -> Outlook:
    """Some server that fits is idle: the run goes there, or is better off with those that hold its models."""
    needs, models = run.lane.needs, run.lane.models
    if not models.models or any(group in needs.groups for group in models.idle):
        return Outlook(position, 0.0, "a server is free")
    holders = count_holders(needs, models)
    if not holders:
        return Outlook(position, 0.0, "a server is free, and must load its models")
    return Outlook(position, round(run.seconds / holders, 1), "the servers that hold its models are busy")


def _busy(servers: int, needs: Needs) -> str:
    if servers == 1:
        return "the server is busy" if not needs.avoided else "the server that fits is busy"
    return f"all {servers} servers that fit are busy"


def _ahead(run: WaitingRun, shares: FairShares, total: int) -> int:
    """The tenant's own runs that go before, and of each other tenant as many as its share allows until then."""
    own = run.tenant.ahead_of(run.order)
    waiting = shares.waiting
    if len(waiting) > MANY:
        return min(own * len(waiting), total - len(run.tenant.waiting)) + own
    return own + sum(_of_other(other, run, own) for other in waiting if other is not run.tenant)


def _of_other(other: Tenant, run: WaitingRun, own: int) -> int:
    until = run.tenant.had + own * run.seconds / run.tenant.weight
    runs = (until - other.had) * other.weight / max(run.seconds, 1e-3)
    return min(max(int(runs), 0), len(other.waiting))
