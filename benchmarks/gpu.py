"""Times, faults and memory on a machine with a real GPU, in one table and as JSON.

    python benchmarks/gpu.py --comfyui PATH [--shape sd15|sdxl] [--options="…"] [--json FILE]
    python benchmarks/gpu.py [--comfyui PATH] --cpu          # the parts that need no GPU, at tiny sizes

Checkpoints of random weights are made if they are not there (``random_checkpoint.py``; ``--checkpoints FOLDER`` keeps
them). Without ``--comfyui`` the emulator stands in. Each part has a deadline, all together have ``--budget`` seconds;
a part that cannot be done says why. Whatever was started is ended, and the files are removed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from checkpoint_runs import Prompt, checkpoint_names, sampling, server_settings, tiny
from random_checkpoint import SHAPES

from discomfort import ComfyConnector
from discomfort._system.gpus import list_gpus
from discomfort.exceptions import DiscomfortError, OutOfMemoryError
from discomfort.pool.pool import ComfyPool
from discomfort.progress import Step

Figures = dict[str, Any]
SIMULATED = ["--load-seconds-per-gb", "0.2"]
_numbers = itertools.count(int(time.time()) % 1_000_000)


class SkipPart(Exception):
    """A part that cannot be done here, and why."""


@dataclass
class Bench:
    """What the parts share."""

    settings: dict[str, Any]
    names: list[str]
    gpu: int | None
    side: int
    steps: int
    rounds: int
    vram: int = 0
    connector: ComfyConnector | None = None
    figures: dict[str, Figures] = field(default_factory=dict)

    @property
    def server(self) -> ComfyConnector:
        """The connector that the first part made."""
        if self.connector is None:
            raise SkipPart("there is no server")
        return self.connector

    def prompt(self, which: int = 0, **changes: int) -> Prompt:
        """A sampling run that no cache has."""
        return sampling(self.names[which], next(_numbers), **{"side": self.side, "steps": self.steps, **changes})

    async def run(self, prompt: Prompt | None = None) -> float:
        """Seconds of a run."""
        began = time.perf_counter()
        await self.server.run_workflow(self.prompt() if prompt is None else prompt, False)
        return time.perf_counter() - began


# --- measured on one server ----------------------------------------------------------------------------------------


async def create(bench: Bench) -> Figures:
    """A server that is ready."""
    began = time.perf_counter()
    settings = {**bench.settings, "browser": "lazy", "on_server_death": "restart"}
    bench.connector = await ComfyConnector.create(**settings)
    return {"seconds": time.perf_counter() - began}


async def first_run(bench: Bench) -> Figures:
    """A run that loads the checkpoint, and one that finds it loaded."""
    before = used_memory(bench.gpu)
    first, second = await bench.run(), await bench.run()
    figures: Figures = {"first_seconds": first, "second_seconds": second}
    after = used_memory(bench.gpu)
    if before is not None and after is not None:
        figures["memory_gb"] = (after - before) / 1e9
    return figures


async def overhead(bench: Bench) -> Figures:
    """The connector beside a bare script, in turns: POST the prompt, ask for its record every two milliseconds."""
    url = bench.server.server_address
    times: dict[str, list[float]] = {"bare": [], "connector": []}
    async with aiohttp.ClientSession() as session:

        async def bare(prompt: Prompt) -> None:
            async with session.post(f"{url}/prompt", json={"prompt": prompt}) as response:
                prompt_id = (await response.json())["prompt_id"]
            while True:
                async with session.get(f"{url}/history/{prompt_id}") as response:
                    if prompt_id in await response.json():
                        return
                await asyncio.sleep(0.002)

        sides: dict[str, Callable[[Prompt], Awaitable[Any]]] = {"bare": bare, "connector": bench.run}
        made = bench.prompt if bench.gpu is not None else lambda: tiny(next(_numbers))
        for number in range(bench.rounds + 2):
            for name in sorted(sides, reverse=bool(number % 2)):
                began = time.perf_counter()
                await sides[name](made())
                if number >= 2:
                    times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "prompt": "sampling" if bench.gpu is not None else "tiny",
        "rounds": bench.rounds,
        "bare_ms": medians["bare"] * 1000,
        "connector_ms": medians["connector"] * 1000,
        "ratio": medians["connector"] / medians["bare"],
    }


async def cancel(bench: Bench) -> Figures:
    """A run is cancelled in the middle of sampling; until then the next run has its result."""
    run = await bench.server.submit(bench.prompt(steps=1000), False)
    reached = 0.0
    async for event in run.events():
        if isinstance(event, Step) and event.maximum == 1000 and event.value >= 2:
            reached = event.value
            break
    began = time.perf_counter()
    was_cancelled = await run.cancel()
    cancelled = time.perf_counter() - began
    if not was_cancelled:
        raise SkipPart("the run had ended before it could be cancelled")
    await bench.run(tiny(next(_numbers)))
    return {"at_step": reached, "cancelled_seconds": cancelled, "next_result_seconds": time.perf_counter() - began}


async def out_of_memory(bench: Bench) -> Figures:
    """More pictures at once than the GPU has memory for, and the run after that."""
    if bench.gpu is None:
        raise SkipPart("it needs a GPU: on a CPU the machine would swap")
    # The first layer alone has 320 channels of 16 bits for each place of the latent, and there are several of them.
    batch = max(1, min(4096, bench.vram // (320 * 2 * 256 * 256)))
    began = time.perf_counter()
    try:
        await bench.run(bench.prompt(side=2048, batch=batch, steps=1))
    except OutOfMemoryError:
        failed = time.perf_counter() - began
    else:
        raise SkipPart(f"{batch} pictures of 2048 by 2048 pixels had room")
    return {"batch": batch, "error_seconds": failed, "next_run_seconds": await bench.run()}


async def death_of_the_server(bench: Bench) -> Figures:
    """The server is killed; until a run has its result."""
    pid = bench.server._parts.supervisor.pid
    os.kill(pid, signal.SIGKILL)
    began = time.perf_counter()
    failures = 0
    while True:
        try:
            await bench.run()
        except DiscomfortError:
            failures += 1
            await asyncio.sleep(0.1)
        else:
            return {"next_result_seconds": time.perf_counter() - began, "failed_calls": failures}


async def close(bench: Bench) -> Figures:
    """Everything is released."""
    server, bench.connector = bench.server, None
    began = time.perf_counter()
    await server.kill_api()
    return {"seconds": time.perf_counter() - began}


# --- processes of their own ----------------------------------------------------------------------------------------


async def our_death(bench: Bench) -> Figures:
    """A program with a connector is killed; until its server is gone and the memory of the GPU is free again."""
    before = used_memory(bench.gpu)
    told = json.dumps({"settings": bench.settings, "prompt": bench.prompt()})
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--hold", told, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = await child.stdout.readline()
        if not line:
            raise SkipPart("the program could not start its server")
        pid = int(line)
        held = used_memory(bench.gpu)
        child.kill()
        began = time.perf_counter()
        figures: Figures = {}
        await asyncio.to_thread(until, lambda: not Path(f"/proc/{pid}").exists())
        figures["server_gone_seconds"] = time.perf_counter() - began
        if before is None or held is None:
            return figures
        await asyncio.to_thread(until, lambda: (used_memory(bench.gpu) or 0) <= before + (300 << 20))
        figures["memory_free_seconds"] = time.perf_counter() - began
        left = used_memory(bench.gpu) or 0
        return {**figures, "held_gb": (held - before) / 1e9, "left_gb": (left - before) / 1e9}
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


async def hold(told: str) -> None:
    """What :func:`our_death` kills: a server with a checkpoint."""
    order = json.loads(told)
    connector = await ComfyConnector.create(**{**order["settings"], "browser": "lazy"})
    await connector.run_workflow(order["prompt"], False)
    print(connector._parts.supervisor.pid, flush=True)
    await asyncio.sleep(3600)


async def two_servers(bench: Bench) -> Figures:
    """A pool of two servers on one GPU: what the book says that they hold, beside what they say themselves."""
    before = used_memory(bench.gpu)
    began = time.perf_counter()
    environment = {} if bench.gpu is None else {"environment": {"CUDA_VISIBLE_DEVICES": str(bench.gpu)}}
    async with await ComfyPool.create(servers=2, **{**bench.settings, **environment}) as pool:
        figures: Figures = {"create_seconds": time.perf_counter() - began}
        began = time.perf_counter()
        runs = [await pool.submit(bench.prompt(index % 2)) for index in range(6)]
        await asyncio.gather(*runs)
        status = pool.status()
        figures |= {"runs_seconds": time.perf_counter() - began, "runs": len(runs), "loads": status.loads}
        for server in status.servers:
            figures[f"{server.name}_book_gb"] = sum(server.models.values()) / 1e9
            if bench.gpu is not None:
                figures |= await memory_of(server.name, server.url)
        if before is not None:
            figures["both_nvidia_smi_gb"] = ((used_memory(bench.gpu) or before) - before) / 1e9
    return figures


async def memory_of(name: str, url: str) -> Figures:
    """What a server says of its GPU: what torch has reserved for this server, and what all programs use there."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/system_stats") as response:
        device = (await response.json())["devices"][0]
    used = device["vram_total"] - device["vram_free"]
    return {f"{name}_torch_gb": device["torch_vram_total"] / 1e9, f"{name}_system_stats_gb": used / 1e9}


