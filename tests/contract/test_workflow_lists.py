"""``Discomfort.run`` on a server: values, references, errors, overlaps and cancellation, as the examples need them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node
from port_workflows import Graph
from waiting import until

from discomfort import ComfyConnector, Discomfort, NodeList, Reference, WorkflowContext
from discomfort.exceptions import (
    ExecutionError,
    MissingNodesError,
    PayloadError,
    PortError,
    ServerDiedError,
    UnsafePromptError,
)


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


INVERT: Prompt = {
    "1": port("test_input"),
    "2": node("ImageInvert", image=["1", 0]),
    "3": port("test_output", ["2", 0]),
}
ADD: Prompt = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("n", ["2", 0])}
LOADER: Prompt = {
    "1": port("model_name"), "2": port("lora_name"), "3": port("lora_strength"),
    "4": node("StandInCheckpointLoaderSimple", ckpt_name=["1", 0]),
    "5": node("StandInLoraLoader", model=["4", 0], clip=["4", 1], lora_name=["2", 0], strength_model=["3", 0],
              strength_clip=["3", 0]),
    "6": port("model", ["5", 0]), "7": port("clip", ["5", 1]), "8": port("vae", ["4", 2]),
}  # fmt: skip
EMPTY_LATENT: Prompt = {
    "1": node("StandInEmptyLatentImage", width=16, height=16, batch_size=1),
    "2": port("latent", ["1", 0]),
}
ENCODED_LATENT: Prompt = {
    "1": port("input_image"), "2": port("vae"),
    "3": node("StandInVAEEncode", pixels=["1", 0], vae=["2", 0]), "4": port("latent", ["3", 0]),
}  # fmt: skip
SAMPLER: Prompt = {
    "1": port("model"), "2": port("clip"), "3": port("vae"), "4": port("prompt"), "5": port("latent"),
    "6": port("denoise"), "7": port("seed"),
    "10": node("StandInCLIPTextEncode", "Positive", text=["4", 0], clip=["2", 0]),
    "11": node("StandInKSampler", model=["1", 0], positive=["10", 0], latent_image=["5", 0], seed=["7", 0], steps=1,
               cfg=1.0, denoise=["6", 0]),
    "12": node("StandInVAEDecode", samples=["11", 0], vae=["3", 0]),
    "13": port("output_image", ["12", 0]),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def discomfort(engine: EngineUnderTest) -> AsyncIterator[Discomfort]:
    """A server of this file's own, which has the nodes of ports."""
    settings: Any = {**with_small_frontend(engine).settings, "browser": "lazy"}
    connector = await ComfyConnector._launch(None, settings, loads_nodes=True)
    async with Discomfort(connector) as made:
        yield made


@pytest.fixture
def context() -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


async def counts(discomfort: Discomfort) -> Counter[str]:
    """How often each stand-in ran so far."""
    history = await discomfort.Worker.run_workflow({"1": node("StandInCounts")}, use_workflow_json=False)
    ((record),) = history.values()
    return Counter(json.loads(record["outputs"]["1"]["text"][0]))


async def test_smallest_workflow(discomfort: Discomfort, context: WorkflowContext) -> None:
    """R9: equals 1 - input exactly."""
    image = np.random.default_rng(1).random((1, 16, 16, 3), np.float32)
    results = await discomfort.run(INVERT, {"test_input": image}, context=context)

    assert np.array_equal(np.asarray(results["test_output"]), 1 - image)
    assert np.array_equal(np.asarray(context.load("test_output")), 1 - image)
    assert (context.get_storage_info("test_output") or {})["storage_type"] == "ram"


async def test_seeds(discomfort: Discomfort, context: WorkflowContext) -> None:
    """R1: eight rounds give eight pictures, and the loader runs once."""
    workflow = {
        **{key: value for key, value in SAMPLER.items() if int(key) >= 7},
        "1": node("StandInCheckpointLoaderSimple", ckpt_name="b.safetensors"),
        "2": node("StandInEmptyLatentImage", width=16, height=16, batch_size=1),
    }
    workflow["10"] = node("StandInCLIPTextEncode", text="a fox", clip=["1", 1])
    inputs = {"model": ["1", 0], "latent_image": ["2", 0], "denoise": 1.0}
    workflow["11"] = {**workflow["11"], "inputs": {**workflow["11"]["inputs"], **inputs}}
    workflow["12"] = node("StandInVAEDecode", samples=["11", 0], vae=["1", 2])
    before = await counts(discomfort)
    levels = set()
    for seed in range(8):
        context.save("seed", seed)
        results = await discomfort.run(workflow, context=context)
        levels.add(round(float(np.asarray(results["output_image"]).mean()), 4))

    assert len(levels) == 8
    assert context.list_keys() == ["seed", "output_image"]
    loader = "CheckpointLoaderSimple:b.safetensors"
    assert (await counts(discomfort))[loader] == before[loader] + 1


