"""What Ray does with machines that are preempted, die or hang, as far as our pool relies on it.

Each machine is a raylet of its own. To start and to lose them takes a while: these tests run with ``CLUSTERS=all``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import emulator_home
from contract.graphs import gate_prompt
from on_ray import actors
from on_ray.actors import Placed, Waiter
from on_ray.clusters import SECONDS, machines, raylet_of, start_driver
from ports import first_port
from waiting import has_ended, until

from discomfort.exceptions import ServerDiedError
from discomfort.pool.ray import draining_nodes
from discomfort.pool.ray_fleet import RayFleet
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.run_orders import PoolOrder
from discomfort.progress import Started

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(os.environ.get("CLUSTERS") != "all", reason="starts several machines; set CLUSTERS=all"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    # The start of a cluster is half a minute of work where everything else works too.
    pytest.mark.timeout(300),
]
SHORT_CHECKS = {
    **{f"RAY_health_check_{name}_ms": "1000" for name in ("period", "timeout", "initial_delay")},
    "RAY_health_check_failure_threshold": "3",
}
"""With these, set where the cluster's head starts, a machine that hangs is dead after about six seconds."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for actors, without authentication, and with short health checks."""
    with machines(RAY_AUTH_MODE="disabled", **SHORT_CHECKS) as made:
        import ray

        ray.cloudpickle.register_pickle_by_value(actors)
        yield made
        ray.cloudpickle.unregister_pickle_by_value(actors)


@pytest.fixture
def ray(cluster: Any) -> Any:
    """The module, connected."""
    import ray

    return ray


@pytest.fixture
def nodes(cluster: Any) -> Iterator[dict[str, Any]]:
    """Two machines, by the value of their label ``gpu``."""
    made = {label: cluster.add_node(num_cpus=4, labels={"gpu": label}) for label in ("l4", "a100")}
    yield made
    for node in made.values():
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


def placed(ray: Any, kind: type, gpu: str) -> Any:
    """An actor on a machine whose label fits."""
    options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "label_selector": {"gpu": gpu}}
    return ray.remote(**options)(kind).remote()


async def held(ray: Any, gpu: str) -> tuple[Any, Any]:
    """An actor on a machine, and a call of it that runs."""
    actor = placed(ray, Waiter, gpu)
    call = actor.hold.remote()
    assert await actor.what_happened.remote() == ["begun"]
    return actor, call


def is_listed(ray: Any, node: Any) -> bool:
    """Whether the head believes that a machine lives."""
    return any(row["NodeID"] == node.node_id and row["Alive"] for row in ray.nodes())


async def test_labels_choose_the_machine(ray: Any, nodes: dict[str, Any]) -> None:
    """By a value, several values, or all but some."""
    for selector, chosen in [("l4", "l4"), ("a100", "a100"), ("in(t4,a100)", "a100"), ("!in(t4,a100)", "l4")]:
        actor = placed(ray, Placed, selector)
        assert await actor.node.remote() == nodes[chosen].node_id


async def test_a_drained_machine_gets_nothing_new_and_lives_on(ray: Any, nodes: dict[str, Any]) -> None:
    """Also after its deadline: to end it is the cloud's part. Only a private interface shows that it drains."""
    actor, call = await held(ray, "l4")
    deadline = int(time.time() * 1000) + 300

    preemption = 2
    accepted, _ = ray._private.worker.global_worker.gcs_client.drain_node(
        nodes["l4"].node_id, preemption, "spot", deadline
    )

    assert accepted
    assert ray._private.state.state.get_draining_nodes() == {nodes["l4"].node_id: deadline}
    assert list(draining_nodes()) == [nodes["l4"].node_id]
    assert draining_nodes()[nodes["l4"].node_id] < 0.3
    assert "drain" not in repr(ray.nodes()).lower()
    others = [placed(ray, Placed, "in(l4,a100)") for _ in range(3)]
    homes = await asyncio.gather(*(other.node.remote() for other in others))
    assert set(homes) == {nodes["a100"].node_id}
    await until(lambda: time.time() * 1000 > deadline)
    await actor.let_go.remote()
    assert await call == "result"
    assert is_listed(ray, nodes["l4"])


