"""Prompts by the literal procedure, recorded: ``python benchmarks/record_prompts.py WORKFLOWS... --output FOLDER``.

WORKFLOWS are files or folders of workflows as JSON, such as the official templates in the package
``comfyui_workflow_templates_json`` or the folder ``blueprints`` of ComfyUI; ``--count`` draws some of them by
``--seed``. Each is converted on a fresh page of the frontend in ``--front-end-root``, which is served with the node
definitions in ``--definitions``. FOLDER gets ``workflows``, ``prompts``, the definitions and ``about.json``. With
``SAVED_DATA=FOLDER`` the benchmarks of conversions take this set.

``--sample`` records the sample of the tests instead: ``--definitions`` are reduced to the classes that it uses, and
each frontend's prompts are one file. ``--templates VERSION`` does so for the official templates among the tests, which
are not part of the repository (``make setup`` gets them): of their prompts only hashes are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import literal, newer_sample, official_templates
from browser.stub_server import StubServer, front_end_root
from playwright.async_api import Error, async_playwright
from saved import read as read_definitions

from discomfort.conversion.browser.chromium import existing_chromium

Json = dict[str, Any]
SECONDS = 120.0
TEXTS = frozenset({"tooltip", "description", "search_aliases", "price_badge", "output_tooltips"})
"""Fields of definitions that no prompt depends on, and that the sample leaves out."""
LONGEST_DEFAULT = 60
"""Longer ones are instructions for a model; the sample has an empty text instead."""


def workflow_files(given: Iterable[Path]) -> Iterator[Path]:
    """The workflows in files and folders; other JSON, such as an index, is left out."""
    for place in given:
        for path in sorted(place.glob("*.json")) if place.is_dir() else [place]:
            content = json.loads(path.read_bytes())
            if isinstance(content, dict) and isinstance(content.get("nodes"), list):
                yield path


async def record(root: Path, definitions: Json, workflows: dict[str, Any]) -> tuple[str, Json]:
    """The frontend's version and its prompt for each workflow. A workflow that fails is left out, and printed."""
    server = await StubServer(static=root, definitions=definitions).start()
    prompts: Json = {}
    try:
        async with async_playwright() as playwright:
            executable = existing_chromium(None, playwright.chromium.executable_path)
            options = ["--enable-webgl", "--disable-gpu"]
            browser = await playwright.chromium.launch(executable_path=executable, args=options)
            version = await literal.version(browser, server.url)
            for name, workflow in workflows.items():
                try:
                    async with asyncio.timeout(SECONDS):
                        prompts[name] = await literal.convert(browser, server.url, workflow)
                except (Error, TimeoutError) as error:
                    print(f"{name}: {str(error).splitlines()[:1]}")
            await browser.close()
    finally:
        await server.aclose()
    return version, prompts


def used_classes(value: Any) -> set[str]:
    """Every ``type`` anywhere in a workflow."""
    if isinstance(value, list):
        return set().union(*map(used_classes, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*map(used_classes, value.values()))
    return found | ({value["type"]} if isinstance(value.get("type"), str) else set())


def reduced(definitions: Json, workflows: Json) -> Json:
    """The definitions that the workflows use, without texts."""
    used = used_classes(list(workflows.values()))
    return {name: without_texts(about) | {"description": ""}
            for name, about in sorted(definitions.items()) if name in used}  # fmt: skip


def without_texts(value: Any, *, inputs: bool = False) -> Any:
    """A definition without its texts for people; ``inputs`` says that the keys are names of inputs."""
    if isinstance(value, list):
        return [without_texts(item) for item in value]
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if inputs or key not in TEXTS}
        if isinstance(kept.get("default"), str) and len(kept["default"]) > LONGEST_DEFAULT:
            kept["default"] = ""
        return {key: without_texts(item, inputs=key in ("required", "optional")) for key, item in kept.items()}
    return value


def write_lines(path: Path, table: Json) -> None:
    """A JSON object with one line for each key, so that differences can be read."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(table.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def record_sample(root: Path, definitions: Json) -> None:
    """The definitions and one frontend's prompts for the sample."""
    workflows = newer_sample.workflows()
    small = reduced(definitions, workflows)
    write_lines(newer_sample.DEFINITIONS, small)
    version, prompts = asyncio.run(record(root, small, workflows))
    write_lines(newer_sample.prompts_file(version), prompts)
    print(f"{version}: {len(prompts)} of {len(workflows)} prompts")


def record_hashes(root: Path, definitions: Json, package: str) -> None:
    """The definitions for the official templates among the tests, and the hashes of one frontend's prompts."""
    workflows = official_templates.templates(official_templates.folder(package))
    small = reduced(definitions, workflows)
    write_lines(official_templates.DEFINITIONS, small)
    version, prompts = asyncio.run(record(root, small, workflows))
    made = {name: official_templates.prompt_hash(prompt) for name, prompt in sorted(prompts.items())}
    recorded = official_templates.hashes() | {"package": package}
    recorded["frontends"] = dict(sorted({**recorded["frontends"], version: made}.items()))
    official_templates.HASHES.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{version}: {len(made)} of {len(workflows)} prompts")


def record_set(options: argparse.Namespace, definitions: Json) -> None:
    """A set of workflows and prompts in a folder."""
    paths = list(workflow_files(options.workflows))
    chosen = random.Random(options.seed).sample(paths, min(options.count or len(paths), len(paths)))
    workflows = {path.name: json.loads(path.read_bytes()) for path in sorted(chosen)}
    version, prompts = asyncio.run(record(options.front_end_root, definitions, workflows))
    for kind, table in (("workflows", workflows), ("prompts", prompts)):
        folder = options.output / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in prompts:
            (folder / name).write_text(json.dumps(table[name], ensure_ascii=False))
    (options.output / "object_info.json.gz").write_bytes(gzip.compress(json.dumps(definitions).encode(), mtime=0))
    about = {"frontend": version, "definitions": options.definitions.name, "seed": options.seed}
    (options.output / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print(f"{version}: {len(prompts)} of {len(workflows)} prompts in {options.output}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("workflows", nargs="*", type=Path, metavar="WORKFLOWS", help="files, or folders of files")
    add("--definitions", type=Path, required=True, metavar="FILE", help="a saved /object_info (.json or .json.gz)")
    add("--front-end-root", type=Path, default=front_end_root(), metavar="DIR", help="another frontend's static folder")
    add("--output", type=Path, metavar="FOLDER", help="where the set is written")
    add("--count", type=int, metavar="N", help="draw so many of the workflows")
    add("--seed", type=int, default=1, metavar="N", help="of the draw")
    add("--sample", action="store_true", help="record the sample of the tests")
    add("--templates", metavar="VERSION", help="record the official templates of the tests, from this package")
    options = parser.parse_args()
    if not (options.sample or options.templates) and not (options.workflows and options.output):
        parser.error("WORKFLOWS and --output, or --sample, or --templates")
    return options


if __name__ == "__main__":
    given = parse()
    known = read_definitions(given.definitions)
    if given.sample:
        record_sample(given.front_end_root, known)
    elif given.templates:
        record_hashes(given.front_end_root, known, given.templates)
    else:
        record_set(given, known)