# --- the frame -----------------------------------------------------------------------------------------------------

PARTS: list[tuple[Callable[[Bench], Awaitable[Figures]], float]] = [
    (create, 60), (first_run, 60), (overhead, 40), (cancel, 30), (out_of_memory, 60), (death_of_the_server, 60),
    (close, 20), (our_death, 70), (two_servers, 90),
]  # fmt: skip
"""Each part with the seconds that it may take on a machine with a GPU."""


def used_memory(gpu: int | None) -> int | None:
    """Bytes of a GPU that are used, by whatever process; ``None`` without a GPU."""
    if gpu is None:
        return None
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(printed.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


async def measure(part: Callable[[Bench], Awaitable[Figures]], bench: Bench, limit: float) -> Figures:
    """The figures of a part, or why there are none."""
    if limit <= 0:
        return {"skipped": "no time is left"}
    try:
        async with asyncio.timeout(limit):
            return await part(bench)
    except SkipPart as reason:
        return {"skipped": str(reason)}
    except TimeoutError:
        return {"failed": f"took longer than {limit:.0f} s"}
    except (DiscomfortError, OSError, aiohttp.ClientError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


async def measure_all(bench: Bench, end: float, slower: float) -> None:
    """All parts, one after another."""
    try:
        for part, limit in PARTS:
            name = part.__name__.replace("_", " ")
            found = await measure(part, bench, min(limit * slower, end - time.monotonic()))
            bench.figures[name] = found
            print(f"{name:20} {told(found)}", flush=True)
    finally:
        if bench.connector is not None:
            await bench.connector.kill_api()


def told(figures: Figures) -> str:
    """Figures as a line."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in figures.items()
    )


async def measured(options: argparse.Namespace, folder: Path) -> int:
    """Everything; 1 if a part failed."""
    gpus = [] if options.cpu or not options.comfyui else await list_gpus()
    if options.comfyui and not options.cpu and not gpus:
        print("no GPU was found (nvidia-smi lists none), so nothing is measured; --cpu measures what needs none")
        return 0
    end, names = time.monotonic() + options.budget, checkpoint_names(options.shape)
    began = time.perf_counter()
    settings = await asyncio.to_thread(
        server_settings, options.comfyui, folder, names,
        shape=options.shape, models=options.checkpoints, simulated=SIMULATED,
    )  # fmt: skip
    settings["server_arguments"] += [*(["--cpu"] if options.comfyui and options.cpu else []), *options.options]
    checkpoints = {"seconds": time.perf_counter() - began, "shape": options.shape}
    where = gpus[0].name if gpus else "no GPU"
    print(f"{options.comfyui or 'emulator'}, {where}, load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'checkpoints':20} {told(checkpoints)}", flush=True)
    bench = Bench(
        settings, names, gpus[0].index if gpus else None, side=512 if gpus else 64, steps=20 if gpus else 2,
        rounds=12, vram=gpus[0].memory if gpus else 0, figures={"checkpoints": checkpoints},
    )  # fmt: skip
    await measure_all(bench, end, 1.0 if gpus else options.slower)
    report = {"comfyui": str(options.comfyui or ""), "device": where, "parts": bench.figures}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))
    return int(any("failed" in figures for figures in bench.figures.values()))


def main() -> int:
    """Read the command line and measure, with files in a folder of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--comfyui", type=Path, help="a ComfyUI; default: the emulator")
    parser.add_argument("--cpu", action="store_true", help="measure the parts that need no GPU, at tiny sizes")
    parser.add_argument("--options", default=[], type=shlex.split, help="further options of the servers")
    parser.add_argument(
        "--shape", choices=list(SHAPES), help="the shape of the checkpoints; default: sd15, on the CPU small"
    )
    parser.add_argument("--checkpoints", type=Path, help="a folder of models that keeps them; default: a temporary one")
    parser.add_argument(
        "--budget", type=float, default=None, help="seconds for everything; default: 240, on the CPU 1200"
    )
    parser.add_argument("--slower", type=float, default=4.0, help="how much more time each part has without a GPU")
    parser.add_argument("--json", type=Path, help="a file for the figures; default: printed")
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold:
        asyncio.run(hold(options.hold))
        return 0
    options.comfyui = options.comfyui.resolve() if options.comfyui else None
    options.shape = options.shape or ("small" if options.cpu else "sd15")
    options.budget = options.budget or (1200.0 if options.cpu else 240.0)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(options, Path(folder)))


if __name__ == "__main__":
    raise SystemExit(main())
