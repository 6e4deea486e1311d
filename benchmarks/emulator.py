"""The emulator's own figures: how long it boots, what it takes, how fast it runs, and whether it grows.

    python benchmarks/emulator.py [--rounds 5] [--runs 2000] [--growth 24000]

*boot*: from the start of the process to the first 200, and its resident memory then. *speed*: tiny prompts, each
another one, through ``run_workflow`` of a connector, eight at a time. *growth*: the server's memory over many bare
runs, once with its history as it is (the latest 10,001 records, as in ComfyUI, the older of them on disk) and once with
the history cleared now and then; neither is to grow. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import aiohttp
import psutil

from discomfort import ComfyConnector
from discomfort.server.ports import lease_port

BOOT_SECONDS, BOOT_MEBIBYTES, RUNS_PER_SECOND, GROWTH_MEBIBYTES = 0.7, 120.0, 200.0, 1.0
"""The targets; the last is what allocators keep for themselves."""

CALLERS = 8
BATCH = 200


def tiny(number: int) -> dict[str, Any]:
    """A prompt that no cache has."""
    image = {"width": 16, "height": 16, "batch_size": 1, "color": number % 0xFFFFFF}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


@contextlib.contextmanager
def server() -> Iterator[tuple[psutil.Process, str, float]]:
    """A fresh emulator: its process, its address, and the seconds to its first 200."""
    with tempfile.TemporaryDirectory() as base:
        lease = lease_port("127.0.0.1", 18790)
        url = f"http://127.0.0.1:{lease.port}"
        command = [sys.executable, "-m", "discomfort", "serve", "--base-directory", base, "--port", str(lease.port)]
        started = time.perf_counter()
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*command, "--verbose", "ERROR"], stdout=quiet, stderr=quiet)
        try:
            wait_for(url, process)
            yield psutil.Process(process.pid), url, time.perf_counter() - started
        finally:
            process.terminate()
            # Tens of thousands of previews are removed from its temporary folder first.
            process.wait(180)
            lease.release()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Ask until the first 200. Raises ``RuntimeError`` when the process ends before."""
    while process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{url}/prompt", timeout=1):
            return
        time.sleep(0.005)
    raise RuntimeError(f"the emulator ended with {process.returncode}")


def mebibytes(process: psutil.Process) -> float:
    """Resident memory."""
    return float(process.memory_info().rss / 2**20)


def boot(rounds: int) -> tuple[float, float, float]:
    """Median seconds to the first 200, those of the processor in it, and the largest resident memory then."""
    seconds, used, memory = [], [], []
    for _ in range(rounds):
        with server() as (process, _, took):
            times = process.cpu_times()
            seconds.append(took)
            used.append(times.user + times.system)
            memory.append(mebibytes(process))
    return statistics.median(seconds), statistics.median(used), max(memory)


async def speed(runs: int) -> float:
    """Runs per second through ``run_workflow``."""
    with tempfile.TemporaryDirectory() as home:
        connector = await ComfyConnector.create(engine="emulator", emulator_directory=home, browser="lazy")
        async with connector:
            numbers = iter(range(runs))

            async def caller() -> None:
                for number in numbers:
                    await connector.run_workflow(tiny(number), use_workflow_json=False)

            await connector.run_workflow(tiny(runs), use_workflow_json=False)
            started = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(CALLERS)))
            return runs / (time.perf_counter() - started)


async def growth(runs: int, *, clear: bool) -> list[tuple[int, float]]:
    """The server's memory after each sixth of ``runs`` bare runs; ``clear``: its history is cleared now and then."""
    found = []
    with server() as (process, url, _):
        async with aiohttp.ClientSession(url) as session:
            sid = uuid.uuid4().hex
            async with session.ws_connect(f"/ws?clientId={sid}") as socket:
                for done in range(0, runs, BATCH):
                    await batch(session, socket, sid, done)
                    if clear:
                        await session.post("/history", json={"clear": True})
                    if (done + BATCH) % (runs // 6) < BATCH:
                        found.append((done + BATCH, mebibytes(process)))
    return found


async def batch(session: aiohttp.ClientSession, socket: Any, sid: str, first: int) -> None:
    """Queue some prompts and read the socket up to the end of the last one."""
    last = ""
    for number in range(first, first + BATCH):
        async with session.post("/prompt", json={"prompt": tiny(number), "client_id": sid}) as answer:
            last = (await answer.json())["prompt_id"]
    while True:
        message = (await socket.receive_json(timeout=60))["data"]
        if message.get("prompt_id") == last and "node" in message and message["node"] is None:
            return


def shown(label: str, samples: list[tuple[int, float]]) -> float:
    """Print a row of memory figures; the growth over the last half."""
    cells = "  ".join(f"{runs}: {memory:.1f}" for runs, memory in samples)
    grown = samples[-1][1] - samples[len(samples) // 2 - 1][1]
    print(f"growth, {label}: {cells} MiB; {grown:+.1f} MiB in the last half", flush=True)
    return grown


def main() -> int:
    """Measure and print; the exit code says whether every target was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="boots")
    parser.add_argument("--runs", type=int, default=2000, help="runs through run_workflow")
    parser.add_argument(
        "--growth", type=int, default=24_000, help="bare runs; more than 20,000 show the history's limit"
    )
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    seconds, used, memory = boot(options.rounds)
    print(f"boot: {seconds:.2f} s to the first 200 ({used:.2f} s of processor), {memory:.0f} MiB", flush=True)
    rate = asyncio.run(speed(options.runs))
    print(f"speed: {rate:.0f} tiny prompts/s through run_workflow", flush=True)
    cleared = shown("history cleared", asyncio.run(growth(options.growth, clear=True)))
    kept = shown("history kept", asyncio.run(growth(options.growth, clear=False)))
    good = seconds <= BOOT_SECONDS and memory <= BOOT_MEBIBYTES and rate >= RUNS_PER_SECOND
    return 0 if good and max(cleared, kept) <= GROWTH_MEBIBYTES else 1


if __name__ == "__main__":
    sys.exit(main())
