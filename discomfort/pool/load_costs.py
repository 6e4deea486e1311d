"""The costs of a load: what must be read, and what is pushed out and must be read again by somebody."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import sqrt

from discomfort.pool.holdings import KnownModel, KnownServer, ModelSet
from discomfort.pool.learnt_rates import LearntRates
from discomfort.pool.waiting_runs import Needs

SAMPLE = 16
"""How many idle servers are looked at for the cheapest one: the best of a few is nearly as good as the best of all."""
HOLDERS = 8
"""How many of those that hold the largest model."""
RECENT = 20.0
"""A model counts as wanted for so many times what its load takes, since it was last asked for."""


@dataclass(frozen=True, slots=True)
class LoadCost:
    """What it costs to begin a run on a server: seconds of its load, and seconds that others lose."""

    server: KnownServer
    load: float
    regret: float


class LoadCosts:
    """Prices loads. ``steps`` counts the servers looked at."""

    def __init__(self, rates: LearntRates, seed: int) -> None:
        self._rates = rates
        self._random = random.Random(seed)  # noqa: S311 - a choice among equals, not a secret
        self.steps = 0

    def load_seconds(self, models: Iterable[KnownModel]) -> float:
        """What loading these takes."""
        return sum(self._rates.load_seconds(model.size) for model in models)

    def price(self, server: KnownServer, models: ModelSet, now: float) -> LoadCost:
        """What it costs to begin a run of these models there."""
        self.steps += 1
        held = server.held
        if server.scope != models.scope:
            return LoadCost(server, self.load_seconds(models.models), self._regret(held, now))
        missing = [model for model in models.models if model not in held]
        return LoadCost(server, self.load_seconds(missing), self._regret(_leaving(server, models, missing), now))

    def _regret(self, models: Iterable[KnownModel], now: float) -> float:
        """What pushing these out costs: somebody loads them again, unless others hold them, or nobody wants them.

        The square root was found by simulation: others that hold a model are often busy, so two of them are worth more
        than half of one each.
        """
        total = 0.0
        for model in models:
            seconds = self._rates.load_seconds(model.size)
            if now - model.seen < RECENT * seconds:
                total += seconds / sqrt(max(len(model.holders), 1))
        return total

    def cheapest(self, needs: Needs, models: ModelSet, now: float, weight: float) -> LoadCost | None:
        """The idle server, of those looked at, where a run of these models costs least. ``weight`` is that of the
        load."""
        best: LoadCost | None = None
        least = 0.0
        for server in self._candidates(needs, models):
            cost = self.price(server, models, now)
            total = cost.load * weight + cost.regret
            if best is None or total < least:
                best, least = cost, total
            if not cost.regret:
                break  # those that hold the largest model came first, so hardly any is cheaper
        return best

    def _candidates(self, needs: Needs, models: ModelSet) -> Iterator[KnownServer]:
        """Holders of the largest model, one that holds nothing, and some at random."""
        avoided = needs.avoided
        for group, servers in (models.core or models).idle.items():
            if group in needs.groups:
                yield from (server for server in islice(servers, HOLDERS) if server.name not in avoided)
        left = SAMPLE
        for group in needs.groups:
            if not group.idle:
                continue
            if empty := next(
                (server for server in islice(group.empty, len(avoided) + 1) if server.name not in avoided), None
            ):
                yield empty
            for server in self._some(group.idle, left, len(avoided)):
                if server.name not in avoided:
                    left -= 1
                    yield server
            if left <= 0:
                return

    def _some(self, idle: list[KnownServer], most: int, avoided: int) -> list[KnownServer]:
        """So many of the idle ones, some perhaps twice; all where there are not more."""
        count = len(idle)
        if count <= most + avoided:
            return idle
        pick = self._random.random
        return [idle[int(pick() * count)] for _ in range(most + avoided)]


def _leaving(server: KnownServer, models: ModelSet, missing: list[KnownModel]) -> list[KnownModel]:
    """What the server loses when it loads what is missing: the longest unused, as far as room is needed."""
    others = (model for model in server.held if model not in models.models)
    if server.keeps_last_only:
        return list(others)
    over = server.used + sum(model.size for model in missing) - server.group.room
    leaving = []
    for model in others:
        if over <= 0:
            break
        over -= model.size
        leaving.append(model)
    return leaving
