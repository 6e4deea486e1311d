"""Nodes that bring images and masks to one size: by many rules, or to put them into one batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from comfyui_emulator.nodes.base import (
    MATCHTYPE,
    MAX_SIDE,
    METHODS,
    Entry,
    Image,
    Mask,
    branching,
    choice,
    growing,
    integer,
    link,
    matching,
    node,
    number,
    side,
)
from comfyui_emulator.nodes.images.editing import with_channels
from comfyui_emulator.nodes.images.resample import scale, scale_picture
from comfyui_emulator.nodes.wording import joined, must_have

_POST: dict[str, Any] = {"module": "comfy_extras.nodes_post_processing", "v3": True}
_CROP = choice(["disabled", "center"], default="center")
_MOST = 50

JsonObject = dict[str, Any]


def _several(name: str, kind: str) -> Entry:
    return growing(name, link(kind), prefix=name, least=1, most=_MOST)


@node(
    "BatchImagesNode",
    {"images": _several("image", "IMAGE")},
    "IMAGE",
    category="image/batch",
    title="Batch Images",
    **_POST,
)
def batch_images(images: Mapping[str, Image]) -> Image:
    """All images in one batch, at the size of the first (since ComfyUI 0.8). A missing channel is 1."""
    several = list(images.values())
    for image in several:
        must_have(image, "shape")
    most = max(image.shape[-1] for image in several)
    # One channel more, which may still be fewer than others have: then they cannot be joined, as in ComfyUI.
    several = [image if image.shape[-1] == most else with_channels(image, image.shape[-1] + 1) for image in several]
    first = several[0].shape
    fitted = [
        image if image.shape[1:] == first[1:] else scale(image, first[2], first[1], "bilinear", "center")
        for image in several
    ]
    return joined(fitted)


@node(
    "BatchMasksNode",
    {"masks": _several("mask", "MASK")},
    "MASK",
    category="image/mask",
    title="Batch Masks",
    **_POST,
)
def batch_masks(masks: Mapping[str, Mask]) -> Mask:
    """All masks in one batch, at the size of the first (since ComfyUI 0.8)."""
    several = list(masks.values())
    must_have(several[0], "shape")
    first = several[0].shape
    fitted = [
        mask
        if mask.shape[1:] == first[1:]
        else scale(mask[..., None], first[2], first[1], "bilinear", "center")[..., 0]
        for mask in several
    ]
    return joined(fitted)


_LENGTH = side()
_DIMENSIONS: dict[str, dict[str, Entry]] = {
    "scale dimensions": {"width": _LENGTH, "height": _LENGTH, "crop": _CROP},
    "scale by multiplier": {"multiplier": number(1.0, 0.01, 8.0, step=0.01)},
    "scale longer dimension": {"longer_size": _LENGTH},
    "scale shorter dimension": {"shorter_size": _LENGTH},
    "scale width": {"width": _LENGTH},
    "scale height": {"height": _LENGTH},
    "scale total pixels": {"megapixels": number(1.0, 0.01, 16.0, step=0.01)},
    "match size": {"match": link("IMAGE,MASK"), "crop": _CROP},
    "scale to multiple": {"multiple": integer(8, 1, MAX_SIDE, step=1)},
}


@node(
    "ResizeImageMaskNode",
    {
        "input": matching("input_type", "IMAGE,MASK"),
        "resize_type": branching(_DIMENSIONS),
        "scale_method": choice(METHODS, default="area"),
    },
    MATCHTYPE,
    names="resized",
    matchtypes=("input_type",),
    category="image/transform",
    title="Resize Image/Mask",
    **_POST,
)
def resize_any(input: Image, resize_type: JsonObject, scale_method: str) -> Image:  # noqa: A002 - the input's name
    """Scale an image or a mask by one of nine rules (since ComfyUI 0.8)."""
    must_have(input, "shape")
    rule = resize_type["resize_type"]
    is_image = input.ndim == 4
    pictures = input if is_image else input[..., None]
    height, width = pictures.shape[1:3]
    if rule == "scale to multiple":
        result = _to_multiple(pictures, resize_type["multiple"], scale_method)
    else:
        size = _size(rule, resize_type, width, height)
        crop = resize_type.get("crop", "disabled")
        scaled = scale_picture if is_image else scale
        result = pictures if size is None else scaled(pictures, *size, scale_method, crop)
    return result if is_image else result[..., 0]


def _size(rule: str, given: JsonObject, width: int, height: int) -> tuple[int, int] | None:
    """The new width and height; ``None`` if the old ones stay."""
    if rule == "scale by multiplier":
        return round(width * given["multiplier"]), round(height * given["multiplier"])
    if rule == "scale total pixels":
        factor = math.sqrt(int(given["megapixels"] * 1024 * 1024) / (width * height))
        return round(width * factor), round(height * factor)
    if rule == "match size":
        shape = given["match"].shape
        rows, columns = shape[1:3] if len(shape) == 4 else shape[-2:]
        return columns, rows
    if rule in ("scale longer dimension", "scale shorter dimension"):
        longer = rule == "scale longer dimension"
        length = given["longer_size" if longer else "shorter_size"]
        if width == height:
            return length, length
        if (width > height) == longer:
            return length, round(height / width * length)
        return round(width / height * length), length
    return _both(given.get("width", 0), given.get("height", 0), width, height)


def _both(new_width: int, new_height: int, width: int, height: int) -> tuple[int, int] | None:
    """The new size; a side of 0 follows the aspect ratio."""
    if new_width == 0 and new_height == 0:
        return None
    if new_width == 0:
        return max(1, round(width * new_height / height)), new_height
    return new_width, new_height or max(1, round(height * new_width / width))


def _to_multiple(pictures: Image, multiple: int, method: str) -> Image:
    """The picture scaled to cover the largest size of which both sides are multiples, and cut to it."""
    height, width = pictures.shape[1:3]
    wide, high = width // multiple * multiple, height // multiple * multiple
    if 0 in (wide, high) or (wide, high) == (width, height):
        return pictures
    across, down = wide / width, high / height
    if across >= down:
        size = wide, max(high, math.ceil(height * across))
    else:
        size = max(wide, math.ceil(width * down)), high
    scaled = scale(pictures, *size, method)
    x, y = (size[0] - wide) // 2, (size[1] - high) // 2
    return scaled[:, y : y + high, x : x + wide]
