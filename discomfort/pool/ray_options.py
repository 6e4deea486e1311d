"""Options of a pool on a Ray cluster, checked before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort.connector.argument_checks import check_mapping
from discomfort.exceptions import ArgumentError
from discomfort.pool.pool_arguments import check_count


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How many servers a pool has on a cluster, what each of them gets, and on which machines they may be.

    ``servers`` is their number, or the least and the most: then ``spare`` servers are kept without a run, and one that
    had none for ``idle_timeout`` seconds is ended. Each gets ``gpus`` (0.5 puts two on one) and ``cpus``. ``machines``
    are labels that a machine must have, as for runs: ``{"gpu": "a100|h100"}``, ``{"market": "!spot"}``. ``resources``
    are further ones of Ray. A server ends itself when it has not heard of its pool for ``lease`` seconds; when a
    machine is lost, its runs are lost after that time. A server waits for a machine for ``wait`` seconds.
    """

    servers: int | tuple[int, int] = 1
    spare: int = 0
    idle_timeout: float = 300.0
    gpus: float = 1.0
    cpus: float = 1.0
    machines: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    lease: float = 15.0
    wait: float = 600.0

    def __post_init__(self) -> None:
        least, most = self.bounds
        check_count("servers", most)
        if isinstance(least, bool) or not isinstance(least, int) or not 0 <= least <= most:
            raise ArgumentError("servers", f"must be a number, or the least and the most of them, not {self.servers!r}")
        if isinstance(self.spare, bool) or not isinstance(self.spare, int) or self.spare < 0:
            raise ArgumentError("spare", f"must be a whole number from 0 on, not {self.spare!r}")
        for name in ("gpus", "cpus"):
            _check_amount(name, getattr(self, name))
        for name in ("idle_timeout", "lease", "wait"):
            _check_amount(name, getattr(self, name))
        if not self.lease or not self.wait:
            raise ArgumentError("wait" if self.lease else "lease", "must be a number of seconds above 0")
        for name in ("machines", "resources"):
            check_mapping(name, getattr(self, name), "names and values")

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most servers."""
        if isinstance(self.servers, tuple) and len(self.servers) == 2:
            return self.servers
        return self.servers, self.servers

    @property
    def bundle(self) -> dict[str, float]:
        """What one server takes, as Ray's autoscaler counts it."""
        return {
            **{name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount},
            **self.resources,
        }

    def placing(self, avoided: frozenset[str], node_label: str) -> dict[str, Any]:
        """The options of an actor."""
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": dict(self.resources)}
        selector = self.selector
        if not avoided:
            return {**options, "label_selector": selector}
        # Where no other machine has room, one of these is better than none.
        preferred = {**selector, node_label: f"!in({','.join(sorted(avoided))})"}
        return {**options, "label_selector": preferred, "fallback_strategy": [{"label_selector": selector}]}

    @property
    def selector(self) -> dict[str, str]:
        """The labels of machines, in Ray's words."""
        return {name: selector_of(wanted) for name, wanted in self.machines.items()}


def selector_of(wanted: str) -> str:
    """``a100|h100`` as ``in(a100,h100)``, and ``!t4|l4`` as ``!in(t4,l4)``."""
    values = wanted.removeprefix("!").split("|")
    return f"{'!' if wanted.startswith('!') else ''}in({','.join(values)})"


def wanted_servers(options: RayOptions, *, busy: int, waiting: int) -> int:
    """How many servers there should be, while ``busy`` have runs and ``waiting`` runs have none."""
    least, most = options.bounds
    return max(least, min(most, busy + waiting + options.spare))


def _check_amount(name: str, amount: object) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 1e6:
        raise ArgumentError(name, f"must be a number from 0 on, not {amount!r}")
