"""``Discomfort.run`` on an attached server that has none of our nodes: uploads, and nodes that every ComfyUI has."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node
from contract.test_workflow_lists import EMPTY_LATENT, ENCODED_LATENT, INVERT, LOADER, SAMPLER, port
from port_workflows import Graph

from discomfort import ComfyConnector, Discomfort, NodeList, Reference, WorkflowContext
from discomfort.exceptions import MissingNodesError, PortError
from discomfort.workflow.workflow_ports import PORT

_ALONE = "--disable-all-custom-nodes --whitelist-custom-nodes contract_nodes.py standin_nodes.py"
STEP = 1 / 255 + 1e-6


def passing(kind: str, **inputs: Any) -> Prompt:
    """A variable ``in`` through one node to the variable ``out``."""
    made = {name: ["1", 0] if value is ... else value for name, value in inputs.items()}
    return {"1": port("in"), "2": node(kind, **made), "3": port("out", ["2", 0])}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """A server of this file's own, with the nodes of tests and without ours."""
    command = with_small_frontend(engine).settings["api_command_line"]
    if engine.real:
        command += f" {_ALONE}"
    settings: Any = {**engine.settings, "api_command_line": command, "browser": "lazy"}
    async with await ComfyConnector.launch(**settings) as connector:
        assert PORT not in await connector._node_definitions()
        yield connector


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def discomfort(server: ComfyConnector) -> AsyncIterator[Discomfort]:
    """Attached to it."""
    async with await Discomfort.attach(server.server_address, browser="lazy", prompt_cache="off") as made:
        yield made


@pytest.fixture
def context() -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


def levels(shape: tuple[int, ...], seed: int = 1) -> Any:
    """Numbers from 0 to 1 that 8 bits hold exactly."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32) / np.float32(255)


async def test_pictures(discomfort: Discomfort, context: WorkflowContext, caplog: pytest.LogCaptureFixture) -> None:
    """Are exact to 1/255, a batch keeps its order, and the loss is told once for each call."""
    image = np.random.default_rng(1).random((3, 8, 16, 3), np.float32)
    with caplog.at_level(logging.WARNING, "discomfort.run"):
        results = await discomfort.run([INVERT, INVERT], {"test_input": image}, context=context)

    found = np.asarray(results["test_output"])
    assert found.shape == image.shape
    assert np.abs(found - (1 - np.rint(image * 255) / 255)).max() <= STEP
    assert np.array_equal(np.asarray(context.load("test_output")), found)
    told = [record.getMessage() for record in caplog.records if "8 bits" in record.getMessage()]
    assert len(told) == 2
    again = await discomfort.run(INVERT, {"test_input": levels((1, 4, 4, 3))})
    assert np.allclose(np.asarray(again["test_output"]), 1 - levels((1, 4, 4, 3)), atol=STEP)


async def test_transparent_pictures(discomfort: Discomfort) -> None:
    """The alpha channel goes in and comes back."""
    image = levels((2, 4, 6, 4))
    results = await discomfort.run(passing("RepeatImageBatch", image=..., amount=1), {"in": image})
    assert np.abs(np.asarray(results["out"]) - image).max() <= STEP


@pytest.mark.parametrize("count", [1, 3])
async def test_masks(discomfort: Discomfort, count: int) -> None:
    """One goes in by a node of its own, several as a batch of pictures."""
    mask = levels((count, 6, 4), count)
    results = await discomfort.run(passing("InvertMask", mask=...), {"in": mask})
    assert np.asarray(results["out"]).shape == mask.shape
    assert np.abs(np.asarray(results["out"]) - (1 - mask)).max() <= STEP


async def test_latents(discomfort: Discomfort, context: WorkflowContext, caplog: pytest.LogCaptureFixture) -> None:
    """Are exact; a noise mask goes in, and a warning names what does not come back."""
    samples = np.random.default_rng(2).standard_normal((2, 4, 3, 5)).astype(np.float32)
    twice = passing("LatentMultiply", samples=..., multiplier=2.0)
    results = await discomfort.run(twice, {"in": {"samples": samples}}, context=context)
    assert np.array_equal(np.asarray(results["out"]["samples"]), samples * 2)

    with caplog.at_level(logging.WARNING, "discomfort.run"):
        masked = {"samples": samples, "noise_mask": levels((2, 1, 24, 40))}
        results = await discomfort.run(twice, {"in": masked}, context=context)
    assert list(results["out"]) == ["samples"]
    assert "the latent 'out' comes back without 'noise_mask'" in caplog.text


async def test_sound(discomfort: Discomfort, engine: EngineUnderTest) -> None:
    """Goes in as it is, also at an input of any type."""
    if not engine.real:
        pytest.importorskip("av")
    sound = {"waveform": np.array([[[0.5, 0.125, -1.0], [0.0, 0.25, 2.5]]], np.float32), "sample_rate": 8000}
    results = await discomfort.run({"1": port("in"), "2": node("PreviewAny", source=["1", 0])}, {"in": sound})
    ((record),) = results.histories[0].values()
    (text,) = record["outputs"]["2"]["text"]
    assert "'sample_rate': 8000" in text
    numbers = [float(each) for each in re.findall(r"-?\d+\.\d*", text.partition("sample_rate")[0])]
    assert numbers == [0.5, 0.125, -1.0, 0.0, 0.25, 2.5]


async def test_texts_and_numbers(discomfort: Discomfort) -> None:
    """Have the type of their port, and a list output is a list again."""
    workflow: Prompt = {
        "1": node("StandInAdd", a=2, b=3), "2": port("sum", ["1", 0]),
        "3": node("StandInRange", count=3), "4": port("numbers", ["3", 0]),
        "5": node("PrimitiveFloat", value=0.1), "6": port("float", ["5", 0]),
        "7": node("PrimitiveString", value="fünf '5'\n"), "8": port("text", ["7", 0]),
        "9": node("PrimitiveBoolean", value=False), "10": port("boolean", ["9", 0]),
    }  # fmt: skip
    results = await discomfort.run(workflow)
    assert results == {
        "sum": 5, "numbers": NodeList([0, 1, 2]), "float": 0.1, "text": "fünf '5'\n", "boolean": False,
    }  # fmt: skip
    assert [type(results[name]) for name in ("sum", "float", "boolean")] == [int, float, bool]


async def test_cached_outputs(discomfort: Discomfort) -> None:
    """Come back as those of nodes that ran: of two ports at one output, and if everything is in the server's cache."""
    source = node("SolidMask", value=1.0, width=16, height=8)
    workflow: Prompt = {
        "1": source, "2": port("mask", ["1", 0]), "3": port("same", ["1", 0]),
        "4": node("MaskToImage", mask=["1", 0]), "5": port("image", ["4", 0]), "6": port("image too", ["4", 0]),
        "7": node("EmptyLatentImage", width=64, height=32, batch_size=1), "8": port("latent", ["7", 0]),
        "9": port("latent too", ["7", 0]), "10": node("StandInAdd", a=2, b=5), "11": port("sum", ["10", 0]),
        "12": port("sum too", ["10", 0]),
    }  # fmt: skip
    for _ in range(2):
        results = await discomfort.run(workflow)
        assert {name: np.asarray(results[name]).shape for name in ("mask", "same", "image", "image too")} == {
            "mask": (1, 8, 16), "same": (1, 8, 16), "image": (1, 8, 16, 3), "image too": (1, 8, 16, 3),
        }  # fmt: skip
        latents = [np.asarray(results[name]["samples"]).shape for name in ("latent", "latent too")]
        assert latents == [(1, 4, 4, 8)] * 2
        assert (results["sum"], results["sum too"]) == (7, 7)


