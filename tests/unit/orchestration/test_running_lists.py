"""Runs of lists of workflows, on a worker without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from standins import COUNTS
from unit.orchestration.conftest import Run, runner
from unit.orchestration.fake_worker import FakeWorker, node, picture, port

from discomfort import NodeList, Reference
from discomfort.context.context import WorkflowContext
from discomfort.exceptions import ExecutionError, PortError

INVERT = {"1": port("test_input"), "2": node("ImageInvert", image=["1", 0]), "3": port("test_output", ["2", 0])}
ADD = {"1": port("a"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("sum", ["2", 0])}
LOOP = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("n", ["2", 0])}
LOADER = {
    "1": port("name"),
    "2": node("CheckpointLoaderSimple", ckpt_name=["1", 0]),
    "3": port("model", ["2", 0]),
    "4": port("clip", ["2", 1]),
    "5": port("vae", ["2", 2]),
}
LATENT = {"1": node("EmptyLatentImage", width=64, height=64, batch_size=1), "2": port("latent", ["1", 0])}
SAMPLER = {
    "1": port("model"), "2": port("clip"), "3": port("vae"), "4": port("latent"), "5": port("prompt"),
    "6": port("seed"),
    "10": node("CLIPTextEncode", clip=["2", 0], text=["5", 0]),
    "11": node("KSampler", model=["1", 0], positive=["10", 0], latent_image=["4", 0], seed=["6", 0], steps=1, cfg=1.0,
               denoise=1.0),
    "12": node("VAEDecode", samples=["11", 0], vae=["3", 0]),
    "13": port("image", ["12", 0]),
}  # fmt: skip


async def test_smallest_workflow(run: Run, context: WorkflowContext) -> None:
    """A picture goes in, and comes back inverted, exactly; the context has both."""
    image = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    results = await run(INVERT, {"test_input": image}, context=context)

    assert list(results) == ["test_output"]
    assert np.array_equal(results["test_output"], 1.0 - image)
    assert np.array_equal(context.load("test_output"), 1.0 - image)
    assert context.list_keys() == ["test_input", "test_output"]
    assert len(results.histories) == 1


async def test_constants_need_no_node(run: Run, worker: FakeWorker) -> None:
    """A number stands in the input itself."""
    results = await run([ADD], {"a": np.int64(4)})

    assert results == {"sum": 5}
    assert worker.sent[0]["2"]["inputs"] == {"a": 4, "b": 1}
    assert "1" not in worker.sent[0]


async def test_same_id_in_and_out(run: Run, context: WorkflowContext) -> None:
    """D5: read before, written after; each iteration reads what the last one wrote."""
    results = await run(LOOP, {"n": 10}, iterations=4, context=context)

    assert results == {"n": 14}
    assert context.load("n") == 14
    assert len(results.histories) == 4


async def test_several_inputs_of_one_id(run: Run) -> None:
    """D4: all get the value."""
    workflow = {
        "1": port("n"), "2": port("n"), "3": node("StandInAdd", a=["1", 0], b=["2", 0]), "4": port("sum", ["3", 0]),
    }  # fmt: skip
    assert await run(workflow, {"n": 4}) == {"sum": 8}


async def test_failure_leaves_everything_usable(run: Run, context: WorkflowContext) -> None:
    """D1, D2: a node that raises is an error, which says where; earlier workflows count, and the next run works."""
    fail = {"1": port("n"), "2": node("StandInFail", value=["1", 0]), "3": port("out", ["2", 0])}
    with pytest.raises(ExecutionError, match="below zero") as caught:
        await run([LOOP, fail], {"n": -2}, iterations=3, context=context)

    assert (caught.value.node_id, str(caught.value.workflow)) == ("2", "workflows[1], iteration 1")
    assert caught.value.__notes__ == ["in workflows[1], iteration 1"]
    assert context.load("n") == -1
    assert "out" not in context
    assert await run([fail], {"n": 3}, context=context) == {"out": 3}


async def test_nothing_stale(run: Run, context: WorkflowContext) -> None:
    """D3: a value that cannot be saved is an error, not that of an earlier round."""
    workflow = {"1": port("n"), "2": node("StandInObject", value=["1", 0]), "3": port("out", ["2", 0])}
    context.save("out", "stale from before")
    with pytest.raises(ExecutionError, match="'out' cannot be passed by value"):
        await run(workflow, {"n": 1}, context=context, rules={"STANDIN_OBJECT": "val"})
    assert context.load("out") == "stale from before"
    assert await run(ADD, {"a": 1}, context=context) == {"sum": 2}


async def test_references_are_closed_early(run: Run, context: WorkflowContext) -> None:
    """D6: a later change of a variable does not change a reference that was made of it."""
    first = await run(LOADER, {"name": "a.safetensors"}, context=context)
    context.save("name", "b.safetensors")
    context.save("seed", 1)
    image = (await run([LATENT, SAMPLER], {"prompt": "x"}, context=context))["image"]
    again = (await run([LOADER, LATENT, SAMPLER], {"name": "a.safetensors"}, context=context))["image"]

    assert isinstance(first["model"], Reference)
    assert first["model"].type == "MODEL"
    assert np.array_equal(image, again)
    assert COUNTS["CheckpointLoaderSimple:b.safetensors"] == 0


async def test_one_load_in_all(run: Run, context: WorkflowContext) -> None:
    """D7, R3: model, clip and vae of one loader share it, also over prompts that do not need it."""
    for seed in range(5):
        results = await run([LOADER, LATENT, SAMPLER], {"name": "a.safetensors", "prompt": "x", "seed": seed},
                            context=context)  # fmt: skip
        assert float(results["image"].mean()) == pytest.approx(seed + float(results["image"].min()) - seed)
    assert COUNTS["CheckpointLoaderSimple:a.safetensors"] == 1
    assert COUNTS["KSampler"] == 5


async def test_without_warm_nodes(worker: FakeWorker, context: WorkflowContext) -> None:
    """The setting 0 carries nothing along, so a cache of the present prompt only loads again."""
    run = runner(worker, warm_nodes=0)
    inputs = {"name": "a.safetensors", "prompt": "x", "seed": 1}
    await run([LOADER, LATENT, SAMPLER], inputs, context=context)
    assert COUNTS["CheckpointLoaderSimple:a.safetensors"] == 2


async def test_disk_only(run: Run, context: WorkflowContext) -> None:
    """D8: what is stored on disk twice is still there."""
    for level in (0.25, 0.5):
        results = await run(INVERT, {"test_input": picture(level)}, use_ram=False, context=context)
        assert float(results["test_output"].mean()) == 1 - level
    assert (context.get_storage_info("test_output") or {})["storage_type"] == "disk"
    assert float(context.load("test_input").mean()) == 0.5


async def test_list_output(run: Run, context: WorkflowContext) -> None:
    """D17: all items come back, and go in again as a list output."""
    ranged = {"1": port("count"), "2": node("StandInRange", count=["1", 0]), "3": port("items", ["2", 0])}
    results = await run(ranged, {"count": 3}, context=context)
    added = {"1": port("items"), "2": node("StandInAdd", a=["1", 0], b=10), "3": port("sums", ["2", 0])}

    assert results["items"] == NodeList([0, 1, 2])
    assert isinstance(results["items"], NodeList)
    assert (await run(added, context=context))["sums"] == [10, 11, 12]
    assert isinstance((await run(ranged, {"count": 1}, context=context))["items"], NodeList)


async def test_missing_values(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """D22: an INPUT without a value is an error before anything is sent, and all are named at once."""
    with pytest.raises(PortError) as caught:
        await run([SAMPLER, ADD], {"prompt": "x", "seed": 1}, context=context)

    told = str(caught.value)
    assert all(f"workflows[0]: port {name!r}: it has no value" in told for name in ("model", "clip", "vae", "latent"))
    assert "workflows[1]: port 'a'" in told
    assert worker.sent == []
    assert len(context) == 0


async def test_value_decides(run: Run, context: WorkflowContext) -> None:
    """D35: how a variable was stored once does not decide how it is stored later."""
    context.save("model", 7)
    await run(LOADER, {"name": "a.safetensors"}, context=context)
    assert (context.get_storage_info("model") or {})["pass_by"] == "ref"
    assert await run({**ADD, "3": port("model", ["2", 0])}, {"a": 1}, context=context) == {"model": 2}
    assert (context.get_storage_info("model") or {})["pass_by"] == "val"


async def test_unknown_types_are_auto(run: Run, context: WorkflowContext) -> None:
    """D19: what a codec holds is a value, everything else a reference, which works as an input."""
    made = {"1": port("n"), "2": node("StandInObject", value=["1", 0]), "3": port("object", ["2", 0]),
            "4": port("number", ["2", 1])}  # fmt: skip
    used = {"1": port("object"), "2": node("StandInValue", object=["1", 0]), "3": port("value", ["2", 0])}
    results = await run([made, used], {"n": 6}, context=context)

    assert results["number"] == 6
    assert isinstance(results["object"], Reference)
    assert results["value"] == 6
    assert COUNTS["StandInObject"] == 1


async def test_each_workflow_is_converted_once(run: Run, worker: FakeWorker) -> None:
    """D31, D24: per call; and the original goes along for the pictures."""
    workflow = {"id": "w", "nodes": [{"id": 1, "type": "X"}], "links": []}
    worker.prompts["w"] = LOOP
    results = await run([workflow, dict(workflow)], {"n": 0}, iterations=3, extra_data={"extra_pnginfo": {"by": "me"}})

    assert results == {"n": 6}
    assert worker.conversions == {"w": 1}
    assert worker.extra_data[5] == {"extra_pnginfo": {"workflow": workflow, "by": "me"}}


async def test_overlapping_runs(run: Run, context: WorkflowContext) -> None:
    """D25: each has its own results, on one context."""
    found = await asyncio.gather(*(run(ADD, {"a": n}, context=context) for n in range(8)))

    sums = [each["sum"] for each in found]
    assert all(each in range(1, 9) for each in sums)
    found = await asyncio.gather(*(run(ADD, {"a": n}) for n in range(8)))
    assert [each["sum"] for each in found] == list(range(1, 9))


async def test_cancellation(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """Cancels the prompt; the context stays as it was."""
    waiting = asyncio.Event()

    async def forever(_: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    worker.before = forever
    task = asyncio.create_task(run(INVERT, {"test_input": picture()}, context=context))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.cancelled == 1
    assert context.list_keys() == ["test_input"]
