"""Pools on a Ray cluster, with emulators: one of this program, and one that programs share."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.engines import emulator_home
from contract.graphs import gate_prompt, node, picture_prompt, show_prompt, texts_of
from on_ray.clusters import SECONDS, hard_end, local_cluster, start_driver
from ports import first_port
from waiting import has_ended, until

from discomfort.exceptions import ArgumentError, ConfigurationError, ExecutionInterrupted, PoolError
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_events import Assigned
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.retry import Retry
from discomfort.pool.shared_pool import SharedPool
from discomfort.progress import Done, Started

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    # The start of a cluster is half a minute of work where everything else works too.
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of one node, whose actors have a temporary folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("servers")))
        with local_cluster(num_cpus=4) as module:
            # Without it, programs would go where the environment says.
            os.environ["RAY_ADDRESS"] = module.get_runtime_context().gcs_address
            yield module


def settings(tmp_path: Path) -> dict[str, Any]:
    """The emulator of a test."""
    return emulator_home(tmp_path / "base", initial_port=first_port(18_950)).settings


async def test_a_pool_follows_its_runs(ray: Any, tmp_path: Path, gate: Path) -> None:
    """A run whose actor is killed goes on elsewhere if it may; servers come with the runs, and go after them."""
    wanted = RayOptions(servers=(1, 2), gpus=0, cpus=0, lease=60, idle_timeout=1)

    async with await ComfyPool.on_ray("auto", ray=wanted, labels={"kind": "test"}, **settings(tmp_path)) as pool:
        assert ray.is_initialized()
        held = [await pool.submit(gate_prompt(gate), retry=Retry(times=1)) for _ in range(2)]
        await until(lambda: pool.status().running == 2)
        first = held[0].server
        cluster = pool._cluster
        assert cluster is not None
        life = cluster.fleet.servers[first]._life
        assert life is not None
        assert life.facts is not None

        hard_end(life.facts.pid)

        await until(lambda: held[0].phase == "waiting" or held[0].server != first)
        gate.touch()
        results = await asyncio.gather(*held)
        assert results[0].run_id == held[0].run_id
        values = await pool.map(show_prompt(0), [{"1.value": number} for number in range(6)], labels={"kind": "test"})
        assert [texts_of(each.history)[0] for each in values if not isinstance(each, BaseException)] == list("012345")
        await until(lambda: len(pool.status().servers) == 1)

    assert ray.is_initialized()


async def test_a_pool_needs_a_cluster_that_answers(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong settings of servers are an error of the pool, and leave no actor."""
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        await ComfyPool.on_ray("auto", ray=RayOptions(gpus=0, cpus=0), no_such_setting=1)  # type: ignore[call-arg]

    await until(lambda: float(ray.available_resources().get("CPU", 0)) == 4)


async def test_programs_share_a_pool(ray: Any, tmp_path: Path, gate: Path) -> None:
    """Two that start it get the same; runs are everybody's, by their id, and go on without who has submitted them."""
    wanted = RayOptions(servers=1, gpus=0, cpus=0, lease=60)
    with pytest.raises(PoolError, match="no shared pool 'shared'"):
        await SharedPool.connect("shared")
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        await SharedPool.start("shared", ray=wanted, no_such_setting=1)  # type: ignore[call-arg]

    pools = await asyncio.gather(*(SharedPool.start("shared", ray=wanted, **settings(tmp_path)) for _ in range(2)))

    one, other = pools
    assert [server.state for server in (await one.status()).servers] == ["ready"]
    run = await one.submit(picture_prompt(prefix="shared"), tenant="one")
    events = [type(event) async for event in other.run(run.run_id).events()]
    assert events.index(Assigned) < events.index(Started) < events.index(Done) == len(events) - 1
    result = await other.run(run.run_id)
    assert (await result.outputs[0].read()).startswith(b"\x89PNG")
    assert (await run).prompt_id == result.prompt_id

    held = await one.submit(gate_prompt(gate))
    async for event in held.events():
        if isinstance(event, Started):
            break
    assert await other.run(held.run_id).cancel()
    with pytest.raises(ExecutionInterrupted):
        await held
    with pytest.raises(PoolError, match="no run 'unknown'"):
        await one.run("unknown")
    with pytest.raises(ArgumentError, match="save_to"):
        await one.submit(show_prompt(1), save_to=tmp_path)
    await one.close()
    with pytest.raises(PoolError, match="is gone"):
        await other.status()


async def test_files_of_a_program_reach_a_shared_pool(ray: Any, tmp_path: Path) -> None:
    """By their contents: the pool is on another machine, perhaps. Another program uses it by its name."""
    wanted = RayOptions(servers=1, gpus=0, cpus=0, lease=60)
    pool = await SharedPool.start("files", ray=wanted, **settings(tmp_path))
    try:
        first = await (await pool.submit(picture_prompt(prefix="a", size=16)))
        photo = await first.outputs[0].save(tmp_path)
        graph = {"1": node("LoadImage", "Photo", image="x.png"), "2": node("PreviewImage", "Out", images=["1", 0])}

        result = await (await pool.submit(graph, files={"Photo.image": photo}))

        assert len(result.outputs) == 1
        driver = await asyncio.to_thread(start_driver, ray, "shares", "files")
        told, problem = await asyncio.to_thread(driver.communicate, timeout=SECONDS)
        assert json.loads(told) == {"texts": ["5"]}, problem
        assert [server.runs for server in (await pool.status()).servers] == [3]
    finally:
        await pool.close()


async def test_the_servers_of_a_killed_pool_end(ray: Any, tmp_path: Path) -> None:
    """SIGKILL of a shared pool's process: its actors, servers and files go, after the lease at the latest."""
    import psutil

    wanted = RayOptions(servers=1, gpus=0, cpus=0, lease=8)
    pool = await SharedPool.start("killed", ray=wanted, **settings(tmp_path))
    actor = await pool._link._actor.__ray_call__.remote(lambda self: os.getpid())
    servers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(process.info["cmdline"] or ()) and "serve" in process.info["cmdline"]
    ]
    assert len(servers) == 1

    hard_end(actor)

    with pytest.raises(PoolError, match="the shared pool 'killed' is gone"):
        await pool.status()
    await until(lambda: has_ended(servers[0]))
    temporary = Path(os.environ["TMPDIR"])
    await until(lambda: not list(temporary.iterdir()))
    await pool.close()