async def test_strengths(discomfort: Discomfort, context: WorkflowContext) -> None:
    """R3: the checkpoint is loaded once in ten rounds, the LoRA once for each strength, which each picture shows."""
    image = np.full((1, 8, 8, 3), 0.25, np.float32)
    names = {"model_name": "a.safetensors", "lora_name": "b.safetensors", "prompt": "a fox", "seed": 0}
    context.save("input_image", image)
    for unique_id, value in names.items():
        context.save(unique_id, value)
    before = await counts(discomfort)
    levels = []
    for index in range(10):
        latent = EMPTY_LATENT if index % 2 == 0 else ENCODED_LATENT
        inputs = {"lora_strength": index * 0.1, "denoise": 1.0}
        results = await discomfort.run([LOADER, latent, SAMPLER], inputs, context=context)
        levels.append(float(np.asarray(results["output_image"]).mean()))
        assert isinstance(results["model"], Reference)
    ran = await counts(discomfort) - before

    steps = np.diff(levels)
    assert np.allclose(steps, steps[0], atol=1e-4)
    assert steps[0] > 0
    assert ran["CheckpointLoaderSimple:a.safetensors"] == 1
    assert [ran[f"LoraLoader:{index * 0.1:g}"] for index in range(10)] == [1] * 10


async def test_iterations(discomfort: Discomfort, context: WorkflowContext) -> None:
    """What one writes, the next one reads."""
    results = await discomfort.run([ADD, ADD], {"n": 0}, iterations=3, context=context)
    assert results == {"n": 6}
    assert len(results.histories) == 6


async def test_lists(discomfort: Discomfort, context: WorkflowContext) -> None:
    """D17: a list output comes back whole, and goes in as one."""
    ranged: Prompt = {"1": port("count"), "2": node("StandInRange", count=["1", 0]), "3": port("n", ["2", 0])}
    results = await discomfort.run([ranged, ADD], {"count": 3}, context=context)
    assert results == {"n": NodeList([1, 2, 3])}


async def test_failed_nodes(discomfort: Discomfort, context: WorkflowContext) -> None:
    """D1, D2: raise, name the node, and leave the server and the context usable."""
    fail: Prompt = {"1": port("n"), "2": node("StandInFail", "Positive only", value=["1", 0]), "3": port("m", ["2", 0])}
    with pytest.raises(ExecutionError, match="-3 is below zero") as caught:
        await discomfort.run([ADD, fail], {"n": -4}, context=context)
    assert (caught.value.node_id, caught.value.title) == ("2", "Positive only")
    assert str(caught.value.workflow) == "workflows[1], iteration 1"
    assert context.load("n") == -3
    assert await discomfort.run([fail], {"n": 1}, context=context) == {"m": 1}


async def test_nothing_is_sent(discomfort: Discomfort) -> None:
    """D22: a missing value is found before."""
    with pytest.raises(PortError, match="port 'n': it has no value"):
        await discomfort.run([ADD])


