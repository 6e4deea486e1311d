"""Features of the format, a node pack with JavaScript of its own, and workflows that mean harm or do harm."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser.made_workflows import (
    PACK_NODES,
    PACK_SCRIPT,
    all_made,
    empty_image,
    faulty,
    invert,
    node,
    save,
    subgraphs,
    workflow,
)
from browser.stub_server import StubServer, front_end_root, read_json

from discomfort.conversion import Converter
from discomfort.exceptions import BrokenLinksError, ConversionError, MissingNodesError, PayloadError

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HERE = Path(__file__).parent
MADE = all_made()
RECORDED: dict[str, Any] = read_json(HERE / "made_prompts.json")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[StubServer]:
    """A server with a frontend and a node pack."""
    scripts = {"pack.js": PACK_SCRIPT.read_text()}
    stub = await StubServer(static=front_end_root(), nodes=PACK_NODES, extensions=scripts).start()
    yield stub
    await stub.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def converter(server: StubServer) -> AsyncIterator[Converter]:
    """A converter that takes everything from the server."""
    made = Converter(server.url, install=False)
    try:
        await made.wait_page()
        yield made
    finally:
        await made.aclose()


async def test_recording_is_whole() -> None:
    """Every small workflow has its recorded prompt."""
    assert sorted(MADE) == sorted(RECORDED)


@pytest.mark.parametrize("name", sorted(MADE))
async def test_small_workflow(converter: Converter, name: str) -> None:
    """Each feature of the format gives what the literal procedure gave."""
    assert await converter.convert(MADE[name]) == RECORDED[name]


async def test_order_of_small_workflows_does_not_matter(converter: Converter) -> None:
    """Subgraphs with the same ids and other content, group nodes, packs: nothing is left for the next conversion."""
    order = sorted(MADE) * 6
    random.Random(3).shuffle(order)

    wrong = [name for name in order if await converter.convert(MADE[name]) != RECORDED[name]]

    assert wrong == []


async def test_subgraph_of_another_workflow_is_not_found(converter: Converter) -> None:
    """A workflow that uses a subgraph without defining it fails, also right after one that defined it."""
    without = MADE["subgraphs"] | {"definitions": {"subgraphs": []}}
    await converter.convert(MADE["subgraphs"])

    with pytest.raises(MissingNodesError):
        await converter.convert(without)


async def test_node_that_throws_while_loading(converter: Converter) -> None:
    """The frontend shows a dialog and would give a shorter prompt; here it is an error with the node and the script."""
    place = r"the pack cannot load this \(node 1, PackFaulty; thrown in extensions/pack/pack\.js:25:\d+\)"
    with pytest.raises(ConversionError, match=place) as caught:
        await converter.convert(faulty("throw on load"))

    assert len(caught.value.attempts) == 2


async def test_node_that_throws_while_saving(converter: Converter) -> None:
    """A widget that cannot be serialized is an error with its words, its node and its script."""
    place = r"the pack cannot save this \(node 1, PackFaulty; thrown in extensions/pack/pack\.js:36:\d+\)"
    with pytest.raises(ConversionError, match=place):
        await converter.convert(faulty("throw on save"))


async def test_failing_node_in_a_subgraph_is_named(converter: Converter) -> None:
    """By its id in there; the search for it changes nothing for the next conversion."""
    made = subgraphs()
    made["definitions"]["subgraphs"][0]["nodes"][0] |= {"type": "PackFaulty", "title": "throw on load", "id": 77}

    with pytest.raises(ConversionError, match=r"\(node 77, PackFaulty; thrown in extensions/pack/pack\.js"):
        await converter.convert(made)

    assert await converter.convert(MADE["subgraphs"]) == RECORDED["subgraphs"]


async def test_failed_workflow_poisons_nothing(converter: Converter) -> None:
    """After failures the next conversions are right."""
    assert await converter.convert(MADE["pack"]) == RECORDED["pack"]


async def test_code_in_a_workflow_reaches_nothing(converter: Converter, server: StubServer) -> None:
    """Code that a workflow gets to run can neither reach the server's own port, nor another host, nor write."""
    server.requests.clear()
    attempts = f"""
        for (const url of ["{server.url}/prompt", "http://example.com/", "/prompt", "/settings/x", "/upload/image"])
            fetch(url, {{ method: "POST", body: "{{}}" }}).catch(() => undefined);
        window.open("{server.url}/opened"); new Image().src = "{server.url}/image";
        navigator.sendBeacon("{server.url}/beacon", "x");
        alert("a dialog"); confirm("another");
    """

    prompt = await converter.convert(faulty("run code", code=attempts))

    assert prompt["1"]["class_type"] == "PackFaulty"
    assert await converter.convert(MADE["empty"]) == RECORDED["empty"]
    assert [key for key in server.requests if key[0] != "GET" or key[1] in ("opened", "image")] == []


