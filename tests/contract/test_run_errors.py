"""Runs that fail: each error says which node, which input, and why."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.graphs import Recorder, gate_prompt, node, picture_prompt, picture_workflow, show_prompt, texts_of

from discomfort import ComfyConnector
from discomfort.exceptions import (
    DiscomfortError,
    ExecutionError,
    ExecutionInterrupted,
    MissingNodesError,
    OutOfMemoryError,
    PromptLostError,
    RunError,
    ValidationError,
)
from discomfort.progress import Done


def scaled(**inputs: Any) -> dict[str, Any]:
    """A prompt with one node whose inputs have ranges and a list."""
    values = {"upscale_method": "bilinear", "width": 8, "height": 8, "crop": "disabled", "image": ["1", 0], **inputs}
    return {
        **picture_prompt(),
        "2": node("ImageScale", "Shrink", **values),
        "3": node("PreviewImage", images=["2", 0]),
    }


async def refused(connector: ComfyConnector, prompt: dict[str, Any]) -> ValidationError:
    """The validation error of a prompt."""
    with pytest.raises(ValidationError) as caught:
        await connector.run_workflow(prompt, False)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RuntimeError)
    return caught.value


async def test_value_beyond_its_range(connector: ComfyConnector) -> None:
    """Title, class, input, value given and range allowed."""
    error = await refused(connector, scaled(width=20000))
    (problem,) = error.problems
    assert (problem.node_id, problem.title, problem.class_type) == ("2", "Shrink", "ImageScale")
    assert (problem.input_name, problem.received) == ("width", 20000)
    assert (problem.minimum, problem.maximum) == (0, 16384)
    assert problem.type == "value_bigger_than_max"
    for fact in ("Shrink", "ImageScale", "width", "20000", "16384"):
        assert fact in str(error)


async def test_value_not_in_the_list(connector: ComfyConnector) -> None:
    """The allowed values are listed."""
    error = await refused(connector, scaled(upscale_method="magic"))
    (problem,) = error.problems
    assert (problem.input_name, problem.received) == ("upscale_method", "magic")
    assert problem.allowed is not None
    assert set(problem.allowed) >= {"bilinear", "lanczos"}
    assert "lanczos" in str(error)
    assert "magic" in str(error)


async def test_every_problem_is_listed(connector: ComfyConnector) -> None:
    """Several wrong inputs of one node are told at once."""
    error = await refused(connector, scaled(width=20000, upscale_method="magic", height="tall"))
    assert {problem.input_name for problem in error.problems} == {"width", "upscale_method", "height"}


async def test_missing_and_mistyped_inputs(connector: ComfyConnector) -> None:
    """A required input that is missing, and a link of the wrong type."""
    prompt = scaled()
    del prompt["2"]["inputs"]["image"]
    (problem,) = (await refused(connector, prompt)).problems
    assert (problem.type, problem.input_name) == ("required_input_missing", "image")

    prompt = {"1": node("SolidMask", value=1.0, width=8, height=8), "2": node("PreviewImage", images=["1", 0])}
    (problem,) = (await refused(connector, prompt)).problems
    assert (problem.type, problem.input_name) == ("return_type_mismatch", "images")


async def test_file_that_is_not_there(connector: ComfyConnector) -> None:
    """A picture that was not uploaded is named."""
    prompt = {"1": node("LoadImage", "Photo", image="nowhere.png"), "2": node("PreviewImage", images=["1", 0])}
    error = await refused(connector, prompt)
    assert "nowhere.png" in str(error)
    assert "Photo" in str(error)


async def test_exception_in_a_node(connector: ComfyConnector) -> None:
    """The error carries node, type, message and the server's traceback."""
    events = Recorder()
    prompt = {"5": node("ContractFail", "The culprit", kind="ValueError", message="no such thing as a free lunch")}
    with pytest.raises(ExecutionError) as caught:
        await connector.run_workflow(prompt, False, on_progress=events)
    error = caught.value
    assert (error.node_id, error.title, error.class_type) == ("5", "The culprit", "ContractFail")
    assert error.exception_type == "ValueError"
    assert error.exception_message.strip() == "no such thing as a free lunch"
    assert any("contract_nodes.py" in line for line in error.traceback)
    assert "contract_nodes.py" in str(error)
    assert error.history["status"]["completed"] is False
    assert events.events[-1] == Done(error.prompt_id or "", success=False)
    assert isinstance(error, RuntimeError)


