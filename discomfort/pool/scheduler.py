"""The scheduler: facts in, assignments out. Pure: no I/O, and the clock is the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from discomfort.pool.run_requests import ModelFile, RunRequest
from discomfort.pool.server_classes import ServerClass

Share = Literal["all", "in-turn", "never"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the scheduler weighs. Times are in seconds, sizes in bytes.

    ``max_wait`` bounds the wait: a run that has waited so long gets the next idle server that fits, whatever must be
    loaded. ``slack`` is by how many seconds of work a tenant may be ahead of the others before they go first.
    ``weights`` are the tenants' shares, 1 where nothing is said. ``share`` says who may use a server after whom:
    ``all`` tenants at once, ``in-turn`` (the server is wiped between two tenants), or ``never`` (a server belongs to
    the tenant that used it first). ``load_rate`` and ``load_overhead`` are what a load is expected to take before any
    was seen; ``unknown_size`` is the size of a model that nobody has told.
    """

    max_wait: float = 60.0
    slack: float = 30.0
    share: Share = "all"
    weights: Mapping[str, float] = field(default_factory=dict)
    load_rate: float = 1e9
    load_overhead: float = 2.0
    unknown_size: int = 6_000_000_000
    first_guess: float = 10.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A run that begins now on a server. ``loads`` are the models that the server does not hold, as far as is known.

    ``wipe``: the server must first forget what it did for another tenant.
    """

    request: RunRequest
    server: str
    loads: frozenset[ModelFile] = frozenset()
    wipe: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting run can expect: how many runs go before it, in how many seconds, and why it waits."""

    position: int
    about: float | None
    reason: str


class Scheduler:
    """Decides which run goes to which server.

    Fair among tenants (start-time fair queueing), then by what the servers hold, then by what a load would cost,
    including what it pushes out. Not safe for threads.
    """

    def __init__(self, policy: Policy | None = None, *, seed: int = 0) -> None: ...

    # --- facts ---
    def add_server(self, name: str, server_class: ServerClass, *, keeps_last_only: bool = False) -> None:
        """A server is ready, holds nothing and is idle. ``keeps_last_only``: it keeps the models of its last run only."""

    def change_class(self, name: str, server_class: ServerClass) -> None:
        """The server has other files or definitions now."""

    def remove_server(self, name: str) -> None:
        """The server is gone. What ran there is the caller's to submit again."""

    def drain(self, name: str) -> None:
        """The server gets no more runs."""

    def resume(self, name: str) -> None:
        """The server gets runs again."""

    def forget(self, name: str) -> None:
        """The server holds nothing: it was restarted, freed, or ran out of memory."""

    def check(self, name: str, used: int) -> None:
        """The server's own figure: it uses so many bytes of VRAM. Where the book has clearly more, it was wrong."""

    def learn_size(self, model: ModelFile, size: int) -> None:
        """The size of a model's file."""

    def submit(self, request: RunRequest, now: float) -> None:
        """A run waits, for the first time or again."""

    def cancel(self, request_id: str) -> bool:
        """A run waits no longer. Returns whether it did."""

    def finished(self, name: str, now: float, *, seconds: float | None = None) -> None:
        """The server's run has ended, and the server is idle. ``seconds`` is what it took; ``None`` if it tells nothing
        of the next ones, as after an error."""

    # --- choices ---
    def decide(self, now: float) -> list[Assignment]:
        """The runs that begin now. They wait no longer, and their servers are not idle."""

    def next_check(self, now: float) -> float | None:
        """When to decide again, although nothing happens until then; ``None`` if there is no reason to."""

    # --- views ---
    def misfits(self, request: RunRequest) -> dict[str, list[str]]:
        """Why the run fits none of the servers, by name of the server; empty if it fits one, also a busy one."""

    def outlook(self, request_id: str, now: float) -> Outlook:
        """What a waiting run can expect."""

    def expected_load(self, models: frozenset[ModelFile]) -> float:
        """Seconds that loading these takes."""

    def held_by(self, name: str) -> dict[ModelFile, int]:
        """What the book says that a server holds, with sizes, the longest unused first."""

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return 0

    def waiting_of(self, tenant: str) -> int:
        """How many runs of a tenant wait."""
        return 0
