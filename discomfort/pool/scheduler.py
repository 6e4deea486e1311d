"""The scheduler: facts in, assignments out. Pure: no I/O, and the clock is the caller's.

Why each rule is there; ``benchmarks/pool_simulation`` measures what they are worth:

- *Fair among tenants* (``fair_shares``). A tenant that sends a thousand runs at once delays the others by a few
  seconds, not by the time that its runs take. Within a tenant the higher priority goes first, then the older run.
- *Warm first* (``choices``). A load takes as long as several runs, so a run goes to a server that holds its models.
- *A load has a price* (``load_costs``). Without one, each run that finds its server busy is loaded elsewhere and pushes
  out what the next one needs: as many loads as without a book. So a load must be shorter than the wait for those that
  hold the models; what it pushes out counts, divided by the servers that also hold it.
- *No idle server while there is work.* Tenants that had more than their share get what is left over.
- *A bounded wait.* A model that few want may never be worth its load while others have work. So a run waits for its
  load's price at most before it goes first, and after ``max_wait`` nothing is weighed. Where more runs wait that long
  than the pool can serve, the bound cannot hold; then those go on whose models are there.
- *Sets, not models* (``holdings``). A run needs all its models at once. Where one server holds the largest of them, the
  rest is cheap to load there.
- *A book, not a guess* (``server_book``). ComfyUI does not say what it holds. What ran there says it, until a restart.
- *Bounded work and memory.* A decision looks at few servers and runs, however many there are, and a run with a model
  that was never seen before leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from discomfort.pool.choices import Choice, Choices
from discomfort.pool.fair_shares import FairShares
from discomfort.pool.holdings import KnownModel, KnownServer, ModelSet
from discomfort.pool.known_sets import KnownSets
from discomfort.pool.learnt_rates import LearntRates
from discomfort.pool.load_costs import LoadCosts
from discomfort.pool.outlooks import Outlook, outlook_of
from discomfort.pool.pool_policy import Policy, Share
from discomfort.pool.run_requests import ModelFile, PoolRequest
from discomfort.pool.server_book import ServerBook
from discomfort.pool.server_classes import ServerClass
from discomfort.pool.waiting_room import NeedsKey, WaitingRoom
from discomfort.pool.waiting_runs import WaitingRun

__all__ = ["Outlook", "Policy", "RunAssignment", "Scheduler", "Share"]


@dataclass(frozen=True, slots=True)
class RunAssignment:
    """A run that begins now on a server. ``loads`` are the models that the server does not hold, as far as is known.

    ``wipe``: the server must first forget what it did for another tenant.
    """

    request: PoolRequest
    server: str
    loads: frozenset[ModelFile] = frozenset()
    wipe: bool = False


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run on a server: what it was charged, and what it loads."""

    run: WaitingRun
    charged: float
    loads: list[KnownModel]


