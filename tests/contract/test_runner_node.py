"""``DiscomfortTestRunner`` on a server: workflow files run inside of a workflow, by links, round by round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node
from port_workflows import Graph

from discomfort import ComfyConnector, Discomfort, FileValue, WorkflowContext
from discomfort.exceptions import ExecutionError, ValidationError

Stored = Callable[[str, Any], str]


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


INVERT: Prompt = {"1": port("image"), "2": node("ImageInvert", image=["1", 0]), "3": port("image", ["2", 0])}
ADD: Prompt = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("n", ["2", 0])}
LOADER: Prompt = {
    "1": node("StandInCheckpointLoaderSimple", ckpt_name="b.safetensors"),
    "2": port("model", ["1", 0]), "3": port("clip", ["1", 1]), "4": port("vae", ["1", 2]),
}  # fmt: skip
SAMPLER: Prompt = {
    "1": port("model"), "2": port("clip"), "3": port("vae"),
    "9": node("StandInEmptyLatentImage", width=16, height=16, batch_size=1),
    "10": node("StandInCLIPTextEncode", text="a fox", clip=["2", 0]),
    "11": node("StandInKSampler", model=["1", 0], positive=["10", 0], latent_image=["9", 0], seed=7, steps=1, cfg=1.0,
               denoise=1.0),
    "12": node("StandInVAEDecode", samples=["11", 0], vae=["3", 0]),
    "13": port("image", ["12", 0]),
}  # fmt: skip


def runner(name: str, inputs: dict[str, Any], outputs: list[str], rounds: int = 1) -> dict[str, Any]:
    """A test runner, with its inputs by the id of their variables."""
    given: dict[str, Any] = {"workflow_json": name, "max_iterations": rounds}
    for slot, (unique_id, value) in enumerate(inputs.items(), 1):
        given |= {f"input{slot}": value, f"unique_id_input{slot}": unique_id}
    given |= {f"unique_id_output{slot}": unique_id for slot, unique_id in enumerate(outputs, 1)}
    return node("DiscomfortTestRunner", **given)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def discomfort(engine: EngineUnderTest) -> AsyncIterator[Discomfort]:
    """A server of this file's own, which has the nodes of ports."""
    settings: Any = {**with_small_frontend(engine).settings, "browser": "lazy"}
    connector = await ComfyConnector._launch(None, settings, loads_nodes=True)
    async with Discomfort(connector) as made:
        yield made


@pytest.fixture
def stored(discomfort: Discomfort, engine: EngineUnderTest) -> Stored:
    """Stores a workflow in the server's folder of uploads, and gives its name."""
    assert discomfort.Worker.state == "ready"

    def store(name: str, graph: Any) -> str:
        (engine.home / "input" / name).write_text(json.dumps(graph))
        return name

    return store


@pytest.fixture
def context() -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


async def test_models_by_wire(discomfort: Discomfort, stored: Stored, context: WorkflowContext) -> None:
    """R7: the first gives models, which the second takes; the picture is that of one workflow."""
    whole = {**SAMPLER, "1": LOADER["1"], "2": node("StandInCLIPTextEncode", text="a fox", clip=["1", 1])}
    whole = {key: each for key, each in whole.items() if key not in ("3", "10")}
    whole["11"] = node("StandInKSampler", **{**SAMPLER["11"]["inputs"], "positive": ["2", 0]})
    whole["12"] = node("StandInVAEDecode", samples=["11", 0], vae=["1", 2])
    expected = (await discomfort.run(whole, context=context))["image"]
    workflow = {
        "1": runner(stored("load.json", LOADER), {}, ["model", "clip", "vae"]),
        "2": runner(stored("sample.json", SAMPLER), {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}, ["image"]),
        "3": port("picture", ["2", 0]),
    }
    (picture,) = (await discomfort.run(workflow, context=context))["picture"]

    assert np.array_equal(np.asarray(picture), np.asarray(expected))


async def test_same_id_in_and_out(discomfort: Discomfort, stored: Stored) -> None:
    """R8: an image goes in and comes out under one id; and the next runner takes it."""
    name = stored("invert.json", INVERT)
    image = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    workflow = {
        "1": port("given"),
        "2": runner(name, {"image": ["1", 0]}, ["image"]),
        "3": runner(name, {"image": ["2", 0]}, ["image"]),
        "4": port("once", ["2", 0]),
        "5": port("twice", ["3", 0]),
    }
    results = await discomfort.run(workflow, {"given": image})

    assert np.array_equal(np.asarray(results["once"][0]), 1 - image)
    assert np.array_equal(np.asarray(results["twice"][0]), 1 - (1 - image))


@pytest.mark.parametrize("rounds", [1, 450])
async def test_rounds(discomfort: Discomfort, stored: Stored, rounds: int) -> None:
    """What a round gives is what the next one takes, however many there are; an id without a port gives None."""
    workflow = {
        "1": port("start"),
        "2": runner(stored("add.json", ADD), {"n": ["1", 0]}, ["", "n", "nobody"], rounds),
        "3": port("sum", ["2", 1]),
        "4": port("unused", ["2", 0]),
        "5": port("nothing", ["2", 2]),
    }
    results = await discomfort.run(workflow, {"start": 5})

    assert {key: list(each) for key, each in results.items()} == {
        "sum": [5 + rounds], "unused": [None], "nothing": [None],
    }  # fmt: skip


