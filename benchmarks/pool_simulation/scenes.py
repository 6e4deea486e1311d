"""The scenes of the simulation: one policy on one workload, and what came of it in a row."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.pool_simulation.events import Preemption, Simulation, Tally
from benchmarks.pool_simulation.pinning import Pinned
from benchmarks.pool_simulation.policies import FirstCome, Ours, Router, ServeLike, SwarmLike
from benchmarks.pool_simulation.workload import Workload
from discomfort.pool.scheduler import Policy

ROUTERS: dict[str, Callable[[Workload], Router]] = {
    "ours": Ours,
    "first": lambda _: FirstCome(),
    "serve": lambda _: ServeLike(),
    "swarm": SwarmLike,
    "pins": Pinned,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A simulation that has ended. ``steps`` are what our scheduler looked at in a decision."""

    name: str
    tally: Tally
    steps: float

    def row(self) -> dict[str, float | str]:
        """Its figures."""
        tally = self.tally
        return {
            "policy": self.name,
            "runs": tally.arrived,
            "started": tally.started,
            "interrupted": tally.interrupted,
            "done": tally.done,
            "loads_per_1000": round(tally.loads_per_1000, 1),
            "wait_mean": round(tally.mean_wait, 2),
            "wait_p95": round(tally.wait(0.95), 1),
            "wait_p99": round(tally.wait(0.99), 1),
            "wait_most": round(tally.wait(1.0), 1),
            "others_p95": round(tally.wait(0.95, without="greedy"), 1),
            "useful": round(tally.useful, 4),
            "gpu_hours": round(tally.gpu_hours, 1),
            "decide_us": round(tally.decide_us, 1),
            "steps": round(self.steps, 1),
        }


def play(
    router: str,
    workload: Workload,
    *,
    preemption: Preemption | None = None,
    warm_up: float = 0.0,
    policy: Policy | None = None,
) -> Scene:
    """One policy on one workload. The arrivals are the same for all."""
    chosen = Ours(workload, policy) if router == "ours" else ROUTERS[router](workload)
    simulation = Simulation(chosen, workload, workload.runs(), preemption=preemption, warm_up=warm_up)
    tally = simulation.run()
    steps = chosen.scheduler.steps / max(tally.decisions, 1) if isinstance(chosen, Ours) else 0.0
    return Scene(chosen.name, tally, steps)


def say(text: str) -> None:
    """Shows what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)