class Scheduler:
    """Decides which run goes to which server.

    Fair among tenants (start-time fair queueing), then by what the servers hold, then by what a load would cost,
    including what it pushes out. Not safe for threads.
    """

    def __init__(self, policy: Policy | None = None, *, seed: int = 0) -> None:
        self.policy = policy or Policy()
        chosen = self.policy
        self._rates = LearntRates(
            load_rate=chosen.load_rate, load_overhead=chosen.load_overhead, first_guess=chosen.first_guess
        )
        self._shares = FairShares(chosen.weights)
        self._book = ServerBook(KnownSets(chosen.unknown_size), owned=chosen.share == "never")
        self._room = WaitingRoom(self._shares, chosen.max_wait)
        self._costs = LoadCosts(self._rates, seed)
        self._choices = Choices(chosen, self._book, self._room, self._costs)
        self._begun: dict[KnownServer, _Begun] = {}

    # --- facts ---

    def add_server(self, name: str, server_class: ServerClass, *, keeps_last_only: bool = False) -> None:
        """A server is ready, holds nothing and is idle. ``keeps_last_only``: it keeps the models of its last run only.

        Raises ValueError if there is one of this name.
        """
        self._book.add(name, server_class, keeps_last_only=keeps_last_only)

    def change_class(self, name: str, server_class: ServerClass) -> None:
        """The server has other files or definitions now."""
        self._book.change_class(name, server_class)

    def remove_server(self, name: str) -> None:
        """The server is gone. What ran there is the caller's to submit again."""
        begun = self._begun.pop(self._book.servers[name], None)
        if begun is not None:
            self._shares.settle(begun.run.tenant, begun.charged, None)
        self._book.remove(name)

    def drain(self, name: str) -> None:
        """The server gets no more runs."""
        self._book.drain(name)

    def resume(self, name: str) -> None:
        """The server gets runs again."""
        self._book.resume(name)

    def forget(self, name: str) -> None:
        """The server holds nothing: it was restarted, freed, or ran out of memory."""
        self._book.forget(name)

    def check(self, name: str, used: int) -> None:
        """The server's own figure: it uses so many bytes of VRAM. Where the book has clearly more, it was wrong.

        Does nothing while a run is there, whose models may still be on the way.
        """
        self._book.check(name, used)

    def learn_size(self, model: ModelFile, size: int) -> None:
        """The size of a model's file."""
        self._book.learn_size(model, size)

    def submit(self, request: PoolRequest, now: float) -> None:
        """A run waits, for the first time or again. Raises ValueError if one with its id waits already."""
        if request.id in self._room.runs:
            raise ValueError(f"the run {request.id!r} waits already; cancel it before it is submitted again")
        tenant = self._shares.arriving(request.tenant)
        models = self._book.use(self._scope(request.tenant), request.models)
        for model in models.models:
            model.seen = max(model.seen, now)
        seconds = request.seconds
        if seconds is None:
            seconds = self._rates.run_seconds(*_kinds(request, models))
        late = self._costs.load_seconds(models.models)
        lane = self._room.lane(models, self._needs(request))
        self._room.enter(request, tenant, lane, max(seconds, 0.0), late)
        self._book.want(models)
        if models.core is not None:
            self._book.want(models.core)

    def cancel(self, request_id: str) -> bool:
        """A run waits no longer. Returns whether it did."""
        run = self._room.runs.get(request_id)
        if run is None:
            return False
        self._leave(run)
        self._book.unuse(run.lane.models)
        return True

    def _leave(self, run: WaitingRun) -> None:
        self._room.leave(run)
        models = run.lane.models
        self._book.unwant(models)
        if models.core is not None:
            self._book.unwant(models.core)

    def finished(self, name: str, now: float, *, seconds: float | None = None) -> None:
        """The server's run has ended, and the server is idle. ``seconds`` is what it took; ``None`` if it tells nothing
        of the next ones, as after an error. Does nothing if no run was there."""
        server = self._book.servers[name]
        begun = self._begun.pop(server, None)
        if begun is None:
            return
        self._shares.settle(begun.run.tenant, begun.charged, seconds)
        if seconds is not None:
            self._learn(begun, seconds)
        self._book.release(server)

    def _learn(self, begun: _Begun, seconds: float) -> None:
        request, models = begun.run.request, begun.run.lane.models
        kinds = _kinds(request, models)
        if not begun.loads:
            self._rates.learn_run(seconds, *kinds)
            return
        known = request.seconds is not None or self._rates.knows(kinds[0])
        if known:
            warm = request.seconds if request.seconds is not None else self._rates.run_seconds(*kinds)
            self._rates.learn_load(seconds - warm, sum(model.size for model in begun.loads), len(begun.loads))
        else:
            self._rates.learn_run(max(seconds - self._costs.load_seconds(begun.loads), 0.1 * seconds), *kinds)

    # --- choices ---

    def decide(self, now: float) -> list[RunAssignment]:
        """The runs that begin now. They wait no longer, and their servers are not idle."""
        self._room.advance(now)
        self._choices.begin()
        begun = []
        while self._book.idle and self._room.runs and (choice := self._choices.pick(now)):
            begun.append(self._begin(choice))
        return begun

    def _begin(self, choice: Choice) -> RunAssignment:
        run, server = choice.run, choice.server
        request, models = run.request, run.lane.models
        self._leave(run)
        loads, wipe = self._book.occupy(server, models, request.tenant, request.skeleton)
        self._book.unuse(models)
        charged = run.seconds + self._costs.load_seconds(loads)
        self._shares.charge(run.tenant, charged)
        self._begun[server] = _Begun(run, charged, loads)
        return RunAssignment(request, server.name, frozenset(model.file for model in loads), wipe)

    def next_check(self, now: float) -> float | None:
        """When to decide again, although nothing happens until then; ``None`` if there is no reason to."""
        if not self._book.idle or not self._room.runs or not self._choices.eligible():
            return None
        if self._choices.unfinished:
            return now
        at = self._room.next_time()
        return None if at is None else max(at, now)

    # --- views ---

    def misfits(self, request: PoolRequest) -> dict[str, list[str]]:
        """Why the run fits none of the servers, by name of the server; empty if it fits one, also a busy one."""
        owner = self._needs(request)[2]
        found: dict[str, list[str]] = {}
        reasons = {
            group: request.requirement.misfits(group.server_class)
            + (["belongs to another tenant"] if group.owner not in (None, owner) else [])
            for group in self._book.groups.values()
        }
        for server in self._book.servers.values():
            why = list(reasons[server.group])
            if server.name in request.avoided:
                why.append("is avoided, since the run failed there")
            if not why:
                return {}
            found[server.name] = why
        return found

    def outlook(self, request_id: str, now: float) -> Outlook:
        """What a waiting run can expect. Raises KeyError if it does not wait."""
        return outlook_of(self._room.runs[request_id], self._book, self._shares, len(self._room.runs))

    def expected_load(self, models: frozenset[ModelFile]) -> float:
        """Seconds that loading these takes."""
        return sum(self._rates.load_seconds(self._book.known.size(file)) for file in sorted(models))

    def held_by(self, name: str) -> dict[ModelFile, int]:
        """What the book says that a server holds, with sizes, the longest unused first."""
        return {model.file: model.size for model in self._book.servers[name].held}

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._room.runs)

    def waiting_of(self, tenant: str) -> int:
        """How many runs of a tenant wait."""
        found = self._shares.find(tenant)
        return len(found.waiting) if found else 0

    @property
    def steps(self) -> int:
        """How many runs and servers all decisions have looked at: what they cost, on any machine."""
        return self._choices.steps + self._costs.steps

    # --- who is who ---

    def _scope(self, tenant: str) -> str:
        """For whom what a server holds counts: all, or one tenant."""
        return "" if self.policy.share == "all" else f"tenant {tenant}"

    def _needs(self, request: PoolRequest) -> NeedsKey:
        return request.requirement, request.avoided, request.tenant if self.policy.share == "never" else None


def _kinds(request: PoolRequest, models: ModelSet) -> tuple[Hashable, ...]:
    """Kinds of run, the most particular first: what is known of one that is like it."""
    largest = models.models[-1].file if models.models else None
    return (request.skeleton, largest), ("", largest)
