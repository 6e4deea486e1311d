"""Many tiny runs in a row: what grows? Memory, descriptors, threads, tasks and connections after each thousand.

    python benchmarks/soak.py [--runs 10000] [--comfyui PATH] [--callers 1]

The emulator is started unless a ComfyUI is named. The first thousand runs warm everything up; the last line compares
the end with that, and the exit code is 1 where something grew beyond what the line says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from discomfort import ComfyConnector

PORT = 8890
MEMORY_SLACK = 8.0
"""MiB by which resident memory may differ: the allocator gives pages back as it likes."""


@dataclass(frozen=True)
class Sample:
    """What this process holds, and what the server's does (``server``, MiB)."""

    runs: int
    rate: float
    memory: float
    objects: int
    descriptors: int
    threads: int
    tasks: int
    server: float

    def __str__(self) -> str:
        return (
            f"{self.runs:>7} {self.rate:>8.0f} {self.memory:>9.1f} {self.objects:>9} {self.descriptors:>6} "
            f"{self.threads:>8} {self.tasks:>6} {self.server:>10.1f}"
        )


HEADER = (
    f"{'runs':>7} {'runs/s':>8} {'MiB':>9} {'objects':>9} {'fds':>6} {'threads':>8} {'tasks':>6} {'server MiB':>10}"
)


def mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def take(connector: ComfyConnector, runs: int, rate: float) -> Sample:
    """Look at everything, after a garbage collection."""
    gc.collect()
    supervisor = connector._parts.supervisor
    return Sample(
        runs=runs,
        rate=rate,
        memory=mebibytes(os.getpid()),
        objects=len(gc.get_objects()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
        server=mebibytes(supervisor.pid) if supervisor else 0.0,
    )


def prompt(number: int) -> dict[str, Any]:
    """Two nodes, never cached: an image of one pixel, previewed."""
    return {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": number}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


async def batch(connector: ComfyConnector, first: int, count: int, callers: int) -> None:
    """Run ``count`` prompts by that many callers, each after the other, and check each result."""
    numbers = iter(range(first, first + count))

    async def call() -> None:
        for number in numbers:
            history = await connector.run_workflow(prompt(number), False)
            (record,) = history.values()
            if record["outputs"]["2"]["text"] != [str(number)]:
                raise AssertionError(f"run {number} gave {record['outputs']}")

    await asyncio.gather(*(call() for _ in range(callers)))


async def soak(connector: ComfyConnector, runs: int, *, step: int = 1000, callers: int = 1) -> list[Sample]:
    """A sample after every ``step`` runs."""
    samples = []
    for done in range(0, runs, step):
        began = time.perf_counter()
        await batch(connector, done, min(step, runs - done), callers)
        count = min(done + step, runs)
        samples.append(take(connector, count, min(step, runs - done) / (time.perf_counter() - began)))
    return samples


def growth(samples: list[Sample]) -> dict[str, float]:
    """The end against the first sample."""
    first, last = samples[0], samples[-1]
    names = ("memory", "objects", "descriptors", "threads", "tasks")
    return {name: getattr(last, name) - getattr(first, name) for name in names}


def is_flat(grown: dict[str, float]) -> bool:
    """Whether nothing grew but what breathes: pages of memory, and objects of caches by one in fifty runs.

    A look at the queue has a connection of its own where it falls into another request: two descriptors, at most.
    """
    counted = all(grown[name] <= 0 for name in ("threads", "tasks")) and grown["descriptors"] <= 2
    return counted and grown["memory"] <= MEMORY_SLACK and grown["objects"] <= 1000


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--comfyui", type=Path)
    options = parser.parse_args()
    settings: dict[str, Any] = {"engine": "emulator", "browser": "lazy", "initial_port": PORT}
    if options.comfyui:
        settings |= {"engine": "comfyui", "comfyui_path": options.comfyui, "api_command_line": "python3 main.py --cpu"}
    async with await ComfyConnector.create(**settings) as connector:
        samples = await soak(connector, options.runs, callers=options.callers)
    print(HEADER)
    for sample in samples:
        print(sample)
    grown = growth(samples)
    print(f"end against the first thousand: {grown}: {'flat' if is_flat(grown) else 'GROWN'}")
    return 0 if is_flat(grown) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
