"""Newer frontends than the installed one: each converts a sample as the literal procedure did on it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser import newer_sample
from browser.made_workflows import all_made, empty_image, hostile
from browser.made_workflows import workflow as workflow_of
from browser.stub_server import StubServer
from browser.variants import changes, other_value

from discomfort.conversion import Converter
from discomfort.exceptions import ConversionError, InputSelectorError
from discomfort.workflow import Editor

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


async def test_workflow_that_breaks_the_graph(frontend: tuple[str, Converter]) -> None:
    """On 1.49.6, where its key ``__proto__`` takes the methods away, that error is raised, without a new browser."""
    version, converter = frontend
    browser = converter._engine.browser
    if version == "1.49.6":
        with pytest.raises(
            ConversionError, match=r"the frontend failed to configure it: .* is not a function"
        ) as caught:
            await converter.convert(hostile())
        assert len(caught.value.attempts) == 2
    else:
        assert set(await converter.convert(hostile())) == {"1", "2"}
    assert converter._engine.browser is browser
    assert set(await converter.convert(workflow_of([empty_image(1)]))) == {"1"}


async def test_every_workflow_gives_the_recorded_prompt(frontend: tuple[str, Converter]) -> None:
    """Small workflows, on one warm page, in an order drawn at random."""
    version, converter = frontend
    recorded = json.loads(newer_sample.prompts_file(version).read_bytes())
    workflows = newer_sample.workflows()
    order = random.Random(11).sample(NAMES, len(NAMES))

    made = {name: await converter.convert(workflows[name], allow_missing=True) for name in order}

    assert [name for name in order if made[name] != recorded[name]] == []
    assert sorted(recorded) == NAMES


@pytest.mark.timeout(300)
async def test_what_the_editor_sets_arrives(frontend: tuple[str, Converter]) -> None:
    """Each input that it offers: the prompt has the new value there, and nothing else is different."""
    version, converter = frontend
    recorded = json.loads(newer_sample.prompts_file(version).read_bytes())
    definitions = json.loads(newer_sample.DEFINITIONS.read_bytes())
    wrong, count = [], 0
    for name, selector in _selectors(definitions):
        editor = Editor(newer_sample.workflows()[name], definitions)
        value = other_value(editor.get(selector))
        try:
            editor.set(selector, value)
        except InputSelectorError:
            continue  # not among its values
        made = await converter.convert(editor.payload, allow_missing=True)
        found = {json.dumps(value) for _, value in changes(recorded[name], made)}
        count += 1
        if found != {json.dumps(value)}:
            wrong.append((name, selector, value, changes(recorded[name], made)))

    assert wrong == []
    assert count > 60


def _selectors(definitions: Any) -> Iterator[tuple[str, str]]:
    """Of the workflows with something new; a muted node's inputs reach no prompt."""
    for name, workflow in newer_sample.workflows().items():
        if name == "primitives" or (name not in all_made() and name != "promoted_muted"):
            for selector in Editor(workflow, definitions).selectors():
                yield name, selector


async def test_no_request_but_for_pictures(frontend: tuple[str, Converter]) -> None:
    """A workflow that names its models makes the page ask for nothing: their files are not looked for."""
    _, converter = frontend
    workflow = newer_sample.workflows()["named_models"]

    result = await converter._engine.on_warm_page(json.dumps(workflow))

    assert [path for path in result.asked if "/view" not in path] == []
