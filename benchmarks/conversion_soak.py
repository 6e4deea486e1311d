"""Many conversions in a row, then many at once: ``python benchmarks/conversion_soak.py [--runs 1000]``.

Prints the memory of the browser's processes after the first fifty conversions and at the end; no prompt cache, so that
each goes through the browser. It is their anonymous memory (``RssAnon``, Linux): what is mapped from files is shared
with any other Chromium that happens to run. Then fifty at once: how many are right, and how long the first and the last
of them waited.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.stub_server import StubServer, front_end_root, read_json
from same_prompts import same
from saved import PROMPTS, WORKFLOWS

from discomfort.conversion import Converter

NAMES = sorted(path.name for path in WORKFLOWS.glob("*.json"))
WARM_UP = 50


def browser_memory() -> float:
    """MiB of all Chromium processes below this one."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                status = Path(f"/proc/{process.pid}/status").read_text()
                total += int(status.partition("RssAnon:")[2].split()[0])
        except (psutil.Error, OSError, IndexError):
            # It ended meanwhile.
            continue
    return total / 1024


async def in_a_row(converter: Converter, runs: int) -> tuple[float, float, int]:
    """Memory after the warm-up and at the end, and how many prompts were wrong."""
    readings: list[float] = []
    wrong, first = 0, 0.0
    for index in range(runs):
        name = NAMES[index % len(NAMES)]
        prompt = await converter.convert(read_json(WORKFLOWS / name), allow_missing=True)
        wrong += not same(prompt, read_json(PROMPTS / name))
        # A page is recycled now and then, so one reading is luck: the median of the last fifty stands for "now".
        if index < WARM_UP or index >= runs - WARM_UP:
            readings.append(browser_memory())
        if index == WARM_UP - 1:
            first = statistics.median(readings)
            readings.clear()
        if (index + 1) % 100 == 0:
            print(f"{index + 1:>6} conversions: {browser_memory():7.1f} MiB")
    return first, statistics.median(readings), wrong


async def at_once(converter: Converter, count: int) -> None:
    """Fifty conversions that arrive together."""
    started = time.perf_counter()
    waits: list[float] = []

    async def one(name: str) -> bool:
        prompt = await converter.convert(read_json(WORKFLOWS / name), allow_missing=True)
        waits.append(time.perf_counter() - started)
        return same(prompt, read_json(PROMPTS / name))

    right = sum(await asyncio.gather(*(one(name) for name in NAMES[:count])))
    print(f"{count} at once: {right} right; first after {min(waits):.2f} s, last after {max(waits):.2f} s")


async def main(runs: int, root: Path) -> None:
    """Start a server and a converter, measure, print."""
    server = await StubServer(static=root).start()
    converter = Converter(server.url, front_end_root=root, cache=None)
    await converter.wait_page()
    started = time.perf_counter()
    first, last, wrong = await in_a_row(converter, runs)
    print(f"{runs} conversions in {time.perf_counter() - started:.0f} s, {wrong} wrong")
    print(f"browser's memory (medians of {WARM_UP}): {first:.1f} MiB -> {last:.1f} MiB = {last / first:.3f}")
    await at_once(converter, 50)
    await converter.aclose()
    await server.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="conversions in a row")
    parser.add_argument("--front-end-root", type=Path, default=front_end_root(), metavar="DIR", help="another frontend")
    options = parser.parse_args()
    asyncio.run(main(options.runs, options.front_end_root))
