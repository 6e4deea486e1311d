"""A pool's server on Ray: what a run costs beside the same run without Ray, and how soon each loss is seen.

``python benchmarks/ray_pool.py`` measures runs and the deaths of actors; ``--machines`` also loses whole machines, each
of which is a raylet here. The engine is the emulator. Nothing is left: a folder in ``/tmp`` has all that Ray writes.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from discomfort.exceptions import DiscomfortError
from discomfort.pool.local import LocalServer
from discomfort.pool.local_servers import OwnedServers
from discomfort.pool.ray_fleet import RayFleet
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.ray_server import RayServer
from discomfort.pool.run_orders import PoolOrder
from discomfort.progress import Started

LEASE = 5.0
SETTINGS: dict[str, Any] = {"engine": "emulator", "browser": "lazy"}
SHORT_CHECKS = {
    **{f"RAY_health_check_{name}_ms": "1000" for name in ("period", "timeout", "initial_delay")},
    "RAY_health_check_failure_threshold": "3",
}
TINY = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


def use_own_home() -> None:
    """Give Ray a short folder for all that it writes, which goes at the very end: after Ray's own exit handlers."""
    home = tempfile.mkdtemp(prefix="dc-ray-", dir="/tmp")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update({"HOME": home, "RAY_TMPDIR": home, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"})


@asynccontextmanager
async def fleet(cpus: float = 0) -> AsyncIterator[RayFleet]:
    """Servers on the cluster, closed at the end."""
    made = RayFleet(RayOptions(gpus=0, cpus=cpus, lease=LEASE), SETTINGS, {})
    made.begin_leases()
    try:
        yield made
    finally:
        await asyncio.gather(*(server.close() for server in made.servers.values()))
        await made.release()


def tiny(number: int) -> PoolOrder:
    """The smallest run, with an input of its own: nothing comes from a cache."""
    source = {**TINY["1"], "inputs": {**TINY["1"]["inputs"], "color": number}}
    return PoolOrder(f"run-{number}", {**TINY, "1": source})


async def timed(server: LocalServer | RayServer, number: int) -> float:
    """Seconds of one run."""
    begun = time.perf_counter()
    await server.run(tiny(number), lambda event: None)
    return time.perf_counter() - begun


async def overhead(rounds: int) -> tuple[float, float]:
    """Median milliseconds of a run without Ray, and on it; both take turns."""
    bare = OwnedServers(None, SETTINGS, {}).plain()  # type: ignore[arg-type]
    await bare.start()
    try:
        async with fleet() as servers:
            on_ray = servers.server()
            await on_ray.start()
            times: dict[Any, list[float]] = {bare: [], on_ray: []}
            for number in range(rounds):
                for server, taken in times.items():
                    taken.append(await timed(server, number))
            first, second = (statistics.median(taken[rounds // 10 :]) * 1000 for taken in times.values())
            return first, second
    finally:
        await bare.close()


async def loss(servers: RayFleet, strike: Callable[[RayServer], object]) -> tuple[float, float, float]:
    """Strike at a server that has a run. Seconds until it is lost, until its run has ended, until it is ready again."""
    server = servers.server()
    await server.start()
    started = asyncio.Event()
    run = asyncio.create_task(_hold(server, started))
    await started.wait()
    seen = asyncio.Event()
    server.watch(lambda: server.is_ready or seen.set())
    begun = time.perf_counter()
    strike(server)
    await seen.wait()
    lost = time.perf_counter() - begun
    await asyncio.wait([run])
    ended = time.perf_counter() - begun
    while not server.is_ready:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    again = time.perf_counter() - begun
    await server.close()
    servers.servers.pop(server.name)
    return lost, ended, again


async def _hold(server: RayServer, started: asyncio.Event) -> None:
    def note(event: object) -> None:
        if isinstance(event, Started):
            started.set()

    try:
        # Tiny runs one after another: whichever is under way is lost.
        for number in range(10**9):
            await server.run(tiny(number), note)
    except DiscomfortError:
        return


def pid_of(server: RayServer) -> int:
    """The process of a server's actor."""
    life = server._life
    assert life is not None
    assert life.facts is not None
    return life.facts.pid


def left_behind() -> int:
    """Processes of servers and watchdogs that this program's actors have."""
    home, found = os.environ["HOME"], 0
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            found += ("watchdog_main" in words or " serve " in words) and process.environ().get("HOME") == home
        except psutil.Error:
            continue
    return found


async def left_after_kill(servers: RayFleet) -> float:
    """Seconds from ``ray.kill`` until no process of the server is left."""
    server = servers.server()
    await server.start()
    assert left_behind() > 0
    begun = time.perf_counter()
    server.kill_now()
    while left_behind():  # noqa: ASYNC110 - processes send no events
        await asyncio.sleep(0.005)
    servers.servers.pop(server.name)
    return time.perf_counter() - begun


async def of_one_machine(rounds: int, table: Table) -> None:
    """What one machine shows."""
    bare, on_ray = await overhead(rounds)
    table.add_row("a tiny run: bare, on Ray, difference", f"{bare:.1f}, {on_ray:.1f}, {on_ray - bare:.1f} ms", "10 ms")
    async with fleet() as servers:
        found = [await loss(servers, lambda server: os.kill(pid_of(server), signal.SIGKILL)) for _ in range(3)]
        add_loss(table, "SIGKILL of the actor", found, "50 ms")
        table.add_row("ray.kill: all processes gone", f"{await left_after_kill(servers) * 1000:.0f} ms", "")


def add_loss(table: Table, name: str, found: list[tuple[float, float, float]], bar: str) -> None:
    """A row with the worst of several."""
    lost, ended, again = (max(column) for column in zip(*found, strict=True))
    told = f"{lost * 1000:.0f} ms; its run ended after {ended:.2f} s, another server ready after {again:.2f} s"
    table.add_row(f"{name}: seen", told, bar)


async def of_machines(cluster: Any, table: Table) -> None:
    """What is seen of machines that die or hang."""
    for name, kind, bar in (("SIGKILL of the raylet", signal.SIGKILL, "3 s"), ("SIGSTOP", signal.SIGSTOP, "6 s")):
        node = cluster.add_node(num_cpus=1)
        raylet = node.all_processes["raylet"][0].process

        def strike(server: RayServer, raylet: Any = raylet, kind: signal.Signals = kind) -> None:
            cluster.add_node(num_cpus=1, wait=False)
            raylet.send_signal(kind)
            if kind is signal.SIGKILL:
                raylet.wait()

        async with fleet(cpus=1) as servers:
            add_loss(table, f"{name} of a machine", [await loss(servers, strike)], bar)
        raylet.send_signal(signal.SIGCONT)
        for each in tuple(cluster.worker_nodes):
            cluster.remove_node(each, allow_graceful=False)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--machines", action="store_true")
    chosen = arguments.parse_args()
    table = Table("what", "measured", "bar")
    use_own_home()
    import ray
    from ray.cluster_utils import Cluster

    try:
        ray.init(address="local", include_dashboard=False, num_cpus=2, log_to_driver=False)
        asyncio.run(of_one_machine(chosen.rounds, table))
    finally:
        ray.shutdown()
    if chosen.machines:
        os.environ.update(SHORT_CHECKS)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            asyncio.run(of_machines(cluster, table))
        finally:
            ray.shutdown()
            cluster.shutdown()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    Console(width=140).print(table, f"load average {load}; lease {LEASE:g} s")


if __name__ == "__main__":
    main()
