"""Loads of two checkpoints over twenty runs in random order: a pool of two servers beside first-come.

    python benchmarks/pool_affinity.py [--comfyui PATH] [--options="--cpu"] [--shape sd15] [--runs 20]

On ComfyUI the checkpoints have random weights (``random_checkpoint.py``) and the runs sample pictures of 64 by 64
pixels in two steps; on the emulator a device is simulated. A load is counted where a server begins with the loader's
node: a node whose result is kept is not begun. First-come gives the same runs, in the same order, to whichever server
is free. Both sides begin with servers that hold nothing.

The pool loads a model a second time where that takes less time than the wait, so two loads are expected only if loads
are long beside runs, and if the first two runs differ. On a CPU runs are long: ``--load-seconds 60`` tells the pool to
expect long loads as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shlex
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from checkpoint_runs import LOADER, checkpoint_names, sampling, server_settings
from random_checkpoint import SHAPES

from discomfort import ComfyConnector
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.pool_policy import Policy
from discomfort.pool.pool_run import PoolRun
from discomfort.progress import NodeStarted

SIMULATED = ["--load-seconds-per-gb", "1", "--vram-gb", "3", "--node-seconds", "KSampler=0.4"]
"""Options of the emulator: room for one checkpoint of 2.1 GB."""


@dataclass
class Count:
    """What one side did."""

    seconds: float = 0.0
    loads: Counter[str] = field(default_factory=Counter)
    per_server: Counter[str] = field(default_factory=Counter)

    def note(self, event: object, server: str, checkpoint: str) -> None:
        """An event of a run."""
        if isinstance(event, NodeStarted) and event.class_type == LOADER:
            self.loads[f"{Path(checkpoint).stem} on {server}"] += 1

    def tell(self, name: str, more: str = "") -> None:
        """Print it."""
        runs = self.per_server.total()
        print(
            f"{name}: {runs} runs in {self.seconds:.1f} s, {self.loads.total()} loads"
            f" ({', '.join(f'{key}: {n}' for key, n in sorted(self.loads.items()))}){more}",
            flush=True,
        )


async def pooled(pool: ComfyPool, jobs: list[tuple[str, int]]) -> Count:
    """All runs through the pool."""
    count, began = Count(), time.perf_counter()

    async def follow(run: PoolRun, checkpoint: str) -> None:
        async for event in run.events():
            count.note(event, run.server, checkpoint)
        count.per_server[(await run).server] += 1

    async with asyncio.TaskGroup() as group:
        for checkpoint, seed in jobs:
            run = await pool.submit(sampling(checkpoint, seed), timeout=600)
            group.create_task(follow(run, checkpoint))
    count.seconds = time.perf_counter() - began
    return count


async def first_come(urls: dict[str, str], jobs: list[tuple[str, int]]) -> Count:
    """Each run to the next free server."""
    count, left = Count(), list(reversed(jobs))
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(await ComfyConnector.attach(url, browser="lazy"))
            for name, url in urls.items()
        }
        for server in servers.values():
            await server.free()
        began = time.perf_counter()

        async def serve(name: str) -> None:
            while left:
                checkpoint, seed = left.pop()

                def note(event: object, checkpoint: str = checkpoint) -> None:
                    count.note(event, name, checkpoint)

                prompt = sampling(checkpoint, seed)
                await servers[name].run_workflow(prompt, False, on_progress=note, timeout=600)
                count.per_server[name] += 1

        await asyncio.gather(*map(serve, servers))
        count.seconds = time.perf_counter() - began
    return count


async def measured(options: argparse.Namespace, folder: Path) -> bool:
    """Both sides on the same servers; whether the pool loaded each checkpoint once."""
    names = checkpoint_names(options.shape)
    settings = await asyncio.to_thread(
        server_settings, options.comfyui, folder, names,
        shape=options.shape, models=options.checkpoints, simulated=SIMULATED,
    )  # fmt: skip
    settings["server_arguments"] += shlex.split(options.options)
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {options.comfyui or 'emulator'}", flush=True)
    order = [names[index % 2] for index in range(options.runs)]
    random.Random(options.seed).shuffle(order)
    pool_options = PoolOptions(policy=Policy(load_overhead=options.load_seconds))
    async with await ComfyPool.create(servers=2, options=pool_options, **settings) as pool:
        status = pool.status()
        print(f"{status.servers[0].version}, {status.servers[0].device}, options {options.options or 'none'}")
        ours = await pooled(pool, [(name, seed) for seed, name in enumerate(order)])
        status = pool.status()
        ours.tell("pool", f"; the book: {status.loads} loads, {status.loading:.1f} s loading")
        if not options.only_pool:
            urls = {server.name: server.url for server in status.servers}
            theirs = await first_come(urls, [(name, 1000 + seed) for seed, name in enumerate(order)])
            theirs.tell("first come")
    return ours.loads.total() == len(names)


def main() -> int:
    """Measure, with everything in a folder of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--comfyui", type=Path, help="a ComfyUI; default: the emulator")
    parser.add_argument("--options", default="", help="further options of the servers, such as --cpu --cache-classic")
    parser.add_argument("--shape", choices=list(SHAPES), default="sd15", help="the shape of the checkpoints")
    parser.add_argument("--checkpoints", type=Path, help="a folder of models that keeps them; default: a temporary one")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2, help="of the order of the runs")
    parser.add_argument(
        "--load-seconds", type=float, default=2.0, help="what a load takes beside reading, to begin with"
    )
    parser.add_argument("--only-pool", action="store_true", help="leave first-come out")
    options = parser.parse_args()
    if options.comfyui:
        options.comfyui = options.comfyui.resolve()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measured(options, Path(folder))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
