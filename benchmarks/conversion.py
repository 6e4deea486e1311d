"""Conversion of workflows to prompts, its speed and its results: ``python benchmarks/conversion.py``.

Compares, in one run and on the recorded workflows: the literal procedure (a fresh page for each), warm pages, the cache
within a process, and the cache from disk in a converter without a browser; with ``--comfy-cli PYTHON`` (an interpreter
that has the package ``comfy-cli``) also that program's converter. ``--literal N`` chooses how many workflows the slow
literal procedure converts.

``--front-end-root DIR`` takes another frontend than the installed one. The recorded prompts are those of one frontend
only, so then the literal procedure converts all workflows, and right is what equals its prompt; unless ``SAVED_DATA``
is a set that ``record_prompts.py`` made with that frontend.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import literal
from browser.stub_server import StubServer, front_end_root, read_json
from playwright.async_api import async_playwright
from same_prompts import same
from saved import DEFINITIONS, IS_SET, PROMPTS, WORKFLOWS

from discomfort.conversion import Converter, PromptCache
from discomfort.conversion.browser.chromium import existing_chromium

Prompt = dict[str, Any]
Convert = Callable[[dict[str, Any]], Awaitable[Prompt]]
NAMES = sorted(path.name for path in WORKFLOWS.glob("*.json"))


class Row:
    """One line of the table: how long each conversion took, and how many gave the expected prompt."""

    def __init__(self, name: str, expected: dict[str, Prompt]) -> None:
        self.name, self.expected = name, expected
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    async def run(self, convert: Convert, names: list[str]) -> Row:
        """Convert these, one after the other. Without an expectation, the result becomes it."""
        for name in names:
            workflow = read_json(WORKFLOWS / name)
            started = time.perf_counter()
            prompt = await convert(workflow)
            self.add(name, time.perf_counter() - started, prompt)
        return self

    def add(self, name: str, seconds: float, prompt: Prompt | None) -> None:
        """Count one conversion."""
        self.seconds.append(seconds)
        if prompt is None or not same(prompt, self.expected.setdefault(name, prompt)):
            self.wrong.append(name)

    def __str__(self) -> str:
        median, slowest = statistics.median(self.seconds) * 1000, max(self.seconds) * 1000
        count = len(self.seconds)
        return f"{self.name:<34}{count:>6}{count - len(self.wrong):>7}{median:>13.3f}{slowest:>13.2f}"


async def measure_literal(url: str, names: list[str], expected: dict[str, Prompt]) -> Row:
    """The documented procedure, in a browser of its own."""
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--enable-webgl", "--disable-gpu"])
        row = Row("literal procedure", expected)
        await row.run(lambda workflow: literal.convert(browser, url, workflow), names)
        await browser.close()
        return row


def measure_comfy_cli(python: str, expected: dict[str, Prompt]) -> Row:
    """comfy-cli's converter, in the interpreter that has it; titles are not held against it."""
    script = Path(__file__).with_name("comfy_cli_convert.py")
    paths = [str(WORKFLOWS / name) for name in NAMES]
    command = [python, str(script), str(DEFINITIONS), *paths]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    row = Row("comfy-cli", {name: _bare(prompt) for name, prompt in expected.items()})
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        row.add(answer["name"], answer["seconds"], _bare(answer["prompt"]) if answer["prompt"] is not None else None)
    return row


def _bare(prompt: Prompt) -> Prompt:
    return {node_id: {"class": node.get("class_type"), "inputs": node["inputs"]} for node_id, node in prompt.items()}


async def measure_ours(url: str, root: Path, folder: Path, expected: dict[str, Prompt]) -> list[Row]:
    """Warm pages without and with a cache to fill, then that cache from memory and from disk."""
    rows = []
    stored: list[str] = []
    for name, cache in (("warm page", None), ("warm page, storing", PromptCache(folder))):
        converter = Converter(url, front_end_root=root, cache=cache)
        started = time.perf_counter()
        await converter.wait_page()
        print(f"browser and page: {time.perf_counter() - started:.2f} s")
        rows.append(await Row(name, expected).run(allowing_missing(converter), NAMES))
        if cache is not None:
            stored = [n for n in NAMES if (await converter.explain(read_json(WORKFLOWS / n))).path == "cache"]
            rows.append(await Row("cache, memory", expected).run(converter.convert, stored))
        await converter.aclose()
    cold = Converter(url, front_end_root=root, cache=PromptCache(folder))
    rows.append(await Row("cache, disk, no browser", expected).run(cold.convert, stored))
    print(f"browser started by the last: {cold.healthy}")
    await cold.aclose()
    return rows


def allowing_missing(converter: Converter) -> Convert:
    """One workflow of the set has nodes that the server does not have, and a recorded prompt all the same."""
    return lambda workflow: converter.convert(workflow, allow_missing=True)


async def main(options: argparse.Namespace) -> bool:
    """Measure everything and print the table; whether all of ours was right."""
    root = options.front_end_root or front_end_root()
    expected: dict[str, Prompt] = {}
    literal_names = NAMES
    if options.front_end_root is None or IS_SET:
        expected = {name: read_json(PROMPTS / name) for name in NAMES}
        step = max(1, len(NAMES) // max(1, options.literal))
        literal_names = NAMES[::step][: options.literal]
    server = await StubServer(static=root).start()
    rows = [await measure_literal(server.url, literal_names, expected)]
    with tempfile.TemporaryDirectory() as folder:
        rows += await measure_ours(server.url, root, Path(folder), expected)
    await server.aclose()
    right = not any(row.wrong for row in rows)
    if options.comfy_cli:
        rows.append(measure_comfy_cli(options.comfy_cli, expected))
    report(rows)
    return right


def report(rows: list[Row]) -> None:
    """The table, the ratios, and the names of what was wrong."""
    print(f"{'':<34}{'runs':>6}{'right':>7}{'median ms':>13}{'slowest ms':>13}")
    print(*rows, sep="\n")
    base = statistics.median(rows[0].seconds)
    for row in rows[1:]:
        print(f"{row.name}: {base / statistics.median(row.seconds):,.0f} times as fast as the literal procedure")
    for row in rows:
        if row.wrong:
            print(f"{row.name}: wrong: {', '.join(row.wrong)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--literal", type=int, default=12, metavar="N", help="workflows for the literal procedure")
    parser.add_argument("--front-end-root", type=Path, metavar="DIR", help="another frontend's static folder")
    parser.add_argument("--comfy-cli", metavar="PYTHON", help="an interpreter that has comfy-cli")
    sys.exit(0 if asyncio.run(main(parser.parse_args())) else 1)
