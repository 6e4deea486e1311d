"""Newer frontends than the installed one: each converts a sample as the literal procedure did on it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser import newer_sample
from browser.stub_server import StubServer

from discomfort.conversion import Converter

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MAKEFILE = Path(__file__).parents[2] / "Makefile"
NAMES = sorted(newer_sample.workflows())


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=map(newer_sample.param, newer_sample.versions()))
async def frontend(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Converter]]:
    """A frontend's version, and a converter with its page loaded, on a server of the sample's definitions."""
    version: str = request.param
    root = newer_sample.root_of(version)
    server = await StubServer(static=root, definitions=json.loads(newer_sample.DEFINITIONS.read_bytes())).start()
    converter = Converter(server.url, front_end_root=root, install=False)
    try:
        await converter.wait_page()
        yield version, converter
    finally:
        await converter.aclose()
        await server.aclose()


async def test_setup_gets_what_is_recorded() -> None:
    """Each recorded frontend is one that ``make setup`` installs."""
    (line,) = [line for line in MAKEFILE.read_text().splitlines() if line.startswith("FRONTENDS :=")]
    assert sorted(line.split()[2:]) == newer_sample.versions()


async def test_every_workflow_gives_the_recorded_prompt(frontend: tuple[str, Converter]) -> None:
    """Small workflows, on one warm page, in an order drawn at random."""
    version, converter = frontend
    recorded = json.loads(newer_sample.prompts_file(version).read_bytes())
    workflows = newer_sample.workflows()
    order = random.Random(11).sample(NAMES, len(NAMES))

    made = {name: await converter.convert(workflows[name], allow_missing=True) for name in order}

    assert [name for name in order if made[name] != recorded[name]] == []
    assert sorted(recorded) == NAMES


async def test_no_request_but_for_pictures(frontend: tuple[str, Converter]) -> None:
    """A workflow that names its models makes the page ask for nothing: their files are not looked for."""
    _, converter = frontend
    workflow = newer_sample.workflows()["named_models"]

    result = await converter._engine.on_warm_page(json.dumps(workflow))

    assert [path for path in result.asked if "/view" not in path] == []
