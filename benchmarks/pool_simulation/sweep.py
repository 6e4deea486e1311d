"""The sweep: load, number of models and seeds, for the pool's scheduler and the one that comes nearest, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.pool_simulation.scenes import play, say
from benchmarks.pool_simulation.workload import Workload

LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2)
MODELS = (10, 60, 200, 500)
SEEDS = (1, 2)
POLICIES = ("ours", "serve")


def sweep(path: Path, *, servers: int, seconds: float, seeds: tuple[int, ...] = SEEDS) -> list[dict[str, object]]:
    """All of them; those in the file already are not simulated again."""
    rows: list[dict[str, object]] = json.loads(path.read_text()) if path.exists() else []
    there = {(row["load"], row["models"], row["seed"], row["router"]) for row in rows}
    for seed in seeds:
        for models in MODELS:
            for load in LOADS:
                for router in POLICIES:
                    if (load, models, seed, router) in there:
                        continue
                    workload = Workload(servers=servers, seconds=seconds, load=load, models=models, seed=seed)
                    scene = play(router, workload, warm_up=seconds / 3)
                    row = {"load": load, "models": models, "seed": seed, "router": router, "servers": servers}
                    rows.append({**row, **scene.row()})
                    say(str(rows[-1]))
                    path.write_text(json.dumps(rows, indent=0))
    return rows
