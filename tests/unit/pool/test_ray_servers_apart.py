"""A server on a cluster and its fleet, with actors that the tests hold in their hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from discomfort.exceptions import (
    ConfigurationError,
    RunTimeout,
    ServerDiedError,
    ServerStartError,
    ServerStartTimeout,
    StateError,
)
from discomfort.pool import ray_fleet, ray_server
from discomfort.pool.actor_ends import ActorLost, AvoidedNodes
from discomfort.pool.file_shelf import FileShelf
from discomfort.pool.ray_fleet import RayFleet
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.ray_server import RayPlace, RayServer
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_actor import ActorFacts, ServerOrder
from discomfort.progress import Started

LEASE = 0.05


class FakeLink:
    """An actor. ``start_error`` is raised by its start, ``dies_at`` names a call at which it dies."""

    def __init__(self, node: str = "n1", *, start_error: Exception | None = None, dies_at: str = "") -> None:
        self.node = ""
        self._home, self._start_error, self._dies_at = node, start_error, dies_at
        self.renewed_at = time.monotonic()
        self.renewals = 0
        self.calls: list[tuple[Any, ...]] = []
        self.killed = self.given_up = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.states: asyncio.Queue[bool] = asyncio.Queue()
        self.items: asyncio.Queue[Any] = asyncio.Queue()

    def renew(self) -> None:
        self.renewals += 1
        self.renewed_at = time.monotonic()

    def give_up(self) -> None:
        self.given_up = True

    def kill(self) -> None:
        self.killed = True
        self.die("killed")

    def die(self, problem: str, *, is_certain: bool = True) -> None:
        """All that waits for the actor sees its end."""
        if not self.lost.done():
            self.lost.set_exception(ActorLost(problem, is_certain=is_certain))
            self.lost.exception()

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        self.calls.append((name, *arguments))
        self.node = self._home
        if name == self._dies_at:
            self.die(f"at {name}")
        if self.lost.done():
            self.lost.result()
        if name == "start" and self._start_error is not None:
            raise self._start_error
        return ActorFacts("host", self.node, {"zone": "eu"}, 1, "http://127.0.0.1:8188") if name != "call" else ""

    async def stream(self, name: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        self.calls.append((name, *arguments))
        source = self.states if name == "states" else self.items
        while True:
            item = asyncio.ensure_future(source.get())
            await asyncio.wait([item, self.lost], return_when=asyncio.FIRST_COMPLETED)
            if self.lost.done():
                item.cancel()
                self.lost.result()
            if isinstance(item.result(), Exception):
                raise item.result()
            yield item.result()


class Actors:
    """Gives out the actors that a test has prepared, then plain ones."""

    def __init__(self, *prepared: FakeLink) -> None:
        self.prepared = list(prepared)
        self.made: list[FakeLink] = []
        self.avoided: list[frozenset[str]] = []

    def make(self, order: ServerOrder, avoided: frozenset[str]) -> FakeLink:
        self.avoided.append(avoided)
        self.made.append(self.prepared.pop(0) if self.prepared else FakeLink())
        return self.made[-1]

    def server(self, **place: Any) -> RayServer:
        """A server that is not started."""
        shared = RayPlace(self.make, FileShelf(lambda content: content), AvoidedNodes(), **place)
        return RayServer(ServerOrder("ray0", {}, LEASE), {"kind": "test"}, shared)


async def test_a_server_starts_in_an_actor() -> None:
    """Where it is, and its labels, are known then."""
    actors = Actors()
    server = actors.server()
    with pytest.raises(StateError, match="has no machine now"):
        await server.profile()

    await server.start()

    assert server.is_ready
    assert server.node == "n1"
    assert server.labels == {"zone": "eu", "kind": "test"}
    assert server.server_address == "http://127.0.0.1:8188#n1"
    await server.close()
    assert not server.is_ready or actors.made[0].killed


async def test_an_error_of_the_start_leaves_no_actor() -> None:
    """It is raised as it is, and not tried elsewhere."""
    actors = Actors(FakeLink(start_error=ConfigurationError("no ComfyUI", key="COMFYUI_PATH")))
    server = actors.server()

    with pytest.raises(ConfigurationError, match="no ComfyUI"):
        await server.start()

    assert [link.killed for link in actors.made] == [True]
    assert server.node == ""


async def test_an_actor_that_dies_at_once_is_made_elsewhere() -> None:
    """Its machine is avoided; after three machines it is an error."""
    actors = Actors(FakeLink("n1", dies_at="where"), FakeLink("n2", dies_at="start"))
    server = actors.server()

    await server.start()

    assert actors.avoided == [frozenset(), frozenset({"n1"}), frozenset({"n1", "n2"})]
    assert server.is_ready
    await server.close()
    hopeless = Actors(*(FakeLink(dies_at="where") for _ in range(3)))
    with pytest.raises(ServerStartError, match="the actor of the server ray0 died: at where"):
        await hopeless.server().start()


async def test_a_cluster_without_room_is_an_error() -> None:
    """It tells what the cluster has."""

    class Waiting(FakeLink):
        async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
            await asyncio.Event().wait()

    actors = Actors(Waiting())

    with pytest.raises(ServerStartTimeout, match="no room for the server ray0 within 0.01 s: it has nothing"):
        await actors.server(wait=0.01, room=lambda: "it has nothing").start()

    assert actors.made[0].killed


async def test_events_come_before_the_record() -> None:
    """Several at once, in their order; the folder is for this machine alone."""
    actors = Actors()
    server = actors.server()
    await server.start()
    (link,) = actors.made
    events: list[Any] = []
    link.items.put_nowait((Started("p1"), Started("p2")))
    link.items.put_nowait((RunRecord({}, ()),))

    record = await server.run(PoolOrder("r", {}, folder=Path("/nowhere")), events.append)

    assert [event.prompt_id for event in events] == ["p1", "p2"]
    assert record.artifacts == ()
    assert next(each for each in link.calls if each[0] == "run")[1].folder is None
    await server.close()


async def test_an_error_of_a_run_is_no_loss() -> None:
    """The server takes the next one."""
    actors = Actors()
    server = actors.server()
    await server.start()
    actors.made[0].items.put_nowait(RunTimeout("too long", timeout=1))

    with pytest.raises(RunTimeout):
        await server.run(PoolOrder("r", {}), lambda event: None)

    assert server.is_ready
    await server.close()


async def test_a_cancelled_run_is_cancelled_by_its_id() -> None:
    """And waited for, until it has ended there."""
    actors = Actors()
    server = actors.server()
    await server.start()
    (link,) = actors.made
    run = asyncio.create_task(server.run(PoolOrder("r-7", {}), lambda event: None))
    await until(lambda: any(each[0] == "run" for each in link.calls))

    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    assert link.calls[-1] == ("cancel", "r-7")
    await server.close()


@pytest.mark.parametrize("is_certain", [True, False])
async def test_a_lost_run_ends_when_nothing_of_it_goes_on(is_certain: bool) -> None:
    """At once where the process has ended; else after the lease. The server is lost at once, and another one comes."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    actors = Actors()
    server = actors.server(sleep=sleep)
    changes: list[bool] = []
    await server.start()
    server.watch(lambda: changes.append(server.is_ready))
    (link,) = actors.made
    run = asyncio.create_task(server.run(PoolOrder("r", {}), lambda event: None))
    await until(lambda: any(each[0] == "run" for each in link.calls))

    link.die("gone", is_certain=is_certain)

    with pytest.raises(ServerDiedError, match="the actor of the server ray0 on the machine n1 was lost: gone"):
        await run
    assert changes[0] is False
    assert link.given_up
    assert bool(waited) is not is_certain
    assert all(seconds > LEASE for seconds in waited)
    await until(lambda: server.is_ready)
    assert len(actors.made) == 2
    await server.close()