async def test_list_outputs(discomfort: Discomfort, stored: Stored) -> None:
    """All items come out, at the right output, and go on as a list."""
    lists = {"1": node("StandInRange", count=3), "2": port("texts", ["1", 0]), "3": node("StandInAdd", a=1, b=1)}
    name = stored("lists.json", {**lists, "4": port("number", ["3", 0])})
    workflow = {
        "1": runner(name, {}, ["texts", "number"]),
        "2": port("out", ["1", 0]),
        "3": port("after", ["1", 1]),
    }
    results = await discomfort.run(workflow)

    assert list(results["out"]) == [0, 1, 2]
    assert list(results["after"]) == [2]


PROBLEMS: dict[str, tuple[Any, str]] = {
    "no value": (INVERT, "problem.json: .*port 'image': it has no value: connect one to input1"),
    "unknown node": ({"1": node("Nobody")}, "problem.json: .*Nobody.*does not have this node"),
    "unconnected": ({"1": node("ImageInvert"), "2": port("x", ["1", 0])}, "problem.json: .*nothing is connected"),
    "itself": ({"1": runner("problem.json", {}, [])}, "'problem.json' runs itself"),
}


@pytest.mark.parametrize("name", PROBLEMS)
async def test_errors_of_workflows(discomfort: Discomfort, stored: Stored, name: str) -> None:
    """D32: an error of the node, which names the file, the port and what to do; never five times None."""
    graph, text = PROBLEMS[name]
    with pytest.raises(ExecutionError, match=text):
        await discomfort.run({"1": runner(stored("problem.json", graph), {}, ["x"])})


async def test_wrong_type(discomfort: Discomfort, stored: Stored) -> None:
    """What is connected must fit the port."""
    workflow = {"1": LOADER["1"], "2": runner(stored("invert.json", INVERT), {"image": ["1", 0]}, ["image"])}
    with pytest.raises(ExecutionError, match=r"invert.json: .*port 'image'.*IMAGE"):
        await discomfort.run(workflow)


async def test_default_workflow(discomfort: Discomfort) -> None:
    """The file that a new node names is there, wherever the pack is, and inverts an image."""
    image = np.random.default_rng(2).random((1, 8, 8, 3), np.float32)
    name = "custom_nodes/discomfort/test_workflow.json"
    workflow = {"1": port("x"), "2": runner(name, {"test_input": ["1", 0]}, ["test_output"]), "3": port("y", ["2", 0])}

    assert np.array_equal(np.asarray((await discomfort.run(workflow, {"x": image}))["y"][0]), 1 - image)


REFUSED = {
    "/etc/passwd": "not a JSON file",
    "nowhere.json": "is not there",
    "../outside.json": "none of the folders",
    "text.json": "is not JSON",
    "numbers.json": "neither a workflow nor a prompt",
    " ": "is empty",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_files_that_are_refused(
    discomfort: Discomfort, stored: Stored, engine: EngineUnderTest, name: str
) -> None:
    """Before anything runs."""
    stored("../../outside.json", INVERT)
    stored("numbers.json", {"1": 2})
    (engine.home / "input" / "text.json").write_text("{")
    with pytest.raises(ValidationError, match=REFUSED[name]):
        await discomfort.run({"1": runner(name, {}, ["x"])})


@pytest.mark.browser
async def test_workflow_of_the_ui(discomfort: Discomfort, stored: Stored, engine: EngineUnderTest) -> None:
    """It is converted by the client's Python, which ComfyUI's need not be like."""
    if not engine.real:
        pytest.skip("this emulator has the small frontend; test_ports_in_the_ui.py converts on one with the real one")
    graph = Graph()
    invert = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    graph.input("image", invert)
    graph.output("image", invert)
    image = np.random.default_rng(3).random((1, 8, 8, 3), np.float32)
    workflow = {
        "1": port("given"),
        "2": runner(stored("ui.json", graph.workflow()), {"image": ["1", 0]}, ["image"]),
        "3": port("out", ["2", 0]),
    }

    assert np.array_equal(np.asarray((await discomfort.run(workflow, {"given": image}))["out"][0]), 1 - image)


async def test_files(discomfort: Discomfort, engine: EngineUnderTest) -> None:
    """A video comes out as the file it is, and goes in as ComfyUI's own object; nothing is decoded."""
    data = b"\0\0\0\x18ftypmp42" + bytes(1000)
    (engine.home / "input" / "cat.mp4").write_bytes(data)
    (video,) = (await discomfort.run({"1": node("LoadVideo", file="cat.mp4"), "2": port("v", ["1", 0])})).values()
    assert video == FileValue(data, ".mp4")

    shown = {"1": port("v"), "2": node("PreviewAny", source=["1", 0])}
    results = await discomfort.run(shown, {"v": video})
    ((record),) = results.histories[0].values()
    assert "Video" in record["outputs"]["2"]["text"][0]


async def test_files_that_this_comfyui_does_not_know(discomfort: Discomfort) -> None:
    """The error names the suffix."""
    shown = {"1": port("v"), "2": node("PreviewAny", source=["1", 0])}
    with pytest.raises(ExecutionError, match=r"no node takes a file '.bin'"):
        await discomfort.run(shown, {"v": FileValue(b"1", ".bin")})
