"""Servers, models and runs for tests of the pool's scheduler, in few words."""

from __future__ import annotations

from itertools import count
from typing import Any

from discomfort.pool.run_requests import ModelFile, PoolRequest
from discomfort.pool.scheduler import Policy, RunAssignment, Scheduler
from discomfort.pool.server_classes import Requirement, ServerClass

GB = 1_000_000_000
_NUMBERS = count()


def model(name: str) -> ModelFile:
    """A checkpoint."""
    return ModelFile("checkpoints", name)


def run(*models: str, tenant: str = "default", at: float = 0.0, id: str = "", **more: Any) -> PoolRequest:  # noqa: A002
    """A run that needs these models."""
    name = id or f"r{next(_NUMBERS)}"
    return PoolRequest(name, at, tenant, frozenset(map(model, models)), **more)


def needs(**more: Any) -> Requirement:
    """A requirement, with labels as a dictionary."""
    labels = more.pop("labels", {})
    return Requirement(labels=tuple(sorted(labels.items())), **more)


class Pool:
    """A scheduler with a clock, and runs that take as long as they say."""

    def __init__(
        self, servers: int = 0, *, vram: int = 24, sizes: dict[str, float] | None = None, **policy: Any
    ) -> None:
        self.scheduler = Scheduler(Policy(**policy))
        self.now = 0.0
        for name, size in (sizes or {}).items():
            self.scheduler.learn_size(model(name), int(size * GB))
        for number in range(servers):
            self.add(f"s{number}", vram=vram)

    def add(self, name: str, *, vram: int = 24, keeps_last_only: bool = False, **more: Any) -> None:
        """A server."""
        server_class = ServerClass(vram=vram * GB, **more)
        self.scheduler.add_server(name, server_class, keeps_last_only=keeps_last_only)

    def submit(self, *runs: PoolRequest) -> None:
        """They wait from now on."""
        for one in runs:
            self.scheduler.submit(one, self.now)

    def decide(self, *runs: PoolRequest) -> dict[str, str]:
        """Submits these, and returns which run goes to which server."""
        return {begun.request.id: begun.server for begun in self.begin(*runs)}

    def begin(self, *runs: PoolRequest) -> list[RunAssignment]:
        """The same, with all that the assignments say."""
        self.submit(*runs)
        return self.scheduler.decide(self.now)

    def finish(self, *servers: str, seconds: float | None = None) -> None:
        """Their runs have ended."""
        for server in servers:
            self.scheduler.finished(server, self.now, seconds=seconds)

    def occupy(self, server: str, *models: str, tenant: str = "default", skeleton: str = "") -> None:
        """A run that may go nowhere else begins there."""
        others = frozenset(self.scheduler._book.servers) - {server}
        request = run(*models, tenant=tenant, at=self.now, avoided=others, seconds=5.0, skeleton=skeleton)
        [begun] = self.begin(request)
        assert begun.server == server

    def hold(self, server: str, *models: str, tenant: str = "default") -> None:
        """The server holds these from now on."""
        self.occupy(server, *models, tenant=tenant)
        self.finish(server)

    def held(self, server: str) -> list[str]:
        """What the book says, the longest unused first."""
        return [file.name for file in self.scheduler.held_by(server)]