async def test_a_server_that_is_not_ready_is_told() -> None:
    """As its actor tells it, each change once."""
    actors = Actors()
    server = actors.server()
    changes: list[bool] = []
    await server.start()
    server.watch(lambda: changes.append(server.is_ready))

    for state in (True, False, False, True):
        actors.made[0].states.put_nowait(state)

    await until(lambda: changes == [False, True])
    await server.close()


async def test_leases_are_renewed_until_the_fleet_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread, for all servers; one that is lost gets no more."""
    link = FakeLink()
    monkeypatch.setattr(RayFleet, "_link", lambda self, order, avoided: link)
    fleet = RayFleet(RayOptions(lease=0.05), {}, {})
    server = fleet.server()
    await server.start()

    fleet.begin_leases()

    await until(lambda: link.renewals >= 3)
    await fleet.release()
    await server.close()


class FakePool:
    """Notes what its fleet wants."""

    def __init__(self) -> None:
        self.waiting = 0
        self.busy: set[str] = set()
        self.added: list[str] = []
        self.removed: list[tuple[str, float | None]] = []

    def waiting_runs(self) -> int:
        return self.waiting

    def is_busy(self, server: str) -> bool:
        return server in self.busy

    async def add(self, server: RayServer) -> None:
        self.added.append(server.name)

    async def remove(self, server: str, *, deadline: float | None = None) -> None:
        self.removed.append((server, deadline))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the fleet asks of Ray, and what it is told."""
    told: dict[str, Any] = {"requests": [], "draining": {}}

    def request(bundle: Mapping[str, float], count: int, selector: Mapping[str, str]) -> None:
        told["requests"].append(count)

    monkeypatch.setattr(ray_fleet.ray_cluster, "request_machines", request)
    monkeypatch.setattr(ray_fleet, "LOOK_EVERY", 0.005)
    return told


