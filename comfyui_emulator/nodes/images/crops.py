"""Nodes that crop images by boxes and masks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, Mask, choice, integer, link, node, number
from comfyui_emulator.nodes.images.boxes import Box, box_input
from comfyui_emulator.nodes.images.colours import color_input, levels_of
from comfyui_emulator.nodes.images.filters import dilate, erode
from comfyui_emulator.nodes.images.previews import preview
from comfyui_emulator.nodes.images.resample import repeat_to, resize, scale_mask, to_bytes
from comfyui_emulator.nodes.wording import check_order, check_plane, joined

log = logging.getLogger("comfyui_emulator")

_IMAGE, _MASK = link("IMAGE"), link("MASK")
_TRANSFORM: dict[str, Any] = {"category": "image/transform", "v3": True}
_ONE = np.float32(1.0)


@node(
    "ImageCropV2",
    {"image": _IMAGE, "crop_region": box_input(component="ImageCrop")},
    "IMAGE",
    module="comfy_extras.nodes_images",
    title="Crop Image",
    HAS_INTERMEDIATE_OUTPUT=True,
    **_TRANSFORM,
)
def crop_to_box(image: Image, crop_region: Box) -> dict[str, Any]:
    """Crop by a box, and show the result. The corner is clamped to the image."""
    x = min(crop_region.get("x", 0), image.shape[2] - 1)
    y = min(crop_region.get("y", 0), image.shape[1] - 1)
    width, height = crop_region.get("width", 512), crop_region.get("height", 512)
    part = image[:, y : y + height, x : x + width, :]
    return {"ui": preview(part), "result": (part,)}


@node(
    "ImageCropToMask",
    {
        "images": _IMAGE,
        "masks": _MASK,
        "width": integer(1024, 64, 4096, step=8),
        "height": integer(1024, 64, 4096, step=8),
        "pad_factor": number(1.0, 1.0, 2.0, step=0.01),
        "grow_mask": integer(0, -32, 32, step=1),
        "background": color_input("#000000"),
    },
    "IMAGE",
    names="images",
    module="comfy_extras.nodes_images",
    title="Crop Image to Mask",
    **_TRANSFORM,
)
def crop_to_mask(
    images: Image, masks: Mask, width: int, height: int, pad_factor: float, grow_mask: int, background: str
) -> Image:
    """Cut out what the masks cover, lay it over the background, and scale it.

    Raises ``ValueError`` if there are neither one mask nor as many as images.
    """
    behind = levels_of(background)
    images = images[..., :3]
    if masks.shape[0] == 1 and images.shape[0] > 1:
        masks = np.repeat(masks, images.shape[0], axis=0)
    elif masks.shape[0] != images.shape[0]:
        raise ValueError(f"Mask batch {masks.shape[0]} does not match image batch {images.shape[0]}")
    if masks.shape[1:] != images.shape[1:3]:
        masks = scale_mask(masks, images.shape[2], images.shape[1])[..., 0]
    cut = []
    for image, mask in zip(images, masks, strict=True):
        part = _cut_out(image, _cleaned(mask, grow_mask), max(width, height), pad_factor, width / height, behind)
        cut.append(resize(part, width, height, "lanczos"))
    return joined(cut)


_FAINTEST = np.float32(0.05)
"""Lower values of a mask count as nothing."""

_SOLID = 204
"""Pixels of a mask with more than this of 255 levels make up its box."""


def _cleaned(mask: Mask, grow: int) -> Mask:
    """The mask, inverted if its border is covered and its middle is not; grown or shrunk; without faint values."""
    mask = np.clip(mask, 0, 1)
    rows, columns = mask.shape
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    middle = mask[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    if border.mean() > 0.5 and middle.mean() < 0.5:
        mask = _ONE - mask
    if grow:
        mask = (dilate if grow > 0 else erode)(mask[None, ..., None], 2 * abs(grow) + 1)[0, ..., 0]
    return np.where(mask < _FAINTEST, np.float32(0), mask)


def _cut_out(image: Image, mask: Mask, longest: int, padding: float, aspect: float, behind: Image) -> Image:
    check_order(image.ndim, 3)
    picture = np.clip(image, 0, 1)[None]
    rows, columns = mask.shape
    if max(rows, columns) > longest:
        factor = longest / max(rows, columns)
        size = int(columns * factor), int(rows * factor)
        picture = resize(picture, *size, "lanczos")
        mask = resize(mask[None, ..., None], *size, "lanczos")[0, ..., 0]
        columns, rows = size
    levels = to_bytes(mask)
    solid = np.argwhere(levels > _SOLID)
    if not len(solid) and len(found := np.argwhere(255 - levels > _SOLID)):
        mask, solid = _ONE - mask, found
    if len(solid):
        box = _around(solid, padding, aspect)
    else:
        log.warning("the mask of the image is empty: it is not cropped")
        box = (0, 0, columns, rows)
    picture, covered = windowed(picture, box), windowed(mask[None, ..., None], box)
    whole: Image = np.clip(picture * covered + behind * (_ONE - covered), 0, 1)
    return whole


def _around(places: Any, padding: float, aspect: float) -> tuple[int, int, int, int]:
    """The box around places, made larger to the aspect ratio, then by the padding."""
    (top, left), (bottom, right) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    width, height = right - left + 1, bottom - top + 1
    if width / height >= aspect:
        wide, high = int(width * padding), int(width / aspect * padding)
    else:
        wide, high = int(height * aspect * padding), int(height * padding)
    half_width, half_height = math.ceil(wide / 2), math.ceil(high / 2)
    x, y = int((left + right) / 2.0 - half_width), int((top + bottom) / 2.0 - half_height)
    return x, y, x + 2 * half_width, y + 2 * half_height


def windowed(image: Image, box: Sequence[int]) -> Image:
    """The part of the image inside left, top, right, bottom; zeros where the box reaches beyond it."""
    left, top, right, bottom = box
    part = np.zeros((image.shape[0], bottom - top, right - left, image.shape[3]), dtype=np.float32)
    x, y = max(left, 0), max(top, 0)
    x_end, y_end = min(right, image.shape[2]), min(bottom, image.shape[1])
    if x < x_end and y < y_end:
        part[:, y - top : y_end - top, x - left : x_end - left] = image[:, y:y_end, x:x_end]
    return part


@node(
    "CropByBBoxes",
    {
        "image": _IMAGE,
        "bboxes": box_input(forceInput=True),
        "output_width": integer(512, 64, 4096, step=8),
        "output_height": integer(512, 64, 4096, step=8),
        "padding": integer(0, 0, 1024, step=1),
        "keep_aspect": choice(["stretch", "pad"], default="stretch"),
    },
    "IMAGE",
    module="comfy_extras.nodes_sdpose",
    title="Crop By Bounding Boxes",
    touches={"image": "shape"},
    **_TRANSFORM,
)
def crop_by_boxes(
    image: Image, bboxes: Any, output_width: int, output_height: int, padding: int, keep_aspect: str
) -> Image:
    """Crop each image to its boxes and scale it. Images without boxes are left out, unless no image has one."""
    frames = bboxes if isinstance(bboxes, list) else [[bboxes]]
    crops = []
    for index, item in enumerate(image if frames else ()):
        boxes = frames[min(index, len(frames) - 1)]
        if boxes:
            left, top, right, bottom = _inside(boxes, padding, item.shape[1], item.shape[0])
            part = item[None, top:bottom, left:right]
            crops.append(_fitted(part, output_width, output_height, keep=keep_aspect == "pad"))
    return joined(crops) if crops else image


def _inside(boxes: Sequence[Box], padding: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The union of the boxes inside the image; if it is empty, a square near the upper edge."""
    left = max(0, min(int(box["x"]) for box in boxes) - padding)
    top = max(0, min(int(box["y"]) for box in boxes) - padding)
    right = min(width, max(int(box["x"] + box["width"]) for box in boxes) + padding)
    bottom = min(height, max(int(box["y"] + box["height"]) for box in boxes) + padding)
    if left < right and top < bottom:
        return left, top, right, bottom
    side = int(min(width, height) * 0.3)
    left, top = max(0, (width - side) // 2), max(0, int(height * 0.1))
    return left, top, min(width, left + side), min(height, top + side)


def _fitted(part: Image, width: int, height: int, *, keep: bool) -> Image:
    """The image scaled to a size; with ``keep`` as large as it fits, on black."""
    rows, columns = part.shape[1:3]
    if 0 in (rows, columns):
        return np.zeros((1, height, width, part.shape[3]), dtype=np.float32)
    if not keep:
        return resize(part, width, height, "area")
    factor = min(width / columns, height / rows)
    wide, high = round(columns * factor), round(rows * factor)
    framed = np.zeros((1, height, width, part.shape[3]), dtype=np.float32)
    x, y = (width - wide) // 2, (height - high) // 2
    framed[:, y : y + high, x : x + wide] = resize(part, wide, high, "area")
    return framed


@node(
    "TripoSplatPreprocessImage",
    {
        "image": _IMAGE,
        "mask": _MASK,
        "erode_radius": integer(1, 0, 16),
        "size": integer(1024, 256, 4096, step=16),
    },
    "IMAGE",
    names="image",
    module="comfy_extras.nodes_triposplat",
    category="model/conditioning/triposplat",
    title="TripoSplat Preprocess Image",
    v3=True,
)
def centre_subject(image: Image, mask: Mask, erode_radius: int, size: int) -> Image:
    """Put what the mask covers into the middle of a black square. Raises ``ValueError`` for an empty mask."""
    side = max(16, size // 16 * 16)
    if mask.shape[0] != image.shape[0]:
        mask = repeat_to(mask, image.shape[0])
    if mask.shape[1:] != image.shape[1:3]:
        check_plane(mask.shape[1:], image.shape[1:3])
        mask = scale_mask(mask, image.shape[2], image.shape[1])[..., 0]
    return joined([_centred(item, alpha, erode_radius, side) for item, alpha in zip(image, mask, strict=True)])


_MARGIN = 1.2
"""The square's side as a multiple of what it has to hold."""


def _centred(image: Image, mask: Mask, erosion: int, side: int) -> Image:
    whole = joined([np.clip(image[..., :3], 0, 1), np.clip(mask, 0, 1)[..., None]], -1)[None]
    rows, columns = whole.shape[1:3]
    factor = side / min(rows, columns)
    whole = resize(whole, max(1, round(columns * factor)), max(1, round(rows * factor)), "lanczos")
    if erosion:
        whole[..., 3:] = erode(whole[..., 3:], 2 * erosion + 1)
    places = np.argwhere(whole[0, ..., 3] > 0)
    if not len(places):
        raise ValueError("TripoSplatPreprocessImage: mask is empty (no foreground pixels).")
    (top, left), (bottom, right) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    x, y, half = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) / 2 * _MARGIN
    square = windowed(whole, (int(x - half), int(y - half), int(x + half), int(y + half)))
    square = resize(square, side, side, "lanczos")
    return square[..., :3] * square[..., 3:]
