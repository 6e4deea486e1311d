"""What is converted without the browser equals what the browser makes, or is left to it."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser.background import settled
from browser.made_workflows import PACK_NODES, PACK_SCRIPT, all_made, faulty, node, workflow
from browser.stub_server import StubServer, front_end_root, read_json
from browser.variants import inputs_by_class, varied
from saved import PROMPTS, WORKFLOWS

from discomfort.conversion import Converter, PromptCache
from discomfort.workflow.javascript import through_javascript

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

HERE = Path(__file__).parent
MADE = all_made()
RECORDED: dict[str, Any] = read_json(HERE / "made_prompts.json")

NAMES = (
    "default.json",
    "controlnet_example.json",
    "hidream_e1_1.json",
    "image_qwen_image_instantx_controlnet.json",
    "api_recraft_image_gen_with_color_control.json",
)
"""Plain ones, one with primitives, one with a subgraph, one of API nodes; ``benchmarks/native.py`` takes all."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native(server: StubServer) -> AsyncIterator[Converter]:
    """A converter with the native path."""
    made = Converter(server.url, front_end_root=front_end_root(), install=False, native="on")
    yield made
    await made.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def packed_server() -> AsyncIterator[StubServer]:
    """A server with a node pack that has scripts."""
    scripts = {"pack.js": PACK_SCRIPT.read_text()}
    stub = await StubServer(nodes=PACK_NODES, extensions=scripts).start()
    yield stub
    await stub.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def packed(packed_server: StubServer) -> AsyncIterator[Converter]:
    """A converter with the native path for a server with a node pack."""
    made = Converter(packed_server.url, front_end_root=front_end_root(), install=False, native="on")
    yield made
    await made.aclose()


async def by_browser(converter: Converter, given: dict[str, Any]) -> dict[str, Any]:
    """What the browser of this converter makes, without the native path."""
    result = await converter._engine.on_warm_page(json.dumps(given))
    return result.output


async def compared(converter: Converter, original: dict[str, Any], inputs: Any, *, variants: int) -> int:
    """Learn a workflow, pass its trial, compare its variants; how many were converted natively."""
    chance = random.Random(5)
    for number in range(4):
        await converter.convert(original if number == 0 else varied(original, chance, inputs), allow_missing=True)
        await settled(converter)
    natively = 0
    for number in range(variants):
        given = original if number == 0 else varied(original, chance, inputs, odd=0.1)
        told = await converter.explain(given)
        natively += told.path == "native"
        assert json.dumps(told.prompt) == json.dumps(await by_browser(converter, given))
    return natively


@pytest.mark.parametrize("name", NAMES)
async def test_recorded_workflows(native: Converter, server: StubServer, name: str) -> None:
    """The workflow itself gives the recorded prompt, natively; other values what the browser makes of them."""
    original = read_json(WORKFLOWS / name)

    natively = await compared(native, original, inputs_by_class(server.object_info), variants=3)

    told = await native.explain(original)
    assert told.prompt == read_json(PROMPTS / name)
    assert natively > 0
    assert told.path == "native"


@pytest.mark.parametrize("name", sorted(MADE))
async def test_small_workflows(packed: Converter, packed_server: StubServer, name: str) -> None:
    """Every feature of the format, and a pack's own serialization and virtual node: equal, or declined."""
    await compared(packed, MADE[name], inputs_by_class(packed_server.object_info), variants=2)

    assert await packed.convert(MADE[name]) == RECORDED[name]


async def test_own_serialization_is_declined(packed: Converter) -> None:
    """A text that its widget serializes is the browser's, a number beside it is not."""
    serialized = workflow([node(2, "PackSerialized", (), ("IMAGE",), ("hello", 5))])
    for number in range(4):
        serialized["nodes"][0]["widgets_values"][1] = 10 + number
        await packed.convert(serialized)
        await settled(packed)

    number = await packed.explain(serialized)
    serialized["nodes"][0]["widgets_values"][0] = "goodbye"
    text = await packed.explain(serialized)

    assert (number.path, number.prompt["2"]["inputs"]) == ("native", {"text": "hello|0|2", "count": 13})
    assert (text.path, text.prompt["2"]["inputs"]["text"]) == ("browser", "goodbye|0|2")


