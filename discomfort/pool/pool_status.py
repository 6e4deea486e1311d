"""The status of a pool at one moment, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from discomfort.pool.server_slots import SlotState


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server. ``models`` are those that it holds, as far as the pool knows, with their sizes in bytes.

    ``run_id`` is what it executes, empty if it is idle. ``vram`` and ``vram_free`` are in bytes, 0 if unknown, and as
    the server last told. ``useful``, ``loading`` and ``idle`` are seconds of this server.
    """

    name: str
    state: SlotState
    reason: str
    url: str
    version: str
    device: str
    labels: Mapping[str, str]
    vram: int
    vram_free: int
    models: Mapping[str, int]
    run_id: str
    runs: int
    loads: int
    deaths: int
    useful: float
    loading: float
    idle: float


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """One tenant: how many of its runs wait and run, and its share when all want everything, from 0 to 1."""

    name: str
    waiting: int
    running: int
    share: float


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool. ``done`` and ``failed`` count the runs that have ended; the seconds are those of all servers."""

    servers: tuple[ServerStatus, ...]
    tenants: tuple[TenantStatus, ...]
    waiting: int
    running: int
    done: int
    failed: int
    is_closing: bool = False
    seconds: float = 0.0
    """Seconds since the pool was made."""

    @property
    def loads(self) -> int:
        """How many models were loaded, as far as the pool knows."""
        return sum(server.loads for server in self.servers)

    @property
    def useful(self) -> float:
        """Seconds in which servers executed something."""
        return sum(server.useful for server in self.servers)

    @property
    def loading(self) -> float:
        """Seconds in which servers loaded models for a run."""
        return sum(server.loading for server in self.servers)

    @property
    def idle(self) -> float:
        """Seconds in which servers waited for runs."""
        return sum(server.idle for server in self.servers)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, and the sums."""
        sums = {name: getattr(self, name) for name in ("loads", "useful", "loading", "idle")}
        return {**asdict(self), **sums}
