"""The cost of keeping values in a context: numbers, a large array, a thousand rounds with an image, a killed program.

    python benchmarks/context.py [--megabytes 100] [--rounds 1000] [--killed 0.2]

The bare side of a number is one line appended to a file and ``json``; that of an array is one copy into a reserved file
of the same file system and a mapping of it. Both sides take turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import mmap
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from discomfort import WorkflowContext
from discomfort._system import shared_memory
from discomfort.context.folders import user_folder

KILLED = """
import sys, numpy as np
from discomfort import WorkflowContext
context = WorkflowContext(max_ram_gb=64)
for number in range(int(float(sys.argv[1]) * 10)):
    context.save(f"value {number}", np.ones(12_500_000), use_ram=number % 4 > 0)
print(context.receipt_path, flush=True)
sys.stdin.read()
"""


def median_us(work: Callable[[], object], times: int) -> float:
    """The median of so many calls, in microseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e6


def numbers(context: WorkflowContext, folder: Path, turns: int = 20, times: int = 500) -> None:
    """Saving and loading one number."""
    descriptor = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def bare() -> None:
        os.write(descriptor, json.dumps({"n": 7}).encode() + b"\n")

    context.save("n", 7)
    saves, loads, bares = [], [], []
    for _ in range(turns):
        saves.append(median_us(lambda: context.save("n", 7), times))
        loads.append(median_us(lambda: context.load("n"), times))
        bares.append(median_us(bare, times))
    os.close(descriptor)
    print(f"number: save {statistics.median(saves):.1f} µs, load {statistics.median(loads):.1f} µs; ", end="")
    print(f"one line appended to a file: {statistics.median(bares):.1f} µs")


def copied(array: np.ndarray, path: Path) -> None:
    """One copy into a reserved file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, array.nbytes)
        rest = memoryview(array.reshape(-1).view(np.uint8))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def mapped(path: Path) -> np.ndarray:
    """The array in that file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY), np.float64)
    finally:
        os.close(descriptor)


def large_array(context: WorkflowContext, megabytes: int, turns: int = 7) -> None:
    """Saving and loading one array, in memory."""
    array = np.random.default_rng(0).random(megabytes * 1_000_000 // 8)
    bare = shared_memory.FOLDER / f"discomfort-benchmark-{os.getpid()}"
    times: dict[str, list[float]] = {"save": [], "load": [], "copy": [], "map": []}
    for _ in range(turns):
        for name, work in (
            ("save", lambda: context.save("array", array)),
            ("load", lambda: context.load("array")),
            ("copy", lambda: copied(array, bare)),
            ("map", lambda: mapped(bare)),
        ):
            times[name].append(median_us(work, 1) / 1000)
        bare.unlink()
        assert context.load("array")[-1] == array[-1]
        context.delete("array")
    shown = {name: f"{statistics.median(found):.2f} ms" for name, found in times.items()}
    print(
        f"{megabytes} MB: save {shown['save']} (bare copy {shown['copy']}), load {shown['load']} (bare {shown['map']})"
    )


def rounds(context: WorkflowContext, count: int) -> None:
    """A 10 MB image that is loaded, changed and saved, again and again: what grows."""
    process = psutil.Process()
    image = np.zeros((1, 1024, 813, 3), np.float32)
    context.save("image", image)
    looks = []
    for number in range(count):
        context.save("image", context.load("image") + 1)
        context.save("round", number)
        if number % (count // 10) == count // 10 - 1:
            gc.collect()
            home = Path(context.receipt_path)
            memory = shared_memory.FOLDER / user_folder() / context.run_id
            looks.append(
                (
                    process.memory_info().rss >> 20,
                    process.num_fds(),
                    len(list(home.parent.iterdir())) + len(list(memory.iterdir())),
                    sum(path.stat().st_size for path in memory.iterdir()) >> 20,
                    home.stat().st_size >> 10,
                )
            )
    assert context.load("image").max() == count
    names = ("MiB of memory", "descriptors", "files", "MiB in /dev/shm", "KiB of index")
    first, last = looks[0], looks[-1]
    print(f"{count} rounds with a 10 MB image: ", end="")
    print(", ".join(f"{name} {a} → {b}" for name, a, b in zip(names, first, last, strict=True)))


def killed(gigabytes: float) -> None:
    """What SIGKILL leaves, before and after the next context."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(gigabytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        home = Path(process.stdout.readline().strip()).parent
        process.send_signal(signal.SIGKILL)
    folders = [home, shared_memory.FOLDER / user_folder() / home.name]
    left = sum(path.stat().st_size for folder in folders for path in folder.iterdir()) / 1e9
    start = time.perf_counter()
    with WorkflowContext():
        seconds = time.perf_counter() - start
    remaining = [folder for folder in folders if folder.exists()]
    print(
        f"SIGKILL with {left:.2f} GB stored: the next context took {seconds:.3f} s, and left {remaining or 'nothing'}"
    )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--killed", type=float, default=0.2, help="gigabytes that a killed program has stored")
    arguments = parser.parse_args()
    with WorkflowContext(max_ram_gb=8) as context, tempfile.TemporaryDirectory() as folder:
        numbers(context, Path(folder))
        large_array(context, arguments.megabytes)
        rounds(context, arguments.rounds)
    killed(arguments.killed)


if __name__ == "__main__":
    main()