async def test_strengths(discomfort: Discomfort, context: WorkflowContext) -> None:
    """R3: pictures and latents pass; each round is another picture, and the models are references as always."""
    context.save("input_image", np.full((1, 8, 8, 3), 0.25, np.float32))
    for unique_id, value in {"model_name": "a.safetensors", "lora_name": "b.safetensors", "prompt": "a fox"}.items():
        context.save(unique_id, value)
    before = await counts(discomfort)
    found = []
    # Below zero, so that the levels lie between 0 and 1.
    strengths = [(index - 20) / 10 for index in range(10)]
    for index, strength in enumerate(strengths):
        latent = EMPTY_LATENT if index % 2 == 0 else ENCODED_LATENT
        inputs = {"lora_strength": strength, "denoise": 1.0, "seed": 0}
        results = await discomfort.run([LOADER, latent, SAMPLER], inputs, context=context)
        found.append(float(np.asarray(results["output_image"]).mean()))
        assert isinstance(results["model"], Reference)
    ran = await counts(discomfort) - before

    assert found[-1] - found[0] > 0.5
    assert np.abs(found - np.linspace(found[0], found[-1], 10)).max() <= STEP
    assert ran["CheckpointLoaderSimple:a.safetensors"] == 1
    assert [ran[f"LoraLoader:{strength:g}"] for strength in strengths] == [1] * 10


async def counts(discomfort: Discomfort) -> Counter[str]:
    """How often each stand-in ran so far."""
    history = await discomfort.Worker.run_workflow({"1": node("StandInCounts")}, use_workflow_json=False)
    ((record),) = history.values()
    return Counter(json.loads(record["outputs"]["1"]["text"][0]))


