"""Servers, models and sets of models as the scheduler sees them, and who holds what.

Each knows the others, so that a step touches only what it changes: a model knows its holders and the sets it is in, a
set the servers that hold it entirely, and a server the sets that it holds. All are in the order in which they came,
never in that of hashes, so that equal facts lead to equal choices.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from discomfort.pool.run_requests import ModelFile
from discomfort.pool.server_classes import ServerClass

UNKNOWN_VRAM = 24_000_000_000
"""What a server is taken to have that does not tell."""


@dataclass(eq=False, slots=True)
class KnownModel:
    """A model, for one tenant where servers are not shared. ``seen`` is when it was last asked for."""

    file: ModelFile
    scope: str
    size: int
    seen: float = float("-inf")
    holders: dict[KnownServer, None] = field(default_factory=dict)
    sets: dict[ModelSet, None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class ModelSet:
    """Models that runs need together. ``models`` has the smallest first, since few servers hold that one.

    ``core`` is the set of the largest model alone: a server that holds it has least to load. ``uses`` counts who keeps
    the set known, ``wanted`` the runs that wait for it, or for a set of which it is the core.
    """

    scope: str
    files: frozenset[ModelFile]
    models: tuple[KnownModel, ...]
    core: ModelSet | None = None
    uses: int = 0
    wanted: int = 0
    holders: dict[ServerGroup, dict[KnownServer, None]] = field(default_factory=dict)
    idle: dict[ServerGroup, OrderedDict[KnownServer, None]] = field(default_factory=dict)

    def held_by(self, server: KnownServer) -> bool:
        """Whether the server has it all, and for this tenant."""
        if self.scope != server.scope:
            return False
        held = server.held
        return all(model in held for model in self.models)


@dataclass(eq=False, slots=True)
class ServerGroup:
    """Servers that are alike: of one class and, where servers are not shared, of one owner."""

    server_class: ServerClass
    owner: str | None
    room: int
    size: int = 0
    members: int = 0
    """How many of them take runs."""
    idle: list[KnownServer] = field(default_factory=list)
    empty: OrderedDict[KnownServer, None] = field(default_factory=OrderedDict)
    """Those of them that hold nothing and are idle."""


@dataclass(eq=False, slots=True)
class KnownServer:
    """A server. ``held`` has the models that it holds, the longest unused first.

    ``scope`` is the tenant for whom it holds them, where servers are not shared. ``place`` is its index among the idle
    ones of its group, -1 if it is not idle. ``bare`` is the least VRAM that it was seen to use without a model.
    """

    name: str
    group: ServerGroup
    keeps_last_only: bool
    scope: str
    held: OrderedDict[KnownModel, None] = field(default_factory=OrderedDict)
    used: int = 0
    sets: dict[ModelSet, None] = field(default_factory=dict)
    skeleton: str = ""
    place: int = -1
    busy: bool = False
    draining: bool = False
    last: int = 0
    """How many models its last run had: they are the last ones of ``held``, and are never pushed out by their size."""
    bare: int = 0
