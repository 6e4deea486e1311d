"""A pool of many emulators whose servers are killed at random: is a run ever lost without an error, or run twice?

    python benchmarks/pool_kills.py --servers 40 --runs 5000 --kill-every 3

Each run writes its number into a file when it is executed, so what really happened is counted apart from the pool.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.retry import Retry
from discomfort.progress import Done

NODES = Path(__file__).with_name("pool_tally.py")
MARK = "DISCOMFORT_BENCHMARK"


def prompt(path: Path, seconds: float) -> dict[str, Any]:
    """One node, which writes down that it ran."""
    return {"1": {"class_type": "BenchmarkTally", "inputs": {"path": str(path), "number": 0, "seconds": seconds}}}


async def kill_some(pool: ComfyPool, every: float, stop: asyncio.Event, seed: int) -> int:
    """SIGKILL to a random server, on average each ``every`` seconds. Returns how many."""
    chance, kills = random.Random(seed), 0
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.expovariate(1 / every)):
                await stop.wait()
        ready = [slot for slot in pool._slots.slots if slot.state == "ready"]
        if ready and not stop.is_set():
            with contextlib.suppress(Exception):
                psutil.Process(chance.choice(ready).server.connector._parts.supervisor.pid).kill()  # type: ignore[attr-defined]
                kills += 1
    return kills


async def checked(run: PoolRun, problems: list[str]) -> None:
    """A run that has ended has one end, and its events say the same."""
    events = [event async for event in run.events()]
    if [type(event) for event in events] != [Done]:
        problems.append(f"{run!r} ended with {events}")


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The runs, with all that is counted."""
    tally, problems = folder / "tally", list[str]()
    settings: dict[str, Any] = {
        "engine": "emulator", "max_restarts": 1000, "stop_grace": 1, "server_arguments": ["--extra-nodes", str(NODES)],
        "initial_port": options.port,
    }  # fmt: skip
    begun = time.monotonic()
    outcomes: dict[int, str] = {}
    async with await ComfyPool.create(servers=options.servers, **settings) as pool:
        up = time.monotonic() - begun
        stop = asyncio.Event()
        killer = asyncio.create_task(kill_some(pool, options.kill_every, stop, options.seed))
        begun = time.monotonic()
        values = ({"1.number": number} for number in range(options.runs))
        numbers: dict[str, int] = {}
        async for run in pool.as_completed(
            prompt(tally, options.seconds), values, window=5 * options.servers, retry=Retry(options.retry), timeout=600
        ):
            number = run.values["1.number"]
            if run.run_id in numbers or number in outcomes:
                problems.append(f"run {number} ended twice")
            numbers[run.run_id], outcomes[number] = number, type(run.outcome).__name__
            if isinstance(run.outcome, PoolResult) and run.outcome.outputs[0].value != str(number):
                problems.append(f"run {number} has the result of {run.outcome.outputs[0].value}")
            await checked(run, problems)
        seconds = time.monotonic() - begun
        stop.set()
        kills = await killer
        states = collections.Counter(server.state for server in pool.status().servers)
    executed = collections.Counter(int(line.split()[0]) for line in tally.read_text().splitlines())
    for number in range(options.runs):
        told, times = outcomes.get(number), executed[number]
        if told is None:
            problems.append(f"run {number} has no end")
        if told == "PoolResult" and not 1 <= times <= 1 + options.retry:
            problems.append(f"run {number} succeeded and was executed {times} times")
        if times > 1 + options.retry:
            problems.append(f"run {number} was executed {times} times")
    return {
        "servers": options.servers, "runs": options.runs, "kills": kills, "up_seconds": round(up, 1),
        "seconds": round(seconds, 1), "outcomes": dict(collections.Counter(outcomes.values())),
        "states_at_the_end": dict(states), "problems": problems[:20],
    }  # fmt: skip


def left_behind(mark: str) -> list[str]:
    """Processes that this program started, and that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.pid != os.getpid() and f"{MARK}={mark}".encode() in Path(
                f"/proc/{process.pid}/environ"
            ).read_bytes().split(b"\0"):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
    return found


def main() -> None:
    """Parse, measure, look for what is left, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--kill-every", type=float, default=3.0, help="seconds between two kills, on average")
    parser.add_argument("--retry", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.05, help="what each run takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    mark = f"{os.getpid()}"
    os.environ[MARK] = mark
    with tempfile.TemporaryDirectory(prefix="dpk-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        shared = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
        found = asyncio.run(measure(options, Path(folder)))
        deadline = time.monotonic() + 10
        while (left := left_behind(mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        found["processes_left"] = left
        found["files_left"] = sorted(path.name for path in Path(folder).iterdir() if path.name != "tally")
        if shared:
            found["shared_memory_left"] = sorted(str(path) for path in set(Path("/dev/shm").iterdir()) - shared)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["problems"] or left or found["files_left"] else 0)


if __name__ == "__main__":
    main()