async def test_outputs_before_the_failure_are_kept(connector: ComfyConnector) -> None:
    """The record in the error holds what was finished before."""
    prompt = {
        "1": node("ContractShow", value=77),
        "2": node("ContractFail", kind="ValueError", message="x", after=["1", 0]),
    }
    with pytest.raises(ExecutionError) as caught:
        await connector.run_workflow(prompt, False)
    assert caught.value.history["outputs"]["1"]["text"] == ["77"]


@pytest.mark.parametrize(
    ("kind", "message"), [("MemoryError", "no more"), ("torch", "CUDA out of memory. Tried to allocate 20.00 GiB")]
)
async def test_out_of_memory(connector: ComfyConnector, kind: str, message: str) -> None:
    """Host and device memory that ran out is an error of its own; the server goes on."""
    with pytest.raises(OutOfMemoryError) as caught:
        await connector.run_workflow({"1": node("ContractFail", "Big", kind=kind, message=message)}, False)
    assert caught.value.title == "Big"
    assert texts_of(await connector.run_workflow(show_prompt(13), False)) == ["13"]


async def test_error_text_of_a_megabyte(connector: ComfyConnector) -> None:
    """A huge message is carried whole as a field and shortened in the text."""
    message = "long " * 200_000
    with pytest.raises(ExecutionError) as caught:
        await connector.run_workflow({"1": node("ContractFail", kind="ValueError", message=message)}, False)
    assert len(caught.value.exception_message) >= len(message)
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize("body", [{}, {"prompt_id": "own"}], ids=["globally", "by id"])
async def test_interrupted_by_somebody_else(
    connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path, body: dict[str, str]
) -> None:
    """An interrupt that is not ours ends the run with its own error, which names the node."""
    events = Recorder()
    run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
    started = await events.running()
    if body:
        body = {"prompt_id": started.prompt_id}
    async with raw.post("/interrupt", json=body) as response:
        assert response.status == 200
    with pytest.raises(ExecutionInterrupted) as caught:
        await run
    assert (caught.value.node_id, caught.value.class_type) == ("1", "ContractGate")
    assert caught.value.prompt_id == started.prompt_id


async def test_deleted_by_somebody_else(connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path) -> None:
    """A queued prompt that somebody deleted ends as lost, while the running one goes on."""
    running, queued = Recorder(), Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=running))
    await running.running()
    second = asyncio.create_task(connector.run_workflow(show_prompt(14), False, on_progress=queued))
    prompt_id = (await queued.queued()).prompt_id
    async with raw.post("/queue", json={"delete": [prompt_id]}) as response:
        assert response.status == 200
    with pytest.raises(PromptLostError) as caught:
        await second
    assert caught.value.prompt_id == prompt_id
    gate.touch()
    await first


async def test_missing_node_types_of_a_prompt(connector: ComfyConnector) -> None:
    """All node types that the server lacks are listed, not only the first."""
    prompt = picture_prompt()
    prompt["8"] = node("NoSuchNode", images=["1", 0])
    prompt["9"] = node("NorThisOne", images=["1", 0])
    with pytest.raises(MissingNodesError) as caught:
        await connector.run_workflow(prompt, False)
    assert {(m.class_type, m.node_ids) for m in caught.value.missing} == {
        ("NoSuchNode", ("8",)),
        ("NorThisOne", ("9",)),
    }
    assert isinstance(caught.value, ValueError)


@pytest.mark.browser
async def test_missing_node_types_of_a_workflow(connector: ComfyConnector) -> None:
    """For a workflow the pack that it names for a missing type is told too."""
    workflow = picture_workflow()
    for number, (kind, pack) in enumerate([("NoSuchNode", "a-pack"), ("NorThisOne", None)], 10):
        properties = {"cnr_id": pack} if pack else {}
        workflow["nodes"].append(
            {
                "id": number, "type": kind, "pos": [0, 0], "size": [100, 100], "flags": {}, "order": number, "mode": 0,
                "inputs": [], "outputs": [], "properties": properties, "widgets_values": [],
            }
        )  # fmt: skip
    with pytest.raises(MissingNodesError) as caught:
        await connector.run_workflow(workflow)
    assert {(m.class_type, m.pack) for m in caught.value.missing} == {("NoSuchNode", "a-pack"), ("NorThisOne", None)}
    assert "a-pack" in str(caught.value)


async def test_one_error_tree() -> None:
    """Everything that a run may raise is a DiscomfortError and the builtin that is documented for it."""
    assert issubclass(RunError, DiscomfortError)
    assert issubclass(RunError, RuntimeError)
    for kind in (ValidationError, ExecutionError, ExecutionInterrupted, PromptLostError, OutOfMemoryError):
        assert issubclass(kind, RunError)
