"""Calls of a workflow through its stubs. Not run: mypy reads it, and reports each ``ignore`` that is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, assert_type

import numpy as np
from PIL.Image import Image as Picture

from discomfort import ComfyConnector, SyncConnector
from discomfort.functions.sync_typed_outputs import SyncImage
from discomfort.functions.typed_outputs import Image, Text
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.sweeps import Sweep, SyncSweep
from tests.typed_calls import upscale


async def right_calls(connector: ComfyConnector, picture: Picture, file: BinaryIO) -> None:
    """What a call takes, and the types of what it gives."""
    function = await upscale.load(connector)
    result = await function(image="photo.jpg", scale=4, sampler="it's", seed=2**64 - 1, tiled=True)
    assert_type(result, upscale.UpscaleResult)
    assert_type(result.image, Image)
    assert_type(result["history"], Text)
    await result.image.save("out")
    await function(image=result.image, frames=[b"x", Path("y.png"), picture])
    await function(image=result.outputs[0], ckpt_name="größe.safetensors")
    await function(image=np.zeros((8, 8, 3)), prompt="a blue fox")
    await function({"KSampler.cfg": 3}, image=file, frames=result.image)
    assert_type(function.with_options(timeout=3), upscale.Upscale)
    run = await function.with_options(timeout=3).submit(image=picture)
    assert_type(run, upscale.UpscaleRun)
    assert_type(await run, upscale.UpscaleResult)
    assert_type(await function.plan(scale=3), WorkflowPlan)
    sweep = function.grid(image=["a.png", b"x", picture], seed=range(8), sampler=["euler", "heun"], scale=2)
    assert_type(sweep, Sweep)
    function.grid({"KSampler.cfg": [5, 7]}, image=result.image, ckpt_name="base.safetensors", prompt="one")
    function.table("prompts.csv", seed=[1, 2], tiled=(True, False))
    function.table([{"prompt": "a fox", "seed": 3}], image=np.zeros((8, 8, 3)))
    await upscale.load(connector, "other.json", {"inputs": {"image": "Photo.image"}})


async def wrong_calls(connector: ComfyConnector) -> None:
    """A wrong name, type, choice; an input that is missing; a wrong output."""
    function = await upscale.load(connector)
    await function(image="photo.jpg", scal=4)  # type: ignore[call-arg]
    await function(image="photo.jpg", scale="4")  # type: ignore[arg-type]
    await function(image="photo.jpg", sampler="eule")  # type: ignore[arg-type]
    await function(image="photo.jpg", ckpt_name="gone.safetensors")  # type: ignore[arg-type]
    await function(image=3)  # type: ignore[arg-type]
    await function(scale=4)  # type: ignore[call-arg]
    await function.submit(image="photo.jpg", secret="")  # type: ignore[call-arg]
    await function.plan(scal=4)  # type: ignore[call-arg]
    await function.plan(seed="4")  # type: ignore[arg-type]
    function.grid(image="a.png", sed=[1])  # type: ignore[call-arg]
    function.grid(image="a.png", seed=["1"])  # type: ignore[list-item]
    function.grid(image="a.png", seed=1.5)  # type: ignore[arg-type]
    function.grid(image="a.png", sampler=["eule"])  # type: ignore[list-item]
    function.grid(image="a.png", sampler="eule")  # type: ignore[arg-type]
    function.grid(image=[3])  # type: ignore[list-item]
    function.grid(seed=[1])  # type: ignore[call-arg]
    function.table("prompts.csv", scal=[1])  # type: ignore[call-arg]
    function.table(3)  # type: ignore[arg-type]
    await upscale.load(connector, 3)  # type: ignore[call-overload]
    _ = (await (await function.submit(image="photo.jpg"))).imag  # type: ignore[attr-defined]
    result = await function.with_options(timeout=3)(image="photo.jpg")
    _ = result.imag  # type: ignore[attr-defined]
    _ = result["imag"]  # type: ignore[call-overload]


def blocking_calls(connector: SyncConnector) -> None:
    """The same without ``await``."""
    function = upscale.load(connector)
    result = function(image="photo.jpg", scale=4.5)
    assert_type(result.image, SyncImage)
    assert_type(function.submit(image=result.image).wait(), upscale.SyncUpscaleResult)
    assert_type(function.grid(image=result.image, scale=[1, 2.5]), SyncSweep)
    assert_type(function.plan(), WorkflowPlan)
    function.grid(image="a.png", tiled=["yes"])  # type: ignore[list-item]
    function.table("prompts.csv", seed="one")  # type: ignore[arg-type]
    function(image=result.image, seed=1.5)  # type: ignore[arg-type]
    _ = function(image=result.image).imag  # type: ignore[attr-defined]