async def test_a_fleet_grows_with_the_runs_and_shrinks_after_them(cluster: dict[str, Any]) -> None:
    """Within its bounds; machines are requested for as many, and for none when it ends."""
    fleet, pool = RayFleet(RayOptions(servers=(1, 3), idle_timeout=0.05), {}, {}), FakePool()
    fleet._look_at_machines = lambda: cluster["draining"]
    first = fleet.server()
    pool.waiting, pool.busy = 5, {first.name}

    fleet.keep(pool)

    await until(lambda: pool.added == ["ray1", "ray2"])
    pool.waiting = 0
    await until(lambda: len(pool.removed) == 2)
    assert first.name in fleet.servers
    await fleet.end()
    await fleet.release()
    assert cluster["requests"][0] == 3
    assert cluster["requests"][-2:] == [1, 0]


async def test_a_fleet_leaves_machines_that_are_drained(cluster: dict[str, Any]) -> None:
    """In the time that they have left; another server takes the place."""
    fleet, pool = RayFleet(RayOptions(servers=1), {}, {}), FakePool()
    fleet._look_at_machines = lambda: cluster["draining"]
    first = fleet.server()
    first._life = ray_server._Life(FakeLink())
    first._life.link.node = "n1"
    fleet.keep(pool)

    cluster["draining"] = {"n1": 100.0, "n2": 5.0}

    await until(lambda: pool.removed and pool.added == ["ray1"])
    ((name, deadline),) = pool.removed
    assert name == first.name
    assert deadline is not None
    assert 0 < deadline < 100
    await fleet.end()


async def test_a_fleet_goes_on_without_what_ray_hides(
    cluster: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A private part of Ray that is gone is logged; the number of servers is kept when it is back."""
    fleet, pool = RayFleet(RayOptions(servers=2), {}, {}), FakePool()
    calls: list[int] = []

    def look() -> dict[str, float]:
        calls.append(1)
        if len(calls) == 1:
            raise AttributeError("get_draining_nodes")
        return {}

    fleet._look_at_machines = look
    fleet.server()

    fleet.keep(pool)

    await until(lambda: pool.added == ["ray1"])
    assert "could not be looked at" in caplog.text
    await fleet.end()
