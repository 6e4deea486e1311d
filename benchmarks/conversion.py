"""How fast workflows become prompts, and whether the prompts are right: ``python benchmarks/conversion.py``.

Compares, in one run and on the recorded workflows: the literal procedure (a fresh page for each), warm pages, the cache
within a process, and the cache from disk in a converter without a browser. ``--literal N`` chooses how many workflows
the slow literal procedure converts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import literal
from browser.stub_server import PROMPTS, WORKFLOWS, StubServer, front_end_root, read_json
from playwright.async_api import async_playwright

from discomfort.conversion import Converter, PromptCache
from discomfort.conversion.chromium import existing_chromium

Convert = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
NAMES = sorted(path.name for path in WORKFLOWS.glob("*.json"))


class Row:
    """One line of the table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds: list[float] = []
        self.right = 0

    async def run(self, convert: Convert, names: list[str]) -> Row:
        """Convert these, one after the other."""
        for name in names:
            workflow, expected = read_json(WORKFLOWS / name), read_json(PROMPTS / name)
            started = time.perf_counter()
            prompt = await convert(workflow)
            self.seconds.append(time.perf_counter() - started)
            self.right += _same(prompt, expected)
        return self

    def __str__(self) -> str:
        median, slowest = statistics.median(self.seconds), max(self.seconds)
        return f"{self.name:<34}{len(self.seconds):>6}{self.right:>7}{median * 1000:>13.2f}{slowest * 1000:>13.2f}"


def _same(prompt: dict[str, Any], expected: dict[str, Any]) -> bool:
    # Text leaves out the class and title of a node of unknown type, where the recording has null.
    for node_id, node in prompt.items():
        if expected.get(node_id, {}).get("class_type", "") is None:
            node.setdefault("class_type", None)
            node["_meta"].setdefault("title", None)
    return prompt == expected


async def measure_literal(url: str, names: list[str]) -> Row:
    """The documented procedure, in a browser of its own."""
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--enable-webgl", "--disable-gpu"])
        row = await Row("literal procedure").run(lambda workflow: literal.convert(browser, url, workflow), names)
        await browser.close()
        return row


async def main(literal_count: int) -> None:
    """Measure everything and print the table."""
    server = await StubServer(static=front_end_root()).start()
    step = max(1, len(NAMES) // max(1, literal_count))
    rows = [await measure_literal(server.url, NAMES[::step][:literal_count])]
    with tempfile.TemporaryDirectory() as folder:
        for name, cache in (("warm page", None), ("warm page, storing", PromptCache(Path(folder)))):
            converter = Converter(server.url, front_end_root=front_end_root(), cache=cache)
            started = time.perf_counter()
            await converter.wait_page()
            print(f"browser and page: {time.perf_counter() - started:.2f} s")

            async def convert(workflow: dict[str, Any], converter: Converter = converter) -> dict[str, Any]:
                return await converter.convert(workflow, allow_missing=True)

            rows.append(await Row(name).run(convert, NAMES))
            if cache is not None:
                stored = [n for n in NAMES if (await converter.explain(read_json(WORKFLOWS / n))).path == "cache"]
                rows.append(await Row("cache, memory").run(convert, stored))
            await converter.aclose()
        cold = Converter(server.url, front_end_root=front_end_root(), cache=PromptCache(Path(folder)))
        rows.append(await Row("cache, disk, no browser").run(cold.convert, stored))
        print(f"browser started by the last: {cold.healthy}")
        await cold.aclose()
    await server.aclose()
    print(f"{'':<34}{'runs':>6}{'right':>7}{'median ms':>13}{'slowest ms':>13}")
    print(*rows, sep="\n")
    base = statistics.median(rows[0].seconds)
    for row in rows[1:]:
        print(f"{row.name}: {base / statistics.median(row.seconds):,.0f} times as fast as the literal procedure")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--literal", type=int, default=12, metavar="N", help="workflows for the literal procedure")
    asyncio.run(main(parser.parse_args().literal))
