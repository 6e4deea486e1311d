"""Official templates with newer frontends: each prompt is the one that the literal procedure made, by its hash."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser import newer_sample, official_templates
from browser.official_templates import DEFINITIONS, NAMES, prompt_hash
from browser.stub_server import StubServer

from discomfort.conversion import Converter

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MAKEFILE = Path(__file__).parents[2] / "Makefile"
RECORDED = official_templates.hashes()
TEMPLATES = official_templates.folder(RECORDED["package"])
PARAMS = [newer_sample.param(version, TEMPLATES) for version in RECORDED["frontends"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PARAMS)
async def frontend(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Converter]]:
    """A frontend's version, and a converter with its page loaded, on a server of the templates' definitions."""
    version: str = request.param
    root = newer_sample.root_of(version)
    server = await StubServer(static=root, definitions=json.loads(DEFINITIONS.read_bytes())).start()
    converter = Converter(server.url, front_end_root=root, install=False)
    try:
        await converter.wait_page()
        yield version, converter
    finally:
        await converter.aclose()
        await server.aclose()


async def test_setup_gets_the_recorded_package() -> None:
    """The hashes are those of the templates that ``make setup`` gets, with each frontend of the sample."""
    (line,) = [line for line in MAKEFILE.read_text().splitlines() if line.startswith("TEMPLATES :=")]
    assert line.split()[2:] == [RECORDED["package"]]
    assert sorted(RECORDED["frontends"]) == newer_sample.versions()
    assert all(sorted(hashes) == sorted(NAMES) for hashes in RECORDED["frontends"].values())


async def test_templates_give_the_recorded_prompts(frontend: tuple[str, Converter], tmp_path: Path) -> None:
    """Each on one warm page, in an order drawn at random."""
    version, converter = frontend
    workflows = official_templates.templates(TEMPLATES)

    different = []
    for name in random.Random(12).sample(NAMES, len(NAMES)):
        prompt = await converter.convert(workflows[name])
        if prompt_hash(prompt) != RECORDED["frontends"][version][name]:
            different.append(name)
            _keep(prompt, tmp_path / f"{name}.json")

    assert different == [], _how_to_look(different, version, tmp_path)


def _keep(prompt: Any, path: Path) -> None:
    path.write_text(json.dumps(prompt))


def _how_to_look(different: list[str], version: str, made: Path) -> str:
    """What to do to see where the prompts differ: only hashes of the expected ones are in the repository."""
    files = " ".join(str(TEMPLATES / f"{name}.json") for name in different)
    root = newer_sample.root_of(version)
    command = f"python benchmarks/record_prompts.py {files} --definitions {DEFINITIONS} --front-end-root {root}"
    return f"our prompts are in {made}; '{command} --output FOLDER' puts the literal procedure's into FOLDER/prompts"
