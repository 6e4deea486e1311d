"""Classes of servers, and the requirements by which a run fits some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerClass:
    """What decides which runs fit a server. Servers with an equal class are alike for the scheduler.

    ``vram`` is in bytes, 0 if unknown. ``definitions`` is the fingerprint of the node definitions. ``labels`` are
    sorted pairs, made by :func:`labels_of`.
    """

    vram: int = 0
    definitions: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    lacks: frozenset[str] = frozenset()
    """Models that runs of this pool use and these servers do not have, as ``folder/name``."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a run requires of a server's class.

    ``labels`` are pairs of a label and what it must be: a value, several as ``a100|h100``, or none of them as
    ``!t4|l4``. ``vram`` is in bytes. ``definitions`` are fingerprints of node definitions of which one is needed; empty
    for any. ``models`` as ``folder/name`` must be there.
    """

    labels: tuple[tuple[str, str], ...] = ()
    vram: int = 0
    definitions: frozenset[str] = field(default_factory=frozenset)
    models: frozenset[str] = frozenset()

    def misfits(self, server: ServerClass) -> list[str]:
        """Why a run does not fit servers of this class; empty if it does."""
        found = []
        if self.definitions and server.definitions not in self.definitions:
            found.append("has other node definitions")
        if missing := sorted(self.models & server.lacks):
            found.append(f"lacks the model {', '.join(missing)}")
        if self.vram and server.vram and server.vram < self.vram:
            found.append(f"has {server.vram / 1e9:.3g} GB of VRAM, and {self.vram / 1e9:.3g} are required")
        has = dict(server.labels)
        for label, wanted in self.labels:
            if not matches(has.get(label), wanted):
                found.append(f"has {label}={has.get(label, 'nothing')}, and {wanted} is required")
        return found


def labels_of(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The pairs of a mapping, sorted."""
    return tuple(sorted(labels.items()))


def matches(value: str | None, wanted: str) -> bool:
    """Whether a label's value is one of those that ``wanted`` names, or none of those after ``!``."""
    if wanted.startswith("!"):
        return value not in wanted[1:].split("|")
    return value in wanted.split("|")