async def test_pictures_of_a_scene_reach_the_server(converter: Converter, server: StubServer) -> None:
    """A 3D viewer photographs its scene while it is converted: the prompt names files that the server has."""
    values = ["none", "", "", "", "", 64, 64]
    scene = workflow([node(1, "Load3D", (), ("IMAGE",), values), save(2)], [(1, 0, 2, 0, "IMAGE")])

    first = await converter.convert(scene)
    again = await converter.convert(scene)

    pictures = first["1"]["inputs"]["image"]
    for kind in ("image", "mask", "normal"):
        assert server.uploads[pictures[kind]].startswith(b"\x89PNG")
    assert again["1"]["inputs"]["image"]["image"] != pictures["image"]


async def test_leaving_the_page_fails_only_itself(converter: Converter) -> None:
    """A workflow that navigates away may break its own conversion, never the next."""
    leaving = converter.convert(faulty("run code", code="location.href = '/elsewhere';"))
    outcome = (await asyncio.gather(leaving, return_exceptions=True))[0]

    assert isinstance(outcome, dict | ConversionError)
    assert await converter.convert(MADE["modes"]) == RECORDED["modes"]


async def test_concurrent_conversion_survives_anothers_hang(
    converter: Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow with an endless script times out; those that wait behind it are served."""
    monkeypatch.setattr("discomfort.conversion.workflow_text.BASE_BUDGET", 1.0)
    hanging = asyncio.create_task(converter.convert(faulty("hang on load")))
    others = [asyncio.create_task(converter.convert(MADE[name])) for name in ("pack", "modes", "subgraphs")]

    results = await asyncio.gather(*others)

    assert results == [RECORDED[name] for name in ("pack", "modes", "subgraphs")]
    with pytest.raises(TimeoutError) as caught:
        await hanging
    assert len(caught.value.attempts) == 3  # type: ignore[attr-defined]
    assert converter.healthy


async def test_links_to_nowhere_are_all_told(converter: Converter) -> None:
    """A link that does not exist and one from a node that does not exist are an error, not a shorter prompt."""
    broken = workflow([invert(1), save(2), empty_image(3)], [(9, 0, 2, 0, "IMAGE")])
    broken["nodes"][0]["inputs"][0]["link"] = 77

    with pytest.raises(BrokenLinksError) as caught:
        await converter.convert(broken)

    assert [problem.node_id for problem in caught.value.problems] == ["1", "2"]


async def test_a_failure_of_the_frontend_has_a_place(converter: Converter) -> None:
    """Where the frontend only says that something is undefined, the error says which link is meant."""
    broken = workflow([empty_image(1), save(2)], [(1, 0, 2, 0, "IMAGE")])
    broken["links"][0][0] = "1"

    with pytest.raises(ConversionError, match=r"of node 2 has the link 1, and the 'links' say '1'"):
        await converter.convert(broken)


async def test_missing_types_are_named_whatever_their_ids(converter: Converter) -> None:
    """Neither an id that the frontend chose nor characters that it takes out hide a missing type."""
    nameless = node(0, "Gone As Well")
    given = workflow([node(1, "Gone & Lost"), nameless, empty_image(2), save(3)], [(2, 0, 3, 0, "IMAGE")])
    del nameless["id"]

    with pytest.raises(MissingNodesError) as caught:
        await converter.convert(given)

    assert {missing.class_type for missing in caught.value.missing} == {"Gone & Lost", "Gone As Well"}


async def test_explanation(converter: Converter) -> None:
    """Every node is accounted for, with the path that converted it."""
    told = await converter.explain(MADE["subgraphs"])

    assert told.path == "browser"
    assert told.prompt == RECORDED["subgraphs"]
    assert {fate.node_id for fate in told.nodes if fate.outcome == "kept"} == set(told.prompt)
    assert {fate.node_id: fate.inner for fate in told.nodes if fate.outcome == "subgraph"} == {"10": 2, "10:4": 1}


async def test_prompt_json_is_no_workflow(converter: Converter) -> None:
    """A prompt given as a workflow is refused before any page is asked."""
    with pytest.raises(PayloadError):
        await converter.convert(RECORDED["pack"])


async def test_fifty_megabytes_of_nodes(converter: Converter) -> None:
    """More nodes than the frontend takes are refused before it is given them, with its limit; the next is right."""
    node = empty_image(1) | {"title": "x" * 300}
    huge = workflow([save(0), *(node | {"id": number} for number in range(1, 100_001))], [])

    with pytest.raises(PayloadError, match="a graph of 100001 nodes, more than the 10000"):
        await converter.convert(huge)

    assert await converter.convert(MADE["modes"]) == RECORDED["modes"]


async def test_a_large_workflow_has_a_page_to_itself(converter: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page keeps of megabytes of script in a title goes with the page; the script is text and nothing else."""
    monkeypatch.setattr("discomfort.conversion.browser.session.LARGE", 1 << 20)
    pool = converter._engine.pool
    before = await pool.lease()
    pool.give_back(before, sound=True)
    title = "<script>window.hacked = 1</script>" * 60_000
    hostile = workflow([empty_image(1) | {"title": title}, save(2)], [(1, 0, 2, 0, "IMAGE")])

    prompt = await converter.convert(hostile)

    assert prompt["1"]["_meta"]["title"] == title
    after = await pool.lease()
    pool.give_back(after, sound=True)
    assert after is not before
    assert not before.alive
    assert await converter.convert(MADE["pack"]) == RECORDED["pack"]
