"""References of runs: what they are made of, how long they live, and how they are used."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from standins import COUNTS
from unit.orchestration.conftest import Run, runner
from unit.orchestration.fake_worker import FakeWorker, node, picture, port
from unit.orchestration.test_running_lists import LATENT, LOADER, SAMPLER

from discomfort import Reference
from discomfort.context.context import WorkflowContext
from discomfort.exceptions import PortError

NAME = {"name": "a.safetensors"}
LORA = {
    "1": port("model"), "2": port("clip"), "3": port("strength"), "4": port("lora"),
    "5": node("LoraLoader", model=["1", 0], clip=["2", 0], lora_name=["4", 0], strength_model=["3", 0],
              strength_clip=["3", 0]),
    "6": port("model", ["5", 0]), "7": port("clip", ["5", 1]),
}  # fmt: skip
ENCODED = {"1": port("picture"), "2": port("vae"), "3": node("VAEEncode", pixels=["1", 0], vae=["2", 0]),
           "4": port("encoded", ["3", 0])}  # fmt: skip
AS_REFERENCE = {"MODEL": "ref", "CLIP": "ref", "VAE": "ref", "LATENT": "ref", "IMAGE": "val"}


async def test_references_are_json(run: Run, context: WorkflowContext) -> None:
    """They can be stored elsewhere, and used under another name."""
    results = await run(LOADER, NAME, context=context)
    told = json.loads(json.dumps(results["model"]))
    context.save("again", told, pass_by="ref")
    other = {**LORA, "1": port("again")}
    made = await run(other, {"strength": 0.5, "lora": "b.safetensors", "clip": results["clip"]}, context=context)

    assert Reference.read(told) == results["model"]
    assert isinstance(context.load("again"), Reference)
    assert isinstance(made["model"], Reference)
    assert (context.get_storage_info("clip") or {})["pass_by"] == "ref"
    assert COUNTS["CheckpointLoaderSimple:a.safetensors"] == 1


async def test_references_pile_up(run: Run, context: WorkflowContext) -> None:
    """A workflow that changes its own model: each iteration adds to the last one's; the loader stays one."""
    await run(LOADER, NAME, context=context)
    results = await run(LORA, {"strength": 0.5, "lora": "b.safetensors"}, iterations=3, context=context)

    nodes = results["model"]["prompt"]
    assert sum(each["class_type"] == "LoraLoader" for each in nodes.values()) == 3
    assert sum(each["class_type"] == "CheckpointLoaderSimple" for each in nodes.values()) == 1
    assert COUNTS["CheckpointLoaderSimple:a.safetensors"] == 1


