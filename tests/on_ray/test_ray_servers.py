"""A server of a pool on Ray, with the emulator as engine: its runs, and every end of it.

After each test no process of a server is left, no watchdog, and no file in the temporary folder.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from contract.engines import emulator_home
from contract.graphs import gate_prompt, node, picture_prompt, show_prompt, texts_of
from on_ray.clusters import hard_end, lives, local_cluster
from ports import first_port
from waiting import has_ended, until

from discomfort.exceptions import ConfigurationError, ExecutionInterrupted, ServerDiedError, StateError, ValidationError
from discomfort.pool.ray_fleet import RayFleet
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.ray_server import RayServer
from discomfort.pool.run_orders import PoolOrder
from discomfort.progress import Done, ProgressEvent, Started

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    # The start of a cluster is half a minute of work where everything else works too.
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
LONG, SHORT = 60.0, 5.0
"""Seconds of leases: longer than a busy machine may hold up a renewal, and for tests that wait for the end of one."""


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of all servers."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def ray(temporary: Path) -> Iterator[Any]:
    """A cluster of one node, whose actors have that folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with local_cluster(num_cpus=2) as module:
            yield module


@dataclass
class Servers:
    """The servers of one test."""

    fleet: RayFleet
    temporary: Path
    made: list[RayServer] = field(default_factory=list)

    async def start(self) -> RayServer:
        """One more, ready."""
        server = self.fleet.server()
        self.made.append(server)
        await server.start()
        await until(lambda: server.is_ready)
        return server

    def left(self) -> list[str]:
        """What servers have on this machine: their processes, those of their actors, their watchdogs, and files."""
        found = [str(path) for path in self.temporary.iterdir()]
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                if "ray::DiscomfortServer" in words or (
                    ("discomfort serve" in words or "watchdog_main" in words)
                    and str(self.temporary) in process.environ().get("TMPDIR", "")
                ):
                    found.append(f"process {process.pid} {words[:80]}")
            except psutil.Error:
                continue
        return found


