"""Command: ``python -m benchmarks.pool_simulation [--servers 1000] [--sweep FILE] [--pictures FOLDER]``.

Prints the table of the policies. ``--sweep`` simulates the sweep into a file of JSON, and goes on where that ends;
``--pictures`` draws the curves of such a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.pool_simulation.curves import draw
from benchmarks.pool_simulation.events import Preemption
from benchmarks.pool_simulation.scenes import ROUTERS, Scene, play
from benchmarks.pool_simulation.sweep import sweep
from benchmarks.pool_simulation.workload import Workload

HEAD = (
    "| scene | policy | loads per 1,000 | wait mean / p95 / p99 s | others' p95 | useful | GPU hours | µs | steps |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def line(what: str, scene: Scene) -> str:
    """A row of the table."""
    row = scene.row()
    waits = f"{row['wait_mean']} / {row['wait_p95']} / {row['wait_p99']}"
    counts = f"{row['started']} - {row['interrupted']} = {row['done']}"
    return (
        f"| {what} ({counts}) | {row['policy']} | {row['loads_per_1000']} | {waits} | {row['others_p95']} "
        f"| {row['useful']:.1%} | {row['gpu_hours']} | {row['decide_us']} | {row['steps']} |"
    )


def table(servers: int, seconds: float) -> None:
    """All policies at 90%, and ours elsewhere."""
    print(HEAD)
    size = {"servers": servers, "seconds": seconds}
    for router in ROUTERS:
        print(line("90%", play(router, Workload(servers, seconds, 0.9))), flush=True)
    print(line("90% after 300 s", play("ours", Workload(servers, seconds, 0.9), warm_up=300)), flush=True)
    for router in ("ours", "serve"):
        print(line("70%", play(router, Workload(servers, seconds, 0.7))), flush=True)
        print(line("70%, greedy", play(router, Workload(servers, seconds, 0.7, greedy=0.35))), flush=True)
    for notice in (30.0, 120.0):
        scene = play("ours", Workload(servers, seconds, 0.75), preemption=Preemption(2.0, notice))
        print(line(f"75%, preempted, notice {notice:.0f} s", scene), flush=True)
    print(line("90%, each run a new LoRA", play("ours", Workload(**size, load=0.9, new_loras=True))), flush=True)


def main() -> None:
    """The table, or the sweep, or the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1200.0, help="of arrivals")
    parser.add_argument("--sweep", type=Path, help="a file of JSON")
    parser.add_argument("--pictures", type=Path, help="a folder, for the curves of --sweep")
    options = parser.parse_args()
    if options.sweep:
        rows = sweep(options.sweep, servers=options.servers, seconds=options.seconds)
        if options.pictures:
            draw(rows, options.pictures)
    else:
        table(options.servers, options.seconds)


if __name__ == "__main__":
    main()
