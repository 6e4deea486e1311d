"""The recorded workflows through the real frontend: every prompt must be the recorded one, in any order."""

from __future__ import annotations

import asyncio
import copy
import random

import pytest
import saved
from browser.stub_server import INCOMPLETE, read_json
from saved import PROMPTS, WORKFLOWS

from discomfort.conversion import Converter
from discomfort.exceptions import MissingNodesError

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NAMES = sorted(path.name for path in WORKFLOWS.glob("*.json"))
SHUFFLED = random.Random(7).sample(NAMES, len(NAMES))
"""Another order than that in which they were recorded."""


async def test_the_set_is_whole() -> None:
    """All 73 workflows are there, each with its prompt."""
    saved.require()
    assert len(NAMES) == 73
    assert sorted(path.name for path in PROMPTS.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", SHUFFLED)
async def test_prompt_is_the_recorded_one(converter: Converter, name: str) -> None:
    """A warm page gives the prompt that the literal procedure gave, and leaves the workflow as it was."""
    workflow = read_json(WORKFLOWS / name)
    before = copy.deepcopy(workflow)

    prompt = await converter.convert(workflow, allow_missing=name == INCOMPLETE)

    assert prompt == read_json(PROMPTS / name)
    assert workflow == before


async def test_random_order_does_not_matter(converter: Converter) -> None:
    """What a page converted before has no influence on what it converts now: a part of them once more, backwards."""
    wrong = []
    for name in SHUFFLED[::-4]:
        prompt = await converter.convert(read_json(WORKFLOWS / name), allow_missing=True)
        if prompt != read_json(PROMPTS / name):
            wrong.append(name)

    assert wrong == []


async def test_fifty_at_once(converter: Converter) -> None:
    """Conversions that arrive together all get their own prompt."""
    chosen = [name for name in NAMES if name != INCOMPLETE][:50]

    prompts = await asyncio.gather(*(converter.convert(read_json(WORKFLOWS / name)) for name in chosen))

    assert prompts == [read_json(PROMPTS / name) for name in chosen]


async def test_missing_types_are_all_named(converter: Converter) -> None:
    """A workflow with unknown node types is refused; each type, its nodes and its pack are listed."""
    with pytest.raises(MissingNodesError) as caught:
        await converter.convert(read_json(WORKFLOWS / INCOMPLETE))

    told = {missing.class_type: (missing.node_ids, missing.pack) for missing in caught.value.missing}
    assert told["DWPreprocessor"] == (("100", "101"), "comfyui_controlnet_aux")
    assert told["PointsEditor"] == (("229",), "comfyui-kjnodes")
    assert len(told) == 7


async def test_isolated_attempt_equals_warm_page(converter: Converter) -> None:
    """One attempt in a fresh context gives what the warm page gives."""
    assert await converter.attempt_isolated(read_json(WORKFLOWS / "default.json")) == read_json(
        PROMPTS / "default.json"
    )