@pytest.mark.parametrize(
    ("prompt", "error", "text"),
    [
        ({"1": node("ImageInvert", image=["9", 0]), "2": port("x", ["1", 0])}, UnsafePromptError, "links to node '9'"),
        ({"1": node("Nobody"), "2": port("x", ["1", 0])}, MissingNodesError, r"Nobody \(node 1\)"),
        ({"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1)}, PayloadError, "no output node"),
        ({"1": node("StandInAdd", a=1, b=1), "2": port("x", ["1", 4])}, PortError, "output 4 .* which has one: 0"),
    ],
)
async def test_workflows_that_no_server_runs(
    discomfort: Discomfort, context: WorkflowContext, prompt: Prompt, error: type[Exception], text: str
) -> None:
    """Are told before an earlier workflow has run."""
    with pytest.raises(error, match=text):
        await discomfort.run([ADD, prompt], {"n": 1}, context=context)
    assert "n" not in context


async def test_overlapping_calls(discomfort: Discomfort) -> None:
    """D25, E18: each has its own results."""
    found = await asyncio.gather(*(discomfort.run(ADD, {"n": index}) for index in range(6)))
    assert [each["n"] for each in found] == list(range(1, 7))


async def test_cancelled_calls(discomfort: Discomfort, context: WorkflowContext, tmp_path: Path) -> None:
    """Take the prompt off the server, and leave the context as it was before that workflow."""
    gate = tmp_path / "gate"
    held = node("ContractGate", path=str(gate), seconds=60.0, deaf=False, after=["1", 0])
    waiting: Prompt = {"1": port("n"), "2": held,
                       "3": port("n", ["2", 0])}  # fmt: skip
    task = asyncio.create_task(discomfort.run([ADD, waiting], {"n": 1}, context=context))
    await until((tmp_path / "gate.entered").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert context.load("n") == 2
    assert (await discomfort.run(ADD, {"n": 5})) == {"n": 6}


@pytest.mark.browser
async def test_workflows_of_the_ui(discomfort: Discomfort, engine: EngineUnderTest, context: WorkflowContext) -> None:
    """Are converted; the pictures that they save carry the workflow as it was."""
    graph = Graph()
    invert = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    save = graph.add("SaveImage", "images:IMAGE", "", ["ports"])
    graph.input("test_input", invert)
    graph.link(invert, 0, save)
    graph.output("test_output", invert)
    workflow = graph.workflow()
    image = np.full((1, 8, 8, 3), 0.25, np.float32)
    results = await discomfort.run([workflow], {"test_input": image}, context=context)

    assert np.allclose(np.asarray(results["test_output"]), 0.75)
    (output,) = [each for each in discomfort.Worker.outputs(results.histories[0]) if each.kind == "image"]
    saved = (await output.image()).info
    assert json.loads(saved["workflow"]) == workflow


async def test_attached_server(discomfort: Discomfort) -> None:
    """References pass."""
    async with await Discomfort.attach(discomfort.Worker.server_address, browser="lazy") as attached:
        inputs = {"model_name": "a.safetensors", "lora_name": "a.safetensors", "lora_strength": 2.0}
        with attached.Context() as context:
            results = await attached.run([LOADER], inputs, context=context)
            lora = {**LOADER, "4": port("model"), "9": port("clip")}
            lora["5"] = {**LOADER["5"], "inputs": {**LOADER["5"]["inputs"], "model": ["4", 0], "clip": ["9", 0]}}
            more = await attached.run([{key: lora[key] for key in "2345679"}], context=context)
        assert len(more["model"]["prompt"]) == len(results["model"]["prompt"]) + 1


async def test_restarted_server(discomfort: Discomfort, context: WorkflowContext) -> None:
    """References and values outlive the server: they are recipes and files."""
    inputs = {"model_name": "a.safetensors", "lora_name": "b.safetensors", "lora_strength": 0.5, "prompt": "x"}
    context.save("latent", {"samples": np.zeros((1, 4, 2, 2), np.float32)})
    first = await discomfort.run([LOADER, SAMPLER], {**inputs, "denoise": 1.0, "seed": 3}, context=context)
    with pytest.raises(ServerDiedError) as caught:
        await discomfort.run({"1": node("ContractDie", signal=9, code=0, last_words="bye")}, context=context)
    again = await discomfort.run(SAMPLER, context=context)

    assert str(caught.value.workflow) == "workflows[0], iteration 1"
    assert np.array_equal(np.asarray(first["output_image"]), np.asarray(again["output_image"]))
    assert (await counts(discomfort))["CheckpointLoaderSimple:a.safetensors"] == 1


@pytest.mark.browser
async def test_pruned_workflows_as_references(discomfort: Discomfort, context: WorkflowContext) -> None:
    """E12: what makes a value is saved by reference, and joined to the workflow that needs it."""
    graph = Graph()
    empty = graph.add("EmptyImage", "", "IMAGE:IMAGE", [8, 8, 1, 0xFFFFFF])
    invert = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    graph.link(empty, 0, invert)
    graph.output("inverted", invert)
    graph.output("made", empty)
    pruned = discomfort.Tools._prune_workflow_to_output(graph.workflow(), "made")
    context.save("test_input", {**pruned, "nodes": [renamed(each, "test_input") for each in pruned["nodes"]]},
                 pass_by="ref")  # fmt: skip
    results = await discomfort.run(INVERT, context=context)

    assert np.array_equal(np.asarray(results["test_output"]), np.zeros((1, 8, 8, 3), np.float32))
    assert len(pruned["nodes"]) == 2


def renamed(each: dict[str, Any], unique_id: str) -> dict[str, Any]:
    """A port with another id."""
    return {**each, "widgets_values": [unique_id]} if each["type"] == "DiscomfortPort" else each