@asynccontextmanager
async def made_servers(temporary: Path, base: Path, lease: float) -> AsyncIterator[Servers]:
    """Servers that are closed at the end."""
    settings = emulator_home(base, initial_port=first_port(18_900)).settings
    made = Servers(RayFleet(RayOptions(gpus=0, cpus=0, lease=lease), settings, {"kind": "test"}), temporary)
    made.fleet.begin_leases()
    try:
        yield made
    finally:
        await asyncio.gather(*(server.close() for server in made.made))
        await made.fleet.release()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(ray: Any, temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """One server for all tests that leave it as it was."""
    async with made_servers(temporary, tmp_path_factory.mktemp("base"), LONG) as made:
        await made.start()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def servers(ray: Any, temporary: Path, tmp_path: Path) -> AsyncIterator[Servers]:
    """Servers of one test, of which nothing stays."""
    async with made_servers(temporary, tmp_path / "base", LONG) as made:
        earlier = set(made.left())
        yield made
    await until(lambda: set(made.left()) <= earlier)


@pytest_asyncio.fixture(loop_scope="module")
async def hasty(ray: Any, temporary: Path, tmp_path: Path) -> AsyncIterator[Servers]:
    """The same with short leases, for tests that wait for the end of one."""
    async with made_servers(temporary, tmp_path / "base", SHORT) as made:
        yield made


def pid_of(server: RayServer) -> int:
    """The process of its actor."""
    life = server._life
    assert life is not None
    assert life.facts is not None
    return life.facts.pid


def engine_of(server: RayServer) -> psutil.Process:
    """The process of its ComfyUI."""
    (engine,) = (child for child in psutil.Process(pid_of(server)).children() if "serve" in child.cmdline())
    return engine


async def begun(server: RayServer, gate: Path, run_id: str = "gated") -> asyncio.Task[Any]:
    """A run that the server executes until ``gate`` is there."""
    events: list[ProgressEvent] = []
    task = asyncio.create_task(server.run(PoolOrder(run_id, gate_prompt(gate)), events.append))
    await until(lambda: task.done() or any(isinstance(event, Started) for event in events))
    return task


# --- runs ----------------------------------------------------------------------------------------------------------


async def test_a_run_gives_its_events_and_its_contents(shared: Servers, tmp_path: Path) -> None:
    """Events in order, then the record with the bytes of its files; with a folder, the files are saved here."""
    server = shared.made[0]
    events: list[ProgressEvent] = []
    order = PoolOrder("run-1", picture_prompt(prefix="ray"))

    record = await server.run(order, events.append)
    saved = await server.run(replace(order, run_id="run-2", folder=tmp_path / "saved"), events.append)

    kinds = [type(event) for event in events]
    assert kinds.index(Started) < kinds.index(Done)
    (artifact,) = record.artifacts
    assert artifact.data is not None
    assert artifact.data.startswith(b"\x89PNG")
    (file,) = saved.artifacts
    assert file.path is not None
    assert file.path.parent == tmp_path / "saved" / "run-2"
    assert file.path.read_bytes().startswith(b"\x89PNG")


async def test_what_a_pool_asks(shared: Servers) -> None:
    """Profile, answers of routes, health, and labels: those of the machine with those of the pool."""
    server = shared.made[0]

    profile = await server.profile()

    assert "ContractShow" in profile.definitions
    assert profile.url == server.server_address
    assert (await server.get("/system_stats"))["system"]["comfyui_version"] == profile.version
    assert await server.get("/no/such/route") is None
    assert await server.problem() == ""
    assert server.labels == {"ray.io/node-id": server.node, "kind": "test"}
    await server.free()
    await server.wipe()


async def test_files_are_put_once(shared: Servers, tmp_path: Path) -> None:
    """Whatever brings them, and to whichever server; there they are until they are discarded."""
    server = shared.made[0]
    (tmp_path / "a.txt").write_bytes(b"content")

    made = await server.upload_for_call(tmp_path / "a.txt", "a.txt", "")
    again = await server.upload_for_call(b"content", "a.txt", "")

    assert made.value == again.value
    assert len(shared.fleet._place.shelf._kept) == 1
    assert await server.has_file(made.value, "", "input")
    await server.discard_after_call(made)
    await server.discard_after_call(again)
    assert not await server.has_file(made.value, "", "input")


async def test_errors_are_those_of_a_connector(shared: Servers) -> None:
    """Raised by the server's refusal, or by its start, with all their fields."""
    server = shared.made[0]

    with pytest.raises(ValidationError) as caught:
        await server.run(PoolOrder("wrong", {"1": node("ContractShow", value="no number")}), lambda event: None)
    assert caught.value.prompt_id is None or caught.value.prompt_id

    shared.fleet._settings["no_such_setting"] = 1
    wrong = shared.fleet.server()
    with pytest.raises(ConfigurationError) as other:
        await wrong.start()
    assert other.value.key == "no_such_setting"
    with pytest.raises(StateError):
        await wrong.profile()


async def test_a_cancelled_run_ends_on_its_server(shared: Servers, gate: Path) -> None:
    """That one and no other: one that waits in the server's queue is executed then."""
    server = shared.made[0]
    run = await begun(server, gate)
    other = asyncio.create_task(server.run(PoolOrder("other", show_prompt(7)), lambda event: None))

    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    record = await other
    assert texts_of(record.history) == ["7"]


async def test_a_cancellation_may_come_before_its_run(shared: Servers) -> None:
    """The run then does not begin."""
    server = shared.made[0]
    life = server._life
    assert life is not None
    await life.link.call("cancel", "early")

    with pytest.raises(Exception, match="run early was cancelled"):
        await server.run(PoolOrder("early", show_prompt(1)), lambda event: None)


# --- ends ----------------------------------------------------------------------------------------------------------


async def test_a_killed_actor_is_replaced(servers: Servers, gate: Path) -> None:
    """Its run is lost at once, since the end of its process is certain; its server is ended, and another one comes."""
    server = await servers.start()
    changes: list[bool] = []
    server.watch(lambda: changes.append(server.is_ready))
    run = await begun(server, gate)
    engine, actor = engine_of(server), pid_of(server)

    hard_end(actor)

    with pytest.raises(ServerDiedError, match=f"server {server.name}.* was lost.*pid: {actor}"):
        await run
    assert changes[0] is False
    await until(lambda: server.is_ready)
    assert pid_of(server) != actor
    await until(lambda: has_ended(engine))
    assert texts_of((await server.run(PoolOrder("next", show_prompt(3)), lambda event: None)).history) == ["3"]


async def test_a_server_given_up_has_ended_before_its_run(hasty: Servers, gate: Path) -> None:
    """When the run's error is raised, nothing of it goes on any more: it may begin elsewhere."""
    server = await hasty.start()
    run = await begun(server, gate)
    engine, actor = engine_of(server), pid_of(server)

    server.give_up("it did not answer")

    assert not server.is_ready
    with pytest.raises(ServerDiedError, match="it did not answer"):
        await run
    assert has_ended(engine)
    assert not lives(actor)
    await until(lambda: server.is_ready)


async def test_an_actor_without_its_pool_ends(hasty: Servers, gate: Path) -> None:
    """After its lease, with its server: as when the network between them is gone."""
    server = await hasty.start()
    run = await begun(server, gate)
    engine, actor = engine_of(server), pid_of(server)

    hasty.fleet._ended.set()

    await until(lambda: not lives(actor))
    await until(lambda: has_ended(engine))
    with pytest.raises(ServerDiedError):
        await run


async def test_a_server_that_dies_is_restarted_by_its_actor(servers: Servers, gate: Path) -> None:
    """Its run ends as on this machine; meanwhile it is not ready, which the pool is told."""
    server = await servers.start()
    changes: list[bool] = []
    server.watch(lambda: changes.append(server.is_ready))
    run = await begun(server, gate)
    actor = pid_of(server)

    engine_of(server).kill()

    with pytest.raises(ServerDiedError) as caught:
        await run
    assert caught.value.signal == "SIGKILL"
    await until(lambda: server.is_ready)
    assert False in changes
    assert pid_of(server) == actor


@pytest.mark.parametrize("how", ["kill_now", "sigterm", "close"])
async def test_nothing_is_left_of_a_server(hasty: Servers, gate: Path, how: str) -> None:
    """However it ends, in the middle of a run: no process, no watchdog, no file.

    At SIGTERM Ray waits for calls that are under way, so the lease is what ends the actor.
    """
    earlier = set(hasty.left())
    server = await hasty.start()
    run = await begun(server, gate)
    assert set(hasty.left()) > earlier

    if how == "kill_now":
        server.kill_now()
    elif how == "sigterm":
        server._is_closed = True
        psutil.Process(pid_of(server)).terminate()
    else:
        await server.close()

    with pytest.raises(ExecutionInterrupted if how == "close" else ServerDiedError):
        await run
    await until(lambda: set(hasty.left()) <= earlier)
