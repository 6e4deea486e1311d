"""Editing before running: by title, class and id, on workflows and prompts."""

from __future__ import annotations

from typing import Any

import pytest
from contract.graphs import node, picture_prompt, picture_workflow, record_of

from discomfort import ComfyConnector
from discomfort.exceptions import InputSelectorError


@pytest.mark.parametrize("selector", ["EmptyImage.color", "Source.color", "1.color"])
async def test_edited_prompt_runs_with_the_new_value(connector: ComfyConnector, selector: str) -> None:
    """Class, title and id name the same input; the picture shows it; the caller's prompt is not touched."""
    prompt = picture_prompt(0)
    editor = await connector.edit(prompt)
    editor.set(selector, 0x00AAFF)
    (output,) = connector.outputs(await connector.run_workflow(editor.payload, False))
    assert (await output.image()).getpixel((0, 0)) == (0x00, 0xAA, 0xFF)
    assert prompt["1"]["inputs"]["color"] == 0
    assert editor.get(selector) == 0x00AAFF


@pytest.mark.browser
@pytest.mark.parametrize("selector", ["EmptyImage.color", "Source.color", "1.color"])
async def test_edited_workflow_runs_with_the_new_value(connector: ComfyConnector, selector: str) -> None:
    """The same on workflow JSON, whose widgets have no names of their own."""
    workflow = picture_workflow(0, prefix="edited/workflow")
    editor = await connector.edit(workflow)
    editor.set(selector, 0x00AAFF).set("Out.filename_prefix", "edited/by title")
    (output,) = connector.outputs(await connector.run_workflow(editor.payload))
    assert (await output.image()).getpixel((0, 0)) == (0x00, 0xAA, 0xFF)
    assert output.filename is not None
    assert output.filename.startswith("by title_")
    assert workflow["nodes"][0]["widgets_values"][-1] == 0


def halves() -> dict[str, Any]:
    """A picture whose source is in a subgraph that is used twice, once inside of another subgraph."""
    plain = picture_workflow(0, prefix="edited/halves")
    source, save = plain["nodes"]
    inner = subgraph("half", "Half", {**source, "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]})
    host = {**source, "id": 5, "type": "half", "title": "Inside", "widgets_values": [], "properties": {}}
    outer = subgraph("whole", "Whole", {**host, "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]})
    nodes = []
    for number, kind, title in ((10, "half", "First"), (12, "whole", "Second")):
        outputs = [{"name": "IMAGE", "type": "IMAGE", "links": [number]}]
        nodes.append({**host, "id": number, "type": kind, "title": title, "outputs": outputs})
        into = [{"name": "images", "type": "IMAGE", "link": number}]
        nodes.append({**save, "id": number + 1, "title": f"{title} out", "inputs": into})
    links = [[number, number, 0, number + 1, 0, "IMAGE"] for number in (10, 12)]
    return {
        **plain, "last_node_id": 13, "last_link_id": 12, "nodes": nodes, "links": links,
        "definitions": {"subgraphs": [inner, outer]},
    }  # fmt: skip


def subgraph(identity: str, name: str, source: dict[str, Any]) -> dict[str, Any]:
    """The definition of a subgraph whose only output is that of its only node."""
    link = {"id": 1, "origin_id": source["id"], "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}
    return {
        "id": identity, "version": 1, "revision": 0, "config": {}, "name": name, "widgets": [], "groups": [],
        "state": {"lastGroupId": 0, "lastNodeId": 5, "lastLinkId": 1, "lastRerouteId": 0},
        "inputNode": {"id": -10, "bounding": [0, 0, 100, 60]}, "outputNode": {"id": -20, "bounding": [500, 0, 100, 60]},
        "inputs": [], "nodes": [source], "links": [link], "extra": {},
        "outputs": [{"id": f"{identity}-out", "name": "IMAGE", "type": "IMAGE", "linkIds": [1], "pos": [0, 0]}],
    }  # fmt: skip


@pytest.mark.browser
async def test_values_go_to_the_end_of_a_path(connector: ComfyConnector) -> None:
    """Each use of a subgraph has its own value, by titles and ids, through several levels."""
    values = {"First/Source.color": 0x00AAFF, "12/Inside/Source.color": 0xFFAA00, "First out.filename_prefix": "a"}
    result = await connector.run(halves(), values)

    pixels = {output.title: (await output.image()).getpixel((0, 0)) for output in result.images}
    assert pixels == {"First out": (0x00, 0xAA, 0xFF), "Second out": (0xFF, 0xAA, 0x00)}
    with pytest.raises(InputSelectorError) as caught:
        await connector.run(halves(), {"Source.color": 1})
    assert set(caught.value.candidates) == {"First/Source.color", "Second/Inside/Source.color"}


@pytest.mark.browser
async def test_a_sidecar_names_nodes_by_their_path(connector: ComfyConnector) -> None:
    """Its targets and outputs are paths as well; the call sets the one picture and names it."""
    sidecar = {
        "inputs": {"first": "First/Source.color", "second": {"target": "Second/Inside/Source.color"}},
        "outputs": {"picture": "Second out"},
    }
    function = await connector.load(halves(), interface=sidecar)
    assert function.interface.problems == ()

    result = await function(first=1, second=0xFFAA00, **{"Second/Inside/Source.width": 16})

    picture = await result.picture.pil()
    assert (picture.width, picture.getpixel((0, 0))) == (16, (0xFF, 0xAA, 0x00))


async def test_ambiguous_selector_lists_the_candidates(connector: ComfyConnector) -> None:
    """Two nodes of one class: the error names both, in a form that is accepted."""
    prompt = {"1": node("ContractShow", value=1), "2": node("ContractShow", value=2)}
    editor = await connector.edit(prompt)
    with pytest.raises(InputSelectorError) as caught:
        editor.set("ContractShow.value", 3)
    candidates = caught.value.candidates
    assert len(candidates) == 2
    for candidate in candidates:
        editor.set(candidate, 3)
    history = await connector.run_workflow(editor.payload, False)
    assert [entry["text"] for entry in record_of(history)["outputs"].values()] == [["3"], ["3"]]


@pytest.mark.parametrize("payload", [picture_prompt(0), picture_workflow(0)], ids=["prompt", "workflow"])
@pytest.mark.parametrize(
    ("selector", "expected"), [("Source.colour", "color"), ("EmptyImages.color", "color"), ("99.color", "color")]
)
async def test_unknown_selector_lists_the_nearest(
    connector: ComfyConnector, payload: dict[str, object], selector: str, expected: str
) -> None:
    """A misspelt input, class or id is an error that names what it could have been."""
    editor = await connector.edit(payload)
    with pytest.raises(InputSelectorError) as caught:
        editor.set(selector, 1)
    assert caught.value.selector == selector
    assert any(expected in candidate for candidate in caught.value.candidates)
    assert isinstance(caught.value, ValueError)


async def test_value_out_of_range_is_refused(connector: ComfyConnector) -> None:
    """The server's own definitions say what may be set."""
    editor = await connector.edit(picture_prompt(0))
    with pytest.raises(InputSelectorError, match="16384"):
        editor.set("Source.width", 10**6)


async def test_linked_input_is_refused(connector: ComfyConnector) -> None:
    """An input that another node feeds cannot be set; the error says which node that is."""
    editor = await connector.edit(picture_prompt(0))
    with pytest.raises(InputSelectorError, match="Source"):
        editor.set("Out.images", "x")
