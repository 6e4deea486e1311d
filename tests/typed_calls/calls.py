"""Calls of a workflow through its stubs. Not run: mypy reads it, and reports each ``ignore`` that is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, assert_type

import numpy as np
from PIL.Image import Image as Picture

from discomfort import ComfyConnector, SyncConnector
from discomfort.functions.sync_typed_outputs import SyncImage
from discomfort.functions.typed_outputs import Image, Text
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
    await function.with_options(timeout=3).submit(image=picture)


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
    result = await function.with_options(timeout=3)(image="photo.jpg")
    _ = result.imag  # type: ignore[attr-defined]
    _ = result["imag"]  # type: ignore[call-overload]


def blocking_calls(connector: SyncConnector) -> None:
    """The same without ``await``."""
    function = upscale.load(connector)
    result = function(image="photo.jpg", scale=4.5)
    assert_type(result.image, SyncImage)
    function(image=result.image, seed=1.5)  # type: ignore[arg-type]
    _ = function(image=result.image).imag  # type: ignore[attr-defined]
