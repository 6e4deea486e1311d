"""Nodes for masks: creation, cropping, combination, conversion to and from images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import (
    MAX_SIDE,
    Image,
    Mask,
    choice,
    integer,
    link,
    node,
    number,
    side,
    switch,
)
from comfyui_emulator.nodes.images.filters import dilate
from comfyui_emulator.nodes.wording import check_sides, plane_sides, regrouped, stacked

_MASK, _IMAGE = link("MASK"), link("IMAGE")
_MODULE: dict[str, Any] = {"module": "comfy_extras.nodes_mask", "category": "image/mask", "v3": True}


def flat(mask: Mask) -> Mask:
    """Any mask as ``[batch, height, width]``."""
    return regrouped(mask, *plane_sides(mask))


@node(
    "SolidMask",
    {"value": number(1.0, 0.0, 1.0, step=0.01), "width": side(512, 1), "height": side(512, 1)},
    "MASK",
    title="Create Solid Mask",
    **_MODULE,
)
def solid_mask(value: float, width: int, height: int) -> Mask:
    """A mask with the same value everywhere."""
    check_sides(1, height, width)
    return np.full((1, height, width), value, dtype=np.float32)


@node("InvertMask", {"mask": _MASK}, "MASK", title="Invert Mask", **_MODULE)
def invert_mask(mask: Mask) -> Mask:
    """The negative."""
    return 1.0 - mask


@node(
    "CropMask",
    {"mask": _MASK, "x": side(0), "y": side(0), "width": side(512, 1), "height": side(512, 1)},
    "MASK",
    title="Crop Mask",
    **_MODULE,
)
def crop_mask(mask: Mask, x: int, y: int, width: int, height: int) -> Mask:
    """Crop the mask. Parts outside it are cut off."""
    return flat(mask)[:, y : y + height, x : x + width]


@node(
    "MaskComposite",
    {
        "destination": _MASK,
        "source": _MASK,
        "x": side(0),
        "y": side(0),
        "operation": choice(["multiply", "add", "subtract", "and", "or", "xor"]),
    },
    "MASK",
    title="Combine Masks",
    **_MODULE,
)
def mask_composite(destination: Mask, source: Mask, x: int, y: int, operation: str) -> Mask:
    """Combine one mask with another where they overlap."""
    output, source = flat(destination).copy(), flat(source)
    right = min(x + source.shape[-1], output.shape[-1])
    bottom = min(y + source.shape[-2], output.shape[-2])
    theirs = source[:, : bottom - y, : right - x]
    ours = output[:, y:bottom, x:right]
    if operation in ("multiply", "add", "subtract"):
        combine = {"multiply": np.multiply, "add": np.add, "subtract": np.subtract}[operation]
        result = combine(ours, theirs)
    else:
        logic = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[operation]
        result = logic(np.rint(ours) != 0, np.rint(theirs) != 0).astype(np.float32)
    output[:, y:bottom, x:right] = result
    return np.clip(output, 0.0, 1.0)


@node(
    "FeatherMask",
    {"mask": _MASK, **{name: side(0) for name in ("left", "top", "right", "bottom")}},
    "MASK",
    title="Feather Mask",
    **_MODULE,
)
def feather_mask(mask: Mask, left: int, top: int, right: int, bottom: int) -> Mask:
    """Feather the edges. Before ComfyUI 0.22, right and bottom were off by one."""
    output = flat(mask).copy()
    for axis, near, far in ((2, left, right), (1, top, bottom)):
        near, far = min(near, output.shape[axis]), min(far, output.shape[axis])
        lines = np.moveaxis(output, axis, 0)
        for index in range(near):
            lines[index] *= np.float32((index + 1.0) / near)
        for index in range(far):
            lines[-(index + 1)] *= np.float32((index + 1) / far)
    return output


@node(
    "GrowMask",
    {"mask": _MASK, "expand": integer(0, -MAX_SIDE, MAX_SIDE, step=1), "tapered_corners": switch(True, advanced=True)},
    "MASK",
    title="Grow Mask",
    **_MODULE,
)
def grow_mask(mask: Mask, expand: int, tapered_corners: bool) -> Mask:
    """Grow or shrink the mask by a number of pixels."""
    output = stacked(list(flat(mask)))
    combine = np.maximum if expand > 0 else np.minimum
    # A mask is uniform after as many steps as it has rows and columns, so more steps change nothing.
    longest = output.shape[-1] + output.shape[-2]
    for _ in range(min(abs(expand), longest)):
        output = _neighbours(output, combine, corners=not tapered_corners)
    return output


def _neighbours(mask: Mask, combine: Callable[[Mask, Mask], Mask], *, corners: bool) -> Mask:
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = mask.shape[1:]
    result = mask
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            if (corners or 1 in (dy, dx)) and (dy, dx) != (1, 1):
                result = combine(result, padded[:, dy : dy + height, dx : dx + width])
    return result


@node(
    "ThresholdMask",
    {"mask": _MASK, "value": number(0.5, 0.0, 1.0, step=0.01)},
    "MASK",
    title="Threshold Mask",
    **_MODULE,
)
def threshold_mask(mask: Mask, value: float) -> Mask:
    """1 where the mask is above the value, else 0."""
    # If neither is an array, Python compares the values.
    level = np.float32(value) if isinstance(mask, np.ndarray) else value
    return np.asarray(mask > level).astype(np.float32)


@node("MaskToImage", {"mask": _MASK}, "IMAGE", title="Convert Mask to Image", **_MODULE)
def mask_to_image(mask: Mask) -> Image:
    """The mask as a grey image."""
    return np.repeat(regrouped(mask, 1, *plane_sides(mask))[:, 0, ..., None], 3, axis=-1)


@node(
    "ImageToMask",
    {"image": _IMAGE, "channel": choice(["red", "green", "blue", "alpha"])},
    "MASK",
    title="Convert Image to Mask",
    **_MODULE,
)
def image_to_mask(image: Image, channel: str) -> Mask:
    """One channel of the image."""
    return image[:, :, :, ["red", "green", "blue", "alpha"].index(channel)]


@node(
    "ImageColorToMask",
    {"image": _IMAGE, "color": integer(0, 0, 0xFFFFFF, step=1, display="number")},
    "MASK",
    title="Convert Image Color to Mask",
    **_MODULE,
)
def image_color_to_mask(image: Image, color: int) -> Mask:
    """1 where the image has exactly this colour in 8 bits, else 0."""
    levels = np.rint(np.clip(image, 0, 1.0) * np.float32(255.0)).astype(np.int64)
    packed = (levels[:, :, :, 0] << 16) + (levels[:, :, :, 1] << 8) + levels[:, :, :, 2]
    found: Mask = (packed == color).astype(np.float32)
    return found


_QUADS = ((31, 0), (95, 63), (191, 127))
"""Up to which of 255 levels a value becomes which; above them it becomes 255."""


@node(
    "VOIDQuadmaskPreprocess",
    {"mask": _MASK, "dilate_width": integer(0, 0, 50, step=1)},
    "MASK",
    names="quadmask",
    module="comfy_extras.nodes_void",
    category="image/mask",
    title="VOID Quadmask Preprocessor",
    v3=True,
    touches={"mask": "clone"},
)
def quadmask(mask: Mask, dilate_width: int = 0) -> Mask:
    """Round a mask to four levels and invert it; dark parts can be widened (since ComfyUI 0.21)."""
    levels = mask * np.float32(255.0) if mask.max() <= 1.0 else mask
    if dilate_width > 0 and levels.ndim >= 3:
        dark = (levels < 128).astype(np.float32)
        levels = np.where(dilate(dark[..., None], dilate_width * 2 + 1)[..., 0] > 0.5, np.float32(0), levels)
    rounded = np.full_like(levels, 255)
    for highest, level in reversed(_QUADS):
        rounded = np.where(levels <= highest, np.float32(level), rounded)
    return (np.float32(255.0) - rounded) / np.float32(255.0)
