"""The settings by which a pool's scheduler weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Share = Literal["all", "in-turn", "never"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the scheduler weighs. Times are in seconds, sizes in bytes.

    ``max_wait`` bounds the wait: a run that has waited so long gets the next idle server that fits, whatever must be
    loaded. ``slack`` is by how many seconds of work a tenant may be ahead of the others before they go first.
    ``weights`` are the tenants' shares, 1 where nothing is said. ``share`` says who may use a server after whom:
    ``all`` tenants at once, ``in-turn`` (the server is wiped between two tenants), or ``never`` (a server belongs to
    the tenant that used it first). ``load_rate`` and ``load_overhead`` are what a load is expected to take before any
    was seen; ``unknown_size`` is the size of a model that nobody has told, and ``first_guess`` how long a run takes
    before any was seen. ``patience``: where more runs than one have waited longer than ``max_wait``, those whose
    models are there go first, until another is older by so many times what its load takes.
    """

    max_wait: float = 60.0
    slack: float = 30.0
    share: Share = "all"
    weights: Mapping[str, float] = field(default_factory=dict)
    load_rate: float = 1e9
    load_overhead: float = 2.0
    unknown_size: int = 6_000_000_000
    first_guess: float = 10.0
    patience: float = 10.0
