"""Editing before running: by title, class and id, on workflows and prompts."""

from __future__ import annotations

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
