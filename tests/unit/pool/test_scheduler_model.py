"""Any order of events, compared with a naive model: what begins may begin, and what the scheduler counts is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.pool.pool_facts import GB, model

from discomfort.pool.run_requests import ModelFile, PoolRequest
from discomfort.pool.scheduler import Policy, RunAssignment, Scheduler
from discomfort.pool.server_classes import Requirement, ServerClass

SERVERS = [f"s{number}" for number in range(5)]
TENANTS = st.sampled_from(["x", "y", "z"])
SIZES = {"a": 4, "b": 6, "c": 12, "d": 20, "e": 30}
CLASSES = [ServerClass(24 * GB), ServerClass(48 * GB, labels=(("gpu", "h100"),)), ServerClass(0, "other definitions")]
NEEDS = [
    Requirement(),
    Requirement(),
    Requirement(),
    Requirement(vram=40 * GB),
    Requirement(labels=(("gpu", "h100"),)),
    Requirement(definitions=frozenset({"other definitions"})),
]
MODELS = st.frozensets(st.sampled_from(sorted(SIZES)), max_size=3)
MAX_WAIT = 40.0


@dataclass
class Naive:
    """What a server is to somebody who only reads the rules."""

    server_class: ServerClass
    keeps_last_only: bool
    held: list[ModelFile] = field(default_factory=list)
    last: int = 0
    user: str | None = None
    run: PoolRequest | None = None
    draining: bool = False

    @property
    def room(self) -> int:
        return self.server_class.vram or 24 * GB

    def shorten(self, size: Callable[[ModelFile], int], room: float) -> None:
        while sum(map(size, self.held)) > room and len(self.held) > self.last:
            del self.held[0]

    def use(self, models: frozenset[ModelFile], size: Callable[[ModelFile], int]) -> None:
        order = sorted(models, key=lambda file: (size(file), file))
        there = [file for file in order if file in self.held]
        new = [file for file in order if file not in self.held]
        kept = [] if self.keeps_last_only else [file for file in self.held if file not in models]
        while kept and sum(map(size, [*kept, *order])) > self.room and new:
            del kept[0]
        self.held = [*kept, *there, *new]
        self.last = len(order)


class SchedulerMachine(RuleBasedStateMachine):
    """A scheduler, and what must hold of it after whatever happened."""

    share: str = "all"

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.count = 0
        self.waiting: dict[str, PoolRequest] = {}
        self.ended: set[str] = set()
        self.servers: dict[str, Naive] = {}
        self.sizes = {model(name): size * GB for name, size in SIZES.items()}
        self.scheduler = Scheduler(Policy(max_wait=MAX_WAIT, share=self.share))  # type: ignore[arg-type]

    @initialize()
    def learn(self) -> None:
        for file, size in self.sizes.items():
            self.scheduler.learn_size(file, size)

    def size(self, file: ModelFile) -> int:
        return self.sizes[file]

    # --- what happens ---

    @rule(name=st.sampled_from(SERVERS), server_class=st.sampled_from(CLASSES), last_only=st.booleans())
    def add(self, name: str, server_class: ServerClass, last_only: bool) -> None:
        if name in self.servers:
            with pytest.raises(ValueError, match=name):
                self.scheduler.add_server(name, server_class)
        else:
            self.scheduler.add_server(name, server_class, keeps_last_only=last_only)
            self.servers[name] = Naive(server_class, last_only)

    @rule(
        tenant=TENANTS,
        names=MODELS,
        priority=st.integers(-1, 1),
        needs=st.sampled_from(NEEDS),
        avoided=st.frozensets(st.sampled_from(SERVERS), max_size=1),
        skeleton=st.sampled_from(["", "k1", "k2"]),
        runs=st.integers(1, 4),
        seconds=st.sampled_from([None, 1.0, 30.0]),
    )
    def submit(self, tenant: str, names: frozenset[str], runs: int, needs: Requirement, **more: Any) -> None:
        for _ in range(runs):
            self.count += 1
            request = PoolRequest(
                str(self.count), self.now, tenant, frozenset(map(model, names)), requirement=needs, **more
            )
            self.waiting[request.id] = request
            self.scheduler.submit(request, self.now)

    @rule(number=st.integers(0, 40))
    def cancel(self, number: int) -> None:
        request_id = str(number)
        assert self.scheduler.cancel(request_id) is (request_id in self.waiting)
        if self.waiting.pop(request_id, None):
            self.ended.add(request_id)

    @rule(data=st.data(), seconds=st.sampled_from([None, 1.0, 25.0]))
    @precondition(lambda self: any(server.run for server in self.servers.values()))
    def finish(self, data: st.DataObject, seconds: float | None) -> None:
        name = data.draw(st.sampled_from([name for name, server in self.servers.items() if server.run]))
        run, self.servers[name].run = self.servers[name].run, None
        assert run is not None
        self.ended.add(run.id)
        self.scheduler.finished(name, self.now, seconds=seconds)

    @rule(data=st.data())
    @precondition(lambda self: self.servers)
    def die(self, data: st.DataObject) -> None:
        """What ran there waits again, and goes elsewhere."""
        name = data.draw(st.sampled_from(sorted(self.servers)))
        run = self.servers.pop(name).run
        self.scheduler.remove_server(name)
        if run is not None:
            again = PoolRequest(
                run.id,
                run.at,
                run.tenant,
                run.models,
                requirement=run.requirement,
                avoided=run.avoided | {name},
                seconds=run.seconds,
            )
            self.waiting[run.id] = again
            self.scheduler.submit(again, self.now)

    @rule(data=st.data(), what=st.sampled_from(["drain", "resume", "forget"]))
    @precondition(lambda self: self.servers)
    def tell(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.servers)))
        getattr(self.scheduler, what)(name)
        server = self.servers[name]
        if what == "forget":
            server.held, server.last = [], 0
        else:
            server.draining = what == "drain"

    @rule(data=st.data(), used=st.sampled_from([0, 5, 15, 30, 60]))
    @precondition(lambda self: self.servers)
    def check(self, data: st.DataObject, used: int) -> None:
        """The book is shortened from its old end, and never below what is used."""
        name = data.draw(st.sampled_from(sorted(self.servers)))
        before = list(self.scheduler.held_by(name))
        self.scheduler.check(name, used * GB)
        after = list(self.scheduler.held_by(name))
        server = self.servers[name]
        assert after == before[len(before) - len(after) :]
        assert after == before or not server.run
        if len(after) < len(before):
            assert sum(map(self.size, before)) > used * GB - 60 * GB
            server.held, server.last = after, 0

    @rule(name=st.sampled_from(sorted(SIZES)), size=st.integers(1, 30))
    def learn_size(self, name: str, size: int) -> None:
        """Where nothing waits or runs: else sets keep the order in which they were made."""
        if self.waiting or any(server.run or server.held for server in self.servers.values()):
            return
        self.sizes[model(name)] = size * GB
        self.scheduler.learn_size(model(name), size * GB)

    @rule(data=st.data(), server_class=st.sampled_from(CLASSES))
    @precondition(lambda self: self.servers)
    def change_class(self, data: st.DataObject, server_class: ServerClass) -> None:
        name = data.draw(st.sampled_from(sorted(self.servers)))
        self.scheduler.change_class(name, server_class)
        server = self.servers[name]
        server.server_class = server_class
        server.shorten(self.size, server.room)

    @rule(seconds=st.sampled_from([0.1, 3.0, 50.0]))
    def clock(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def decide(self) -> None:
        for begun in self.scheduler.decide(self.now):
            self.begin(begun)
        self.nobody_waits_for_nothing()

    # --- what must hold ---

    def fits(self, request: PoolRequest, name: str) -> bool:
        """Whether the run may go to an idle server."""
        server = self.servers[name]
        return (
            not server.draining
            and server.run is None
            and name not in request.avoided
            and not request.requirement.misfits(server.server_class)
            and (self.share != "never" or server.user in (None, request.tenant))
        )

    def begin(self, begun: RunAssignment) -> None:
        request = self.waiting.pop(begun.request.id)
        assert begun.request is request
        assert self.fits(request, begun.server)
        server = self.servers[begun.server]
        other = server.user is not None and server.user != request.tenant
        assert begun.wipe is (self.share == "in-turn" and other)
        if self.share != "all" and other:
            server.held = []
        assert begun.loads == request.models - set(server.held)
        server.use(request.models, self.size)
        server.user, server.run = request.tenant, request

    def nobody_waits_for_nothing(self) -> None:
        """After a decision: no server is idle that holds what somebody waits for, or that fits who waited too long."""
        check = self.scheduler.next_check(self.now)
        for request in self.waiting.values():
            idle = [name for name in self.servers if self.fits(request, name)]
            assert not idle or request.at + MAX_WAIT > self.now
            assert not idle or check is not None
            for name in idle:
                server = self.servers[name]
                mine = self.share == "all" or server.user == request.tenant
                assert not (mine and request.models <= set(server.held))

    @invariant()
    def a_run_is_in_one_place(self) -> None:
        running = [server.run.id for server in self.servers.values() if server.run]
        assert len(running) == len(set(running))
        assert not set(running) & set(self.waiting)
        assert not self.ended & (set(running) | set(self.waiting))
        assert self.scheduler.waiting == len(self.waiting)
        for tenant in "xyz":
            mine = [request for request in self.waiting.values() if request.tenant == tenant]
            assert self.scheduler.waiting_of(tenant) == len(mine)
        for request in self.waiting.values():
            assert 0 <= self.scheduler.outlook(request.id, self.now).position < len(self.waiting)

    @invariant()
    def the_book_is_as_by_the_rules(self) -> None:
        for name, server in self.servers.items():
            held = self.scheduler.held_by(name)
            assert list(held) == server.held
            assert sum(held.values()) <= server.room or len(held) <= server.last

    @invariant()
    def the_counts_are_as_counted(self) -> None:
        book, room = self.scheduler._book, self.scheduler._room
        active = [server for server in book.servers.values() if not server.draining]
        idle = [server for server in active if not server.busy]
        assert book.idle == len(idle) == sum(len(group.idle) for group in book.groups.values())
        assert all(server.group.idle[server.place] is server for server in idle)
        sets = list(book.known._sets.values())
        for models in sets:
            holders = [server for server in active if models.held_by(server)]
            assert {server for servers in models.holders.values() for server in servers} == set(holders)
            assert {server for servers in models.idle.values() for server in servers} == set(holders) & set(idle)
            wanted = [run for run in room.runs.values() if models in (run.lane.models, run.lane.models.core)]
            assert models.wanted == len(wanted)
            assert (models in book.ready) is bool(models.wanted and models.idle)
        for group in book.groups.values():
            assert group.members == len([server for server in active if server.group is group]) <= group.size
            assert set(group.empty) == {server for server in group.idle if not server.held}


class InTurnMachine(SchedulerMachine):
    """The same where servers are wiped between tenants."""

    share = "in-turn"


class NeverMachine(SchedulerMachine):
    """The same where servers belong to a tenant."""

    share = "never"


FEW = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
TestShared = SchedulerMachine.TestCase
TestInTurn = InTurnMachine.TestCase
TestNever = NeverMachine.TestCase
TestShared.settings = TestInTurn.settings = TestNever.settings = FEW
