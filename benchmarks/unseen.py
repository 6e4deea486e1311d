"""Are workflows right that nobody here has seen: ``python benchmarks/unseen.py FOLDER [--literal N] [--seed N]``.

FOLDER has workflows as JSON, from anywhere. They are converted in an order drawn from the seed, on few warm pages that
fill a cache; then by a converter without a browser from that cache; then N of them by the literal procedure (a fresh
page for each). What the three made is compared, and where the literal procedure leaves a node without a class, the
error has to name its type. The native path has ``native.py --workflows FOLDER``. ``--url`` takes a server that runs,
such as a real ComfyUI, instead of the recorded node definitions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import literal
from browser.background import settled
from browser.stub_server import StubServer, front_end_root, read_json
from playwright.async_api import Error, async_playwright
from same_prompts import same

from discomfort.conversion import Converter, PromptCache
from discomfort.conversion.browser.chromium import existing_chromium
from discomfort.conversion.workflow_text import encode
from discomfort.exceptions import DiscomfortError, MissingNodesError

Prompts = dict[str, Any]
LITERAL_TIMEOUT = 120.0


async def warm(converter: Converter, paths: list[Path], tally: Counter[str]) -> Prompts:
    """What the warm pages make; an error where a typed one is raised."""
    made: Prompts = {}
    for path in paths:
        workflow = read_json(path)
        try:
            made[path.name] = await converter.convert(workflow)
        except MissingNodesError as error:
            tally["missing types, all told"] += 1
            made[path.name] = await converter.convert(workflow, allow_missing=True)
            gone = {node_id for missing in error.missing for node_id in missing.node_ids}
            assert gone == {key for key, node in made[path.name].items() if node["class_type"] is None}, path.name
        except DiscomfortError as error:
            tally[f"other error: {type(error).__name__}"] += 1
            print(f"{path.name}: {str(error)[:200]}")
    await settled(converter)
    return made


async def cached(converter: Converter, paths: list[Path], made: Prompts, tally: Counter[str]) -> None:
    """Compare what another process left in the cache; nothing may start a browser."""
    for path in paths:
        if path.name in made:
            workflow = read_json(path)
            await converter._open_gateway()
            environment = await converter._look()
            stored = await converter._recall(environment.key(encode(workflow)))
            same = stored is not None and json.dumps(stored) == json.dumps(made[path.name])
            tally["cache: equal" if same else "cache: not stored" if stored is None else "cache: WRONG"] += 1


async def compared(url: str, paths: list[Path], made: Prompts, tally: Counter[str]) -> None:
    """Compare with the literal procedure."""
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--enable-webgl", "--disable-gpu"])
        for path in paths:
            try:
                async with asyncio.timeout(LITERAL_TIMEOUT):
                    prompt = await literal.convert(browser, url, read_json(path))
            except (Error, TimeoutError) as error:
                tally["literal procedure failed" + ("" if path.name in made else ", and so did ours")] += 1
                print(f"{path.name}: literally {str(error)[:200]}")
                continue
            equal = path.name in made and same(prompt, made[path.name])
            tally["literal: equal" if equal else "literal: DIFFERENT"] += 1
            if not equal:
                print(f"{path.name}: not what the literal procedure makes")
        await browser.close()


async def main(options: argparse.Namespace) -> bool:
    """Convert everything and print the counts; whether all was right."""
    paths = sorted(options.folder.glob("*.json"))
    random.Random(options.seed).shuffle(paths)
    server = None if options.url else await StubServer(static=options.front_end_root).start()
    url = options.url or (server.url if server else "")
    tally: Counter[str] = Counter(workflows=len(paths))
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            Converter(url, front_end_root=options.front_end_root, cache=PromptCache(Path(folder))) for _ in range(2)
        )
        try:
            made = await warm(first, paths, tally)
            await first.aclose()
            await cached(second, paths, made, tally)
            tally["browsers started for the cache"] = int(second.healthy)
            await second.aclose()
            await compared(url, paths[: options.literal], made, tally)
        finally:
            # Also if it is interrupted: the literal procedure takes long.
            print(*(f"{count:>6}  {what}" for what, count in tally.items()), sep="\n")
    if server is not None:
        await server.aclose()
    return not any("WRONG" in what or "DIFFERENT" in what for what in tally)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="workflows, as JSON")
    parser.add_argument("--literal", type=int, default=20, metavar="N", help="workflows for the literal procedure")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order")
    parser.add_argument("--front-end-root", type=Path, default=front_end_root(), metavar="DIR", help="another frontend")
    parser.add_argument("--url", help="a server that runs")
    sys.exit(0 if asyncio.run(main(parser.parse_args())) else 1)
