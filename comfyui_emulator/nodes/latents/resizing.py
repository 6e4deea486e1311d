"""Basic nodes for latents: scaling, cropping, compositing, batches, masks.

A LATENT is a dictionary; ``samples`` is ``[batch, channel, (time,) height, width]`` in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import (
    MAX_SIDE,
    Mask,
    choice,
    integer,
    link,
    node,
    number,
    side,
    switch,
)
from comfyui_emulator.nodes.images.resample import repeat_to, scale
from comfyui_emulator.nodes.latents.bislerp import bislerp
from comfyui_emulator.nodes.wording import check_order, check_plane, check_turn, plane_sides

Array = npt.NDArray[np.float32]
Latent = dict[str, Any]

_LATENT = link("LATENT")
_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
_CELL = 8
"""The side of a latent cell in pixels."""


def planes(samples: Array, width: int, height: int, method: str, crop: str) -> Array:
    """Scale ``samples`` to a new size in cells. Time steps are scaled one by one."""
    if samples.ndim < 4:
        check_plane(samples.shape[2:], (height, width))
    if method == "bislerp":
        return bislerp(samples, width, height)
    last = np.moveaxis(samples.reshape(-1, *samples.shape[-3:]), 1, -1) if samples.ndim == 4 else None
    if last is None:
        flat = samples.reshape(-1, *samples.shape[-2:])[..., None]
        resized = scale(flat, width, height, method, crop)[..., 0]
        return resized.reshape(*samples.shape[:-2], height, width)
    return np.moveaxis(scale(last, width, height, method, crop), -1, 1)


def fitted(target: Array, samples: Array, *, repeat: bool = True) -> Array:
    """Scale ``samples`` to the size of ``target``, and repeat them to its batch length."""
    if samples.shape[1:] != target.shape[1:]:
        samples = planes(samples, target.shape[-1], target.shape[-2], "bilinear", "center")
    return repeat_to(samples, target.shape[0]) if repeat else samples


@node(
    "LatentUpscale",
    {
        "samples": _LATENT,
        "upscale_method": choice(_METHODS),
        "width": side(512, step=8),
        "height": side(512, step=8),
        "crop": choice(["disabled", "center"]),
    },
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Upscale Latent",
    touches={"samples": "copy"},
)
def upscale(samples: Latent, upscale_method: str, width: int, height: int, crop: str) -> tuple[Latent]:
    """Scale to a size in pixels, at least 64. If one side is 0, the aspect ratio is kept."""
    if width == 0 and height == 0:
        return (samples,)
    rows, columns = samples["samples"].shape[-2:]
    if width == 0:
        height = max(64, height)
        width = max(64, round(columns * height / rows))
    elif height == 0:
        width = max(64, width)
        height = max(64, round(rows * width / columns))
    size = max(64, width) // _CELL, max(64, height) // _CELL
    return ({**samples, "samples": planes(samples["samples"], *size, upscale_method, crop)},)


@node(
    "LatentUpscaleBy",
    {"samples": _LATENT, "upscale_method": choice(_METHODS), "scale_by": number(1.5, 0.01, 8.0, step=0.01)},
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Upscale Latent By",
    touches={"samples": "copy"},
)
def upscale_by(samples: Latent, upscale_method: str, scale_by: float) -> tuple[Latent]:
    """Scale by a factor."""
    rows, columns = samples["samples"].shape[-2:]
    size = round(columns * scale_by), round(rows * scale_by)
    return ({**samples, "samples": planes(samples["samples"], *size, upscale_method, "disabled")},)


@node(
    "LatentFromBatch",
    {"samples": _LATENT, "batch_index": integer(0, -MAX_SIDE, MAX_SIDE), "length": integer(1, 1, 64)},
    "LATENT",
    module="nodes",
    category="model/latent/batch",
    title="Get Latent From Batch",
    touches={"samples": "copy"},
)
def from_batch(samples: Latent, batch_index: int, length: int) -> tuple[Latent]:
    """A part of the batch, with its masks and indices. A negative index counts from the end."""
    array = samples["samples"]
    start = max(0, min(array.shape[0] - 1, batch_index + array.shape[0] * (batch_index < 0)))
    end = start + min(array.shape[0] - start, length)
    result = {**samples, "samples": array[start:end].copy()}
    if "noise_mask" in samples and samples["noise_mask"].shape[0] > 1:
        result["noise_mask"] = repeat_to(samples["noise_mask"], array.shape[0])[start:end]
    result["batch_index"] = list(samples.get("batch_index", range(array.shape[0])))[start:end]
    return (result,)


@node(
    "RepeatLatentBatch",
    {"samples": _LATENT, "amount": integer(1, 1, 64)},
    "LATENT",
    module="nodes",
    category="model/latent/batch",
    title="Repeat Latent Batch",
    touches={"samples": "copy"},
)
def repeat_batch(samples: Latent, amount: int) -> tuple[Latent]:
    """Repeat the batch. The indices continue."""
    array = samples["samples"]
    result = {**samples, "samples": np.concatenate([array] * amount)}
    if "noise_mask" in samples and samples["noise_mask"].shape[0] > 1:
        result["noise_mask"] = np.concatenate([repeat_to(samples["noise_mask"], array.shape[0])] * amount)
    if "batch_index" in samples:
        indices = samples["batch_index"]
        offset = max(indices) - min(indices) + 1
        result["batch_index"] = indices + [x + k * offset for k in range(1, amount) for x in indices]
    return (result,)


@node(
    "SetLatentNoiseMask",
    {"samples": _LATENT, "mask": link("MASK")},
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Set Latent Noise Mask",
    touches={"samples": "copy"},
)
def set_mask(samples: Latent, mask: Mask) -> tuple[Latent]:
    """Set the mask of the part that sampling may change."""
    return ({**samples, "noise_mask": mask.reshape(-1, 1, *plane_sides(mask))},)


@node(
    "LatentComposite",
    {
        "samples_to": _LATENT,
        "samples_from": _LATENT,
        "x": side(0, step=8),
        "y": side(0, step=8),
        "feather": side(0, step=8),
    },
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Latent Composite",
    touches={"samples_to": "copy"},
)
def composite(samples_to: Latent, samples_from: Latent, x: int, y: int, feather: int) -> tuple[Latent]:
    """Lay one latent over another. Edges inside the other are soft."""
    target, left, top, soft = samples_to["samples"].copy(), x // _CELL, y // _CELL, feather // _CELL
    source = samples_from["samples"]
    whole, source = source.shape, source[:, :, : target.shape[2] - top, : target.shape[3] - left]
    right, bottom = left + whole[3], top + whole[2]
    if not soft:
        target[:, :, top:bottom, left:right] = source
        return ({**samples_to, "samples": target},)
    mask = np.ones_like(source)
    for step in range(soft):
        rate = np.float32((1.0 / soft) * (step + 1))
        if top:
            mask[:, :, step : step + 1] *= rate
        if bottom < target.shape[2]:
            mask[:, :, mask.shape[2] - 1 - step : mask.shape[2] - step] *= rate
        if left:
            mask[:, :, :, step : step + 1] *= rate
        if right < target.shape[3]:
            mask[:, :, :, mask.shape[3] - 1 - step : mask.shape[3] - step] *= rate
    region = target[:, :, top:bottom, left:right]
    target[:, :, top:bottom, left:right] = source * mask + region * (1.0 - mask)
    return ({**samples_to, "samples": target},)


@node(
    "LatentCompositeMasked",
    {
        "destination": _LATENT,
        "source": _LATENT,
        "x": side(0, step=8),
        "y": side(0, step=8),
        "resize_source": switch(False),
    },
    "LATENT",
    optional={"mask": link("MASK")},
    module="comfy_extras.nodes_mask",
    category="model/latent",
    title="Latent Composite Masked",
    v3=True,
    touches={"destination": "copy", "mask": "to"},
)
def composite_masked(
    destination: Latent, source: Latent, x: int, y: int, resize_source: bool, mask: Mask | None = None
) -> tuple[Latent]:
    """Lay one latent over another through a mask, in cells of 8 pixels."""
    target = destination["samples"].copy()
    over = source["samples"]
    rows, columns = target.shape[2:]
    if resize_source:
        over = planes(over, columns, rows, "bilinear", "disabled")
    over = repeat_to(over, target.shape[0])
    left = max(-over.shape[3] * _CELL, min(x, columns * _CELL)) // _CELL
    top = max(-over.shape[2] * _CELL, min(y, rows * _CELL)) // _CELL
    width, height = min(over.shape[3], columns - left), min(over.shape[2], rows - top)
    weight = np.ones((1, 1, *over.shape[2:]), dtype=np.float32)
    if mask is not None:
        wide = planes(mask.reshape(-1, 1, *plane_sides(mask)), over.shape[3], over.shape[2], "bilinear", "disabled")
        weight = repeat_to(wide, over.shape[0])
    weight = weight[:, :, :height, :width]
    region = target[:, :, top : top + height, left : left + width]
    mixed = weight * over[:, :, :height, :width] + (np.float32(1.0) - weight) * region
    target[:, :, top : top + height, left : left + width] = mixed
    return ({**destination, "samples": target},)


@node(
    "LatentBlend",
    {"samples1": _LATENT, "samples2": _LATENT, "blend_factor": number(0.5, 0, 1, step=0.01)},
    "LATENT",
    module="nodes",
    category="experimental",
    title="Latent Blend",
    touches={"samples1": "copy"},
)
def blend(samples1: Latent, samples2: Latent, blend_factor: float) -> tuple[Latent]:
    """The weighted mean of two latents."""
    first, second = samples1["samples"], samples2["samples"]
    if first.shape != second.shape:
        check_order(second.ndim)
        second = planes(second, first.shape[3], first.shape[2], "bicubic", "center")
    mixed = first * np.float32(blend_factor) + second * np.float32(1 - blend_factor)
    return ({**samples1, "samples": mixed},)


_TURNED: dict[str, Any] = {"module": "nodes", "category": "model/latent/transform"}


@node(
    "LatentRotate",
    {"samples": _LATENT, "rotation": choice(["none", "90 degrees", "180 degrees", "270 degrees"])},
    "LATENT",
    title="Rotate Latent",
    **_TURNED,
    touches={"samples": "copy"},
)
def rotate(samples: Latent, rotation: str) -> tuple[Latent]:
    """Turn the latent clockwise."""
    turns = {"90": 1, "180": 2, "270": 3}.get(rotation.partition(" ")[0], 0)
    check_turn(samples["samples"], 3)
    return ({**samples, "samples": np.rot90(samples["samples"], k=turns, axes=(3, 2))},)


@node(
    "LatentFlip",
    {"samples": _LATENT, "flip_method": choice(["x-axis: vertically", "y-axis: horizontally"])},
    "LATENT",
    title="Flip Latent",
    **_TURNED,
    touches={"samples": "copy"},
)
def flip(samples: Latent, flip_method: str) -> tuple[Latent]:
    """Mirror the latent."""
    axis = {"x": 2, "y": 3}.get(flip_method[:1])
    array = samples["samples"]
    return ({**samples, "samples": array if axis is None else np.flip(array, axis)},)


@node(
    "LatentCrop",
    {
        "samples": _LATENT,
        "width": side(512, 64, step=8),
        "height": side(512, 64, step=8),
        "x": side(0, step=8),
        "y": side(0, step=8),
    },
    "LATENT",
    title="Crop Latent",
    **_TURNED,
    touches={"samples": "copy"},
)
def crop(samples: Latent, width: int, height: int, x: int, y: int) -> tuple[Latent]:
    """Crop the latent. The corner stays 64 pixels away from the far edges."""
    array = samples["samples"]
    left, top = min(x // _CELL, array.shape[3] - 8), min(y // _CELL, array.shape[2] - 8)
    return ({**samples, "samples": array[:, :, top : top + height // _CELL, left : left + width // _CELL]},)
