"""Another driver of a cluster. Arguments: the cluster's address, what to do, and what that takes. Prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import ray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.graphs import show_prompt, texts_of
from on_ray import actors

from discomfort.pool.shared_pool import SharedPool

kept: list[Any] = []
"""Handles that live as long as this program: an actor whose last handle goes before ends in another way."""


def tell(**facts: Any) -> None:
    """Print what the test wants to know."""
    print(json.dumps(facts), flush=True)  # noqa: T201


async def share(name: str) -> None:
    """Run something in a shared pool."""
    async with await SharedPool.connect(name) as pool:
        tell(texts=texts_of((await (await pool.submit(show_prompt(5)))).history))


def main(address: str, what: str, *arguments: str) -> None:
    """Connect and act."""
    ray.init(address=address, log_to_driver=False, configure_logging=False)
    if what == "connects":
        tell(nodes=len(ray.nodes()))
        return
    if what == "shares":
        asyncio.run(share(*arguments))
        return
    ray.cloudpickle.register_pickle_by_value(actors)
    plain = ray.remote(num_cpus=0)(actors.Ending).remote(Path(arguments[0]))
    kept.append(plain)
    pid = ray.get(plain.pid.remote())
    if what == "waits":
        tell(plain=pid)
        ray.get(plain.hold.remote())
    shared = ray.remote(num_cpus=0)(actors.Waiter)
    named = shared.options(name="front", namespace="pool", lifetime="detached").remote()
    tell(plain=pid, named=ray.get(named.pid.remote()))


main(*sys.argv[1:])