@pytest.mark.parametrize("title", ["count", "random on load"])
async def test_other_each_time_is_never_native(packed: Converter, title: str) -> None:
    """Nodes that make something else each time are left to the browser for good."""
    made = faulty(title)
    for number in range(5):
        made["nodes"][0]["widgets_values"] = [f"text {number}"]
        assert (await packed.explain(made)).path == "browser"
        await settled(packed)


async def test_dynamic_prompts_and_dates_are_declined(native: Converter) -> None:
    """In a shape that is trusted, values which the frontend chooses or fills in are still its own."""
    made = read_json(WORKFLOWS / "default.json")
    text = next(each for each in made["nodes"] if each["type"] == "CLIPTextEncode")
    prefix = next(each for each in made["nodes"] if each["type"] == "SaveImage")
    prefix["widgets_values"] = ["made"]
    for number in range(4):
        text["widgets_values"][0] = f"a fox {number}"
        await native.convert(made)
        await settled(native)
    assert (await native.explain(made)).path == "native"

    prefix["widgets_values"][0] = "%date:yyyy%/made"
    dated = await native.explain(made)
    text["widgets_values"][0] = "{day|day} sky"
    prefix["widgets_values"][0] = "%KSampler.seed%"
    dynamic = await native.explain(made)

    assert (dated.path, dynamic.path) == ("browser", "browser")
    assert re.fullmatch(r"\d{4}/made", dated.prompt[str(prefix["id"])]["inputs"]["filename_prefix"])
    assert dynamic.prompt[str(text["id"])]["inputs"]["text"] == "day sky"
    assert dynamic.prompt[str(prefix["id"])]["inputs"]["filename_prefix"].isdigit()


async def test_known_shape_needs_no_browser(server: StubServer, tmp_path: Path) -> None:
    """What one process learnt another uses before it ever starts a browser."""
    made = read_json(WORKFLOWS / "default.json")
    sampler = next(each for each in made["nodes"] if each["type"] == "KSampler")
    options: dict[str, Any] = {"front_end_root": front_end_root(), "install": False, "native": "on"}
    first = Converter(server.url, cache=PromptCache(tmp_path), **options)
    try:
        for seed in range(4):
            sampler["widgets_values"][0] = seed
            await first.convert(made)
            await settled(first)
    finally:
        await first.aclose()
    sampler["widgets_values"][0] = 12345
    cold = Converter(server.url, cache=PromptCache(tmp_path), **options)
    try:
        told = await cold.explain(made)
        assert told.path == "native"
        assert told.prompt[str(sampler["id"])]["inputs"]["seed"] == 12345
        assert cold.counts["paths"] == {"native": 1}
        assert not cold.healthy
    finally:
        await cold.aclose()


async def test_numbers_as_javascript_writes_them(native: Converter) -> None:
    """Numbers of every size come out of the page as the native path writes them."""
    chance = random.Random(1)
    numbers: list[Any] = [2**53 + 1, 2**63 + 1, 2**64 - 1, 1e21, 1e22, -1e300, 5e-324, 0.1 + 0.2, -0.0, 8.0, -(2**63)]
    numbers += [chance.getrandbits(64) for _ in range(20)]
    numbers += [chance.uniform(-1, 1) * 10 ** chance.randint(-30, 30) for _ in range(40)]
    nodes = [node(i, "PrimitiveFloat", (), ("FLOAT",), (number,)) for i, number in enumerate(numbers, 1)]

    prompt = await by_browser(native, workflow(copy.deepcopy(nodes)))

    made = [json.dumps(entry["inputs"]["value"]) for entry in prompt.values()]
    assert made == [json.dumps(through_javascript(number)) for number in numbers]