async def test_values_of_references_stay(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """A reference keeps the picture that it loads, whatever is saved under that name later."""
    await run(LOADER, NAME, context=context)
    first = await run(ENCODED, {"picture": picture(0.25)}, context=context, rules=AS_REFERENCE)
    context.save("picture", picture(0.75))
    worker._cache.clear()
    decode = {"1": port("encoded"), "2": port("vae"), "3": node("VAEDecode", samples=["1", 0], vae=["2", 0]),
              "4": port("image", ["3", 0])}  # fmt: skip
    results = await run(decode, context=context)

    assert first["encoded"].blobs[0].startswith(f"ram:{context.run_id}/")
    vae = float(first["encoded"].recipe.output[1])
    assert vae == 0.0
    level = (float(results["image"].mean()) - 0.25) / 2
    assert 0 <= level < 1
    context.delete("encoded")
    assert first["encoded"].blobs[0].rpartition("/")[2] not in {
        path.name for path in (context._storage.memory_folder or context._storage.home).iterdir()
    }


async def test_fitted_values_of_references_stay(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """Also what was only made for the run."""
    await run(LOADER, NAME, context=context)
    await run(ENCODED, {"picture": picture(0.25, (4, 4, 3))}, context=context, rules=AS_REFERENCE)
    worker._cache.clear()
    results = await run(
        {"1": port("encoded"), "2": port("vae"), "3": node("VAEDecode", samples=["1", 0], vae=["2", 0]),
         "4": port("image", ["3", 0])}, context=context)  # fmt: skip
    assert results["image"].shape == (1, 2, 2, 3)


async def test_values_that_are_gone(run: Run, worker: FakeWorker) -> None:
    """A reference whose picture went with its context is found before anything is sent."""
    vae = (await run(LOADER, NAME))["vae"]
    encoded = (await run(ENCODED, {"picture": picture(), "vae": vae}, rules=AS_REFERENCE))["encoded"]
    sent = len(worker.sent)
    with pytest.raises(PortError, match="its reference loads the value 'picture', which is gone: its context has"):
        await run({"1": port("x"), "2": node("VAEDecode", samples=["1", 0], vae=["3", 0]), "3": port("vae"),
                   "4": port("image", ["2", 0])}, {"x": encoded, "vae": vae})  # fmt: skip
    assert len(worker.sent) == sent


async def test_open_references(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """A stored workflow gets its variables when it is used: from the context as it is then."""
    worker.prompts["load"] = {**LOADER, "8": port("unrelated"), "9": node("StandInAdd", a=["8", 0], b=1),
                              "10": port("sum", ["9", 0])}  # fmt: skip
    stored = {**LOADER, "6": node("DiscomfortPort", unique_id="unused")}
    context.save("model", stored, pass_by="ref")
    context.save("clip", stored, pass_by="ref")
    context.save("vae", stored, pass_by="ref")
    inputs = {"prompt": "x", "seed": 1}
    with pytest.raises(PortError, match="port 'model': its reference: node 1 'DiscomfortPort': port 'name': it has no"):
        await run([LATENT, SAMPLER], inputs, context=context)
    images = [
        (await run([LATENT, SAMPLER], {**inputs, "name": name}, context=context))["image"]
        for name in ("a.safetensors", "b.safetensors")
    ]

    assert not np.array_equal(*images)
    assert COUNTS["CheckpointLoaderSimple:a.safetensors"] == COUNTS["CheckpointLoaderSimple:b.safetensors"] == 1
    assert worker.conversions == {}


async def test_open_references_of_workflows(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """Are converted once per call; what their output does not need does not count."""
    workflow = workflow_with_output("vae", "load")
    worker.prompts["load"] = {**LOADER, "8": port("unrelated"), "9": node("StandInAdd", a=["8", 0], b=1)}
    context.save("vae", workflow, pass_by="ref")
    await run(ENCODED, {"picture": picture(), **NAME}, iterations=3, context=context)

    assert worker.conversions == {"load": 1}
    assert COUNTS["VAEEncode"] == 1


async def test_references_that_need_themselves(run: Run, context: WorkflowContext) -> None:
    """Are refused."""
    context.save("model", LORA_ONLY, pass_by="ref")
    with pytest.raises(PortError, match="its reference needs itself: model → model"):
        await run({"1": port("model"), "2": node("StandInAny", value=["1", 0]), "3": port("out", ["2", 0])},
                  context=context)  # fmt: skip


LORA_ONLY = {
    "1": port("model"),
    "2": node("LoraLoader", model=["1", 0], clip=["1", 0], lora_name="a.safetensors", strength_model=1,
              strength_clip=1),
    "3": port("model", ["2", 0]),
}  # fmt: skip


def workflow_with_output(unique_id: str, key: str) -> dict[str, Any]:
    """A workflow in which a node feeds a port."""
    return {
        "id": key,
        "nodes": [
            {"id": 2, "type": "CheckpointLoaderSimple", "outputs": [{"name": "VAE", "type": "VAE", "links": [1]}]},
            {"id": 5, "type": "DiscomfortPort", "inputs": [{"name": "input_data", "type": "*", "link": 1}],
             "outputs": [{"name": "output_data", "type": "*", "links": None}], "widgets_values": [unique_id]},
        ],
        "links": [[1, 2, 0, 5, 0, "*"]],
    }  # fmt: skip


async def test_most_recent_references_are_warm(worker: FakeWorker, context: WorkflowContext) -> None:
    """As many nodes as allowed; one that the context has no longer does not count."""
    run = runner(worker, warm_nodes=1)
    await run(LOADER, NAME, context=context)
    await run(LATENT, context=context)
    assert [each["class_type"] for each in worker.sent[-1].values()].count("CheckpointLoaderSimple") == 1
    for name in ("model", "clip", "vae"):
        context.delete(name)
    await run(LATENT, context=context)
    assert "CheckpointLoaderSimple" not in [each["class_type"] for each in worker.sent[-1].values()]