async def test_what_does_not_pass(discomfort: Discomfort) -> None:
    """Is refused before anything is sent: the error has port, type, tier and remedy."""
    audio: Prompt = {
        "1": node("EmptyAudio", duration=1.0, sample_rate=8000, channels=1), "2": port("sound", ["1", 0]),
    }  # fmt: skip
    text = r"port 'sound': the value of type AUDIO that it gives cannot come back.*\(tier 3\).*Clone this library"
    with pytest.raises(PortError, match=text):
        await discomfort.run(audio)
    with pytest.raises(PortError, match=r"port 'test_input': its value of type IMAGE .* outside of 0 to 1"):
        await discomfort.run(INVERT, {"test_input": np.full((1, 8, 8, 3), 1.5, np.float32)})
    latent = {"samples": np.zeros((1, 4, 2, 2), np.float32), "batch_index": [3]}
    with pytest.raises(PortError, match=r"port 'in': its value of type LATENT .* no place for 'batch_index'"):
        await discomfort.run(passing("LatentMultiply", samples=..., multiplier=2.0), {"in": latent})


async def test_exact_values(discomfort: Discomfort) -> None:
    """With ``exact`` nothing passes that would change; what 8 bits hold goes in."""
    async with await Discomfort.attach(discomfort.Worker.server_address, browser="lazy", exact=True) as exact:
        shown: Prompt = {"1": port("in"), "2": node("PreviewImage", images=["1", 0])}
        await exact.run(shown, {"in": levels((1, 4, 4, 3))})
        with pytest.raises(PortError, match=r"port 'in': .* rounded to 8 bits, which exact=True refuses"):
            await exact.run(shown, {"in": np.full((1, 4, 4, 3), 0.3, np.float32)})
        with pytest.raises(PortError, match=r"port 'test_output': .* in 8 bits, which exact=True refuses"):
            await exact.run(INVERT, {"test_input": levels((1, 4, 4, 3))})


async def test_references_and_uploads(discomfort: Discomfort, context: WorkflowContext) -> None:
    """A reference loads what was uploaded for it; the same content is uploaded once, and nothing of ours is sent."""
    image = levels((1, 4, 4, 3), 7)
    encoded = {**ENCODED_LATENT, "4": port("latent", ["3", 0])}
    loaded = {"1": node("StandInCheckpointLoaderSimple", ckpt_name="a.safetensors"), "2": port("vae", ["1", 2])}
    rules = discomfort.Tools.pass_by_rules
    rules["LATENT"] = "ref"
    try:
        results = await discomfort.run([loaded, encoded], {"input_image": image}, context=context)
        decoded = {"1": port("latent"), "2": port("vae"), "4": port("out", ["3", 0]),
                   "3": node("StandInVAEDecode", samples=["1", 0], vae=["2", 0])}  # fmt: skip
        more = await discomfort.run(decoded, context=context)
    finally:
        rules["LATENT"] = "val"
    assert isinstance(results["latent"], Reference)
    classes = {each["class_type"] for each in results["latent"]["prompt"].values()}
    assert classes == {"LoadImage", "StandInVAEEncode", "StandInCheckpointLoaderSimple"}
    assert np.asarray(more["out"]).ndim == 4
    sent = [record["prompt"][2] for history in more.histories for record in history.values()]
    assert not [each for prompt in sent for each in prompt.values() if each["class_type"].startswith("Discomfort")]


async def test_server_started_without_nodes(server: ComfyConnector, caplog: pytest.LogCaptureFixture) -> None:
    """One that ComfyConnector started is used in the same way, and the log says so."""
    with caplog.at_level(logging.WARNING, "discomfort.run"):
        results = await Discomfort(server).run(INVERT, {"test_input": levels((1, 4, 4, 3))})
    assert np.asarray(results["test_output"]).shape == (1, 4, 4, 3)
    assert "without our nodes (tier 3), since ComfyConnector.create() started it" in caplog.text


async def test_diagnostics(discomfort: Discomfort) -> None:
    """Tell the tier, what it loses, and which files configure it."""
    found = (await discomfort.diagnostics())["orchestration"]
    assert found["tier"] == 3
    assert any("8 bits" in loss for loss in found["losses"])
    assert found["pass_by_rules.json"] is None
    assert json.dumps(found)


@pytest.mark.browser
async def test_workflows_of_the_ui(discomfort: Discomfort, context: WorkflowContext) -> None:
    """Are converted although the server does not know ports; no port is left in what is sent."""
    graph = Graph()
    invert = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    graph.input("test_input", invert)
    graph.output("test_output", invert)
    workflow = graph.workflow()
    image = np.full((1, 8, 8, 3), 51 / 255, np.float32)
    results = await discomfort.run([workflow], {"test_input": image}, context=context)
    assert np.allclose(np.asarray(results["test_output"]), 204 / 255, atol=STEP)

    ((record),) = results.histories[0].values()
    assert PORT not in {each["class_type"] for each in record["prompt"][2].values()}
    with pytest.raises(MissingNodesError, match=r"DiscomfortPort.*run the workflow with that, which needs no pack"):
        await discomfort.Worker.run_workflow(workflow)
