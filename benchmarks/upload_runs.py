"""Runs with an ephemeral upload before each: what grows? Time, memory, descriptors, and the journal after each tenth.

    python benchmarks/upload_runs.py [--runs 10000] [--keep] [--comfyui PATH]

Each run names its upload by its bare name, as the documented example does, and discards it afterwards; with ``--keep``
the uploads stay until the end, so the journal must list them all. The emulator is started unless a ComfyUI is named.
The last line compares the last tenth with the second; the exit code is 1 where something grew beyond what it says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from discomfort import ComfyConnector

PORT = 8895
MEMORY_SLACK = 8.0
"""MiB by which resident memory may differ: the allocator gives pages back as it likes."""


@dataclass(frozen=True)
class Sample:
    """One tenth of the runs: seconds for an upload, a run and a discard; MiB; descriptors; bytes of the journal."""

    runs: int
    upload: float
    run: float
    memory: float
    descriptors: int
    journal: int

    def __str__(self) -> str:
        times = f"{1000 * self.upload:>10.2f} {1000 * self.run:>8.2f}"
        return f"{self.runs:>7} {times} {self.memory:>8.1f} {self.descriptors:>6} {self.journal:>12}"


HEADER = f"{'runs':>7} {'upload ms':>10} {'run ms':>8} {'MiB':>8} {'fds':>6} {'journal B':>12}"


async def tenth(connector: ComfyConnector, folder: Path, first: int, count: int, *, keep: bool) -> Sample:
    """The next ``count`` runs."""
    uploading = running = 0.0
    for number in range(first, first + count):
        source = folder / f"picture-{number}.txt"
        source.write_text(str(number))
        began = time.perf_counter()
        path = connector.upload_data(source, "input", "batch", is_ephemeral=True)
        uploading += time.perf_counter() - began
        began = time.perf_counter()
        prompt = {
            "1": {"class_type": "PrimitiveString", "inputs": {"value": source.name}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        }
        await connector.run_workflow(prompt, False)
        running += time.perf_counter() - began
        source.unlink()
        if not keep:
            connector.discard_upload(path)
    gc.collect()
    journal = connector._parts.journal
    size = journal.path.stat().st_size if journal is not None and journal.path.exists() else 0
    memory = psutil.Process().memory_info().rss / 2**20
    descriptors = psutil.Process().num_fds()
    return Sample(first + count, uploading / count, running / count, memory, descriptors, size)


async def main(runs: int, folder: Path, comfyui: Path | None, *, keep: bool) -> int:
    """All runs; returns the exit code."""
    engine = {"engine": "emulator"}
    if comfyui is not None:
        engine = {"comfyui_path": str(comfyui), "api_command_line": "python3 main.py --cpu"}
    print(HEADER)
    async with await ComfyConnector.create(browser="lazy", initial_port=PORT, **engine) as connector:
        samples = []
        for number in range(10):
            samples.append(await tenth(connector, folder, number * runs // 10, runs // 10, keep=keep))
            print(samples[-1], flush=True)
    early, late = samples[1], samples[-1]
    upload, run, grew = late.upload / early.upload, late.run / early.run, late.memory - early.memory
    print(f"last tenth / second: upload {upload:.2f}, run {run:.2f}, {grew:+.1f} MiB")
    journal_grew = not keep and late.journal > 2 * early.journal + 200_000
    return int((grew > MEMORY_SLACK and not keep) or late.descriptors > early.descriptors + 2 or journal_grew)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--comfyui", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upload-runs-") as sources:
        sys.exit(asyncio.run(main(chosen.runs, Path(sources), chosen.comfyui, keep=chosen.keep)))
