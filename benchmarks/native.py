"""Is the native path right: ``python benchmarks/native.py [--variants N] [--only TEXT] [--front-end ROOT]``.

Each recorded workflow is converted once, learnt, and then converted again and with other values, drawn at random:
seeds, texts, numbers, choices, file names. A second converter without the native path makes the same from scratch. The
table tells how many prompts each path made, which are wrong (there must be none), and why the native path declined.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.background import settled
from browser.stub_server import StubServer, front_end_root, read_json
from browser.variants import inputs_by_class, varied
from saved import WORKFLOWS

from discomfort.conversion import Converter


class Tally:
    """What happened, over all workflows."""

    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: list[float] = []


async def one(path: Path, native: Converter, plain: Converter, inputs: Any, variants: int, tally: Tally) -> None:
    """Have one workflow learnt, then compare it and its variants."""
    original, name = read_json(path), path.name
    chance = random.Random(name)
    await native.convert(original, allow_missing=True)
    await settled(native)
    for number in range(variants):
        workflow = original if number == 0 else varied(original, chance, inputs, odd=0.02)
        before = Counter(native.counts["declined"])
        told = await native.explain(workflow)
        reasons = Counter(native.counts["declined"]) - before
        await settled(native)
        started = time.perf_counter()
        prompt = await native.convert(workflow, allow_missing=True)
        elapsed = time.perf_counter() - started
        tally.paths[told.path] += 1
        tally.reasons += reasons
        if told.path == "native":
            tally.seconds.append(elapsed)
        expected = await plain.convert(workflow, allow_missing=True)
        if json.dumps(told.prompt) != json.dumps(expected) or json.dumps(prompt) != json.dumps(expected):
            tally.wrong.append(f"{name} by {told.path}")
    print(f"{name:<60} {dict(tally.paths)} wrong {len(tally.wrong)} {dict(tally.reasons)}", flush=True)


async def main(variants: int, only: str, root: Path, paths: list[Path]) -> None:
    """Convert everything and print the table."""
    server = await StubServer(static=root).start()
    native = Converter(server.url, front_end_root=root, native="on")
    plain = Converter(server.url, front_end_root=root)
    tally, inputs = Tally(), inputs_by_class(server.object_info)
    started = time.perf_counter()
    try:
        await asyncio.gather(native.wait_page(), plain.wait_page())
        for path in paths:
            if only in path.name:
                await one(path, native, plain, inputs, variants, tally)
        print(f"\n{native!r}\n{time.perf_counter() - started:.0f} s; prompts by path: {dict(tally.paths)}")
        print(f"different from the browser's: {len(tally.wrong)} {tally.wrong}")
        share = 1 - tally.paths["native"] / max(1, tally.paths.total())
        print(f"not converted natively: {share:.1%}; why it declined:")
        for reason, count in tally.reasons.most_common():
            print(f"{count:>6}  {reason}")
        if tally.seconds:
            median, slowest = statistics.median(tally.seconds) * 1000, max(tally.seconds) * 1000
            print(f"native: median {median:.2f} ms, slowest {slowest:.2f} ms")
    finally:
        await native.aclose()
        await plain.aclose()
        await server.aclose()


def arguments() -> Any:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=4, metavar="N", help="sets of values per workflow")
    parser.add_argument("--only", default="", metavar="TEXT", help="workflows whose name has TEXT")
    parser.add_argument("--front-end", type=Path, default=front_end_root(), metavar="ROOT", help="another frontend")
    parser.add_argument("--workflows", type=Path, default=WORKFLOWS, metavar="FOLDER", help="instead of the recorded")
    return parser.parse_args()


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    given = arguments()
    asyncio.run(main(given.variants, given.only, given.front_end, sorted(given.workflows.glob("*.json"))))