async def test_a_machine_that_dies_takes_its_actors_along(ray: Any, cluster: Any, nodes: dict[str, Any]) -> None:
    """Their calls end with one of two errors, by what is known then: unavailable, or died; at last always the latter.

    Until the head knows it, it may place new actors there.
    """
    actor, call = await held(ray, "l4")
    node = nodes["l4"]

    cluster.remove_node(node, allow_graceful=False)

    with pytest.raises(ray.exceptions.RayActorError) as caught:
        await call
    assert type(caught.value) in (ray.exceptions.ActorUnavailableError, ray.exceptions.ActorDiedError)
    await until(lambda: _is_dead(ray, actor))
    await until(lambda: not is_listed(ray, node))
    with pytest.raises(ray.exceptions.ActorDiedError, match=f"its node has died. Node Id: {node.node_id}"):
        await actor.pid.remote()


async def test_a_machine_that_hangs_dies_by_health_checks(ray: Any, cluster: Any, nodes: dict[str, Any]) -> None:
    """Its actors go on answering until then; when it wakes up, it ends itself with all its processes."""
    actor, call = await held(ray, "l4")
    raylet = raylet_of(nodes["l4"])

    raylet.send_signal(signal.SIGSTOP)
    try:
        assert await actor.what_happened.remote() == ["begun"]
        with pytest.raises(ray.exceptions.ActorDiedError, match="health check failed") as caught:
            await call
        assert not caught.value.preempted
        assert not is_listed(ray, nodes["l4"])
    finally:
        raylet.send_signal(signal.SIGCONT)
    await until(lambda: raylet.poll() is not None)


async def test_a_server_moves_from_a_machine_that_died(
    ray: Any, cluster: Any, nodes: dict[str, Any], tmp_path: Path, gate: Path
) -> None:
    """It is lost at once; its run is, when nothing of it can go on any more; then another machine has the server."""
    settings = emulator_home(tmp_path / "base", initial_port=first_port(18_970)).settings
    fleet = RayFleet(RayOptions(gpus=0, cpus=1, lease=10, machines={"gpu": "l4|a100"}), settings, {})
    fleet.begin_leases()
    server = fleet.server()
    try:
        await server.start()
        home = next(node for node in nodes.values() if node.node_id == server.node)
        life = server._life
        assert life is not None
        assert life.facts is not None
        (engine,) = (each for each in psutil.Process(life.facts.pid).children() if "serve" in each.cmdline())
        events: list[Any] = []
        run = asyncio.create_task(server.run(PoolOrder("gated", gate_prompt(gate)), events.append))
        await until(lambda: run.done() or any(isinstance(event, Started) for event in events))

        cluster.remove_node(home, allow_graceful=False)

        await until(lambda: not server.is_ready)
        with pytest.raises(ServerDiedError, match=f"on the machine {home.node_id} was lost"):
            await run
        assert has_ended(engine)
        await until(lambda: server.is_ready)
        assert server.node != home.node_id
    finally:
        await server.close()
        await fleet.release()


def test_without_authentication_everybody_gets_in(ray: Any, cluster: Any, tmp_path: Path) -> None:
    """RAY_AUTH_MODE=disabled, where a cluster starts, is enough: no token is made, and none is asked for."""
    told, problem = start_driver(ray, "connects", HOME=str(tmp_path)).communicate(timeout=SECONDS)

    assert json.loads(told)["nodes"] >= 1, problem
    assert not Path(os.environ["HOME"], ".ray", "auth_token").exists()


async def _is_dead(ray: Any, actor: Any) -> bool:
    try:
        await actor.what_happened.remote()
    except ray.exceptions.ActorUnavailableError:
        return False
    except ray.exceptions.ActorDiedError:
        return True
    return False
