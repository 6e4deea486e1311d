"""Basic image nodes: empty images, cropping, turning, joining, batches."""

from __future__ import annotations

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import (
    MAX_SIDE,
    Image,
    Mask,
    choice,
    integer,
    link,
    node,
    side,
    switch,
)
from comfyui_emulator.nodes.images.resample import scale, scale_picture
from comfyui_emulator.nodes.wording import check_sides, joined

_IMAGE = link("IMAGE")
_EXTRAS = "comfy_extras.nodes_images"


@node(
    "EmptyImage",
    {
        "width": side(512, 1),
        "height": side(512, 1),
        "batch_size": integer(1, 1, 4096),
        "color": integer(0, 0, 0xFFFFFF, step=1, display="color"),
    },
    "IMAGE",
    module="nodes",
    category="image",
    title="Empty Image",
)
def empty_image(width: int, height: int, batch_size: int = 1, color: int = 0) -> Image:
    """An image of one colour."""
    check_sides(batch_size, height, width, 1)
    levels = np.array([color >> 16 & 255, color >> 8 & 255, color & 255], dtype=np.float32) / np.float32(255)
    return np.full((batch_size, height, width, 3), levels, dtype=np.float32)


@node("ImageInvert", {"image": _IMAGE}, "IMAGE", module="nodes", category="image/color", title="Invert Image Colors")
def image_invert(image: Image) -> Image:
    """The negative. Alpha is inverted too."""
    return 1.0 - image


@node(
    "ImageCrop",
    {"image": _IMAGE, "width": side(512, 1), "height": side(512, 1), "x": side(0), "y": side(0)},
    "IMAGE",
    module=_EXTRAS,
    category="image/transform",
    title="Crop Image (DEPRECATED)",
    v3=True,
    DEPRECATED=True,
)
def image_crop(image: Image, width: int, height: int, x: int, y: int) -> Image:
    """Crop the image. The corner is clamped to it."""
    x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, y : y + height, x : x + width, :]


@node(
    "ImageFlip",
    {"image": _IMAGE, "flip_method": choice(["x-axis: vertically", "y-axis: horizontally"])},
    "IMAGE",
    module=_EXTRAS,
    category="image/transform",
    touches={"image": "flip()"},
    title="Flip Image",
    v3=True,
)
def image_flip(image: Image, flip_method: str) -> Image:
    """Mirror the image."""
    if flip_method.startswith("x"):
        return image[:, ::-1]
    return image[:, :, ::-1] if flip_method.startswith("y") else image


@node(
    "ImageRotate",
    {"image": _IMAGE, "rotation": choice(["none", "90 degrees", "180 degrees", "270 degrees"])},
    "IMAGE",
    module=_EXTRAS,
    category="image/transform",
    touches={"image": "rot90()"},
    title="Rotate Image",
    v3=True,
)
def image_rotate(image: Image, rotation: str) -> Image:
    """Turn the image clockwise."""
    turns = {"90": 1, "180": 2, "270": 3}.get(rotation.partition(" ")[0], 0)
    return np.rot90(image, k=turns, axes=(2, 1))


@node(
    "ImageBatch",
    {"image1": _IMAGE, "image2": _IMAGE},
    "IMAGE",
    module="nodes",
    category="image/batch",
    title="Batch Images (DEPRECATED)",
    DEPRECATED=True,
)
def image_batch(image1: Image, image2: Image) -> Image:
    """Join two batches, the second at the size of the first. A missing channel is 1 (since ComfyUI 0.3.71)."""
    if image1.shape[-1] > image2.shape[-1]:
        image2 = with_channels(image2, image2.shape[-1] + 1)
    elif image1.shape[-1] < image2.shape[-1]:
        image1 = with_channels(image1, image1.shape[-1] + 1)
    if image1.shape[1:] != image2.shape[1:]:
        image2 = scale(image2, image1.shape[2], image1.shape[1], "bilinear", "center")
    return joined((image1, image2))


def with_channels(image: Image, channels: int) -> Image:
    """``image`` with that many channels. Added channels are 1."""
    missing = channels - image.shape[-1]
    if missing <= 0:
        return image
    return np.concatenate((image, np.ones((*image.shape[:-1], missing), dtype=np.float32)), axis=-1)


@node(
    "RepeatImageBatch",
    {"image": _IMAGE, "amount": integer(1, 1, 4096)},
    "IMAGE",
    module=_EXTRAS,
    category="image/batch",
    touches={"image": "repeat"},
    title="Repeat Image Batch",
    v3=True,
)
def repeat_image_batch(image: Image, amount: int) -> Image:
    """Repeat the batch."""
    return np.tile(image, (amount, 1, 1, 1))


@node(
    "ImageFromBatch",
    {"image": _IMAGE, "batch_index": integer(0, -MAX_SIDE, MAX_SIDE), "length": integer(1, 1, 4096)},
    "IMAGE",
    module=_EXTRAS,
    category="image/batch",
    title="Get Image from Batch",
    v3=True,
)
def image_from_batch(image: Image, batch_index: int, length: int) -> Image:
    """A part of the batch. A negative index counts from its end (since ComfyUI 0.22)."""
    start = batch_index + image.shape[0] if batch_index < 0 else batch_index
    start = max(0, min(image.shape[0] - 1, start))
    return image[start : start + min(image.shape[0] - start, length)].copy()


@node(
    "RebatchImages",
    {"images": _IMAGE, "batch_size": integer(1, 1, 4096)},
    "IMAGE",
    module="comfy_extras.nodes_rebatch",
    category="image/batch",
    title="Rebatch Images",
    v3=True,
    lists=(True,),
    INPUT_IS_LIST=True,
)
def rebatch_images(images: list[Image], batch_size: list[int]) -> tuple[list[Image]]:
    """Regroup all images of the list into batches."""
    single = [image[index : index + 1] for image in images for index in range(image.shape[0])]
    size = batch_size[0]
    return ([joined(single[start : start + size]) for start in range(0, len(single), size)],)


_SPACING = {"white": (1, 1, 1), "black": (0, 0, 0), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


@node(
    "ImageStitch",
    {
        "image1": _IMAGE,
        "direction": choice(["right", "down", "left", "up"], default="right"),
        "match_image_size": switch(True),
        "spacing_width": integer(0, 0, 1024, step=2, advanced=True),
        "spacing_color": choice(["white", "black", "red", "green", "blue"], default="white", advanced=True),
    },
    "IMAGE",
    optional={"image2": _IMAGE},
    module=_EXTRAS,
    category="image/transform",
    title="Stitch Images",
    v3=True,
)
def image_stitch(
    image1: Image,
    direction: str,
    match_image_size: bool,
    spacing_width: int,
    spacing_color: str,
    image2: Image | None = None,
) -> Image:
    """Put two images side by side, with a strip between them."""
    if image2 is None:
        return image1
    first, second = _same_batch(image1, image2)
    across = direction in ("left", "right")
    if match_image_size:
        ratio = second.shape[2] / second.shape[1]
        height, width = first.shape[1:3]
        size = (int(height * ratio), height) if across else (width, int(width / ratio))
        second = scale_picture(second, size[0], size[1], "lanczos")
    else:
        grey = np.float32(1.0 if spacing_color == "white" else 0.0)
        axis = 1 if across else 2
        longest = max(first.shape[axis], second.shape[axis])
        first, second = _centred(first, axis, longest, grey), _centred(second, axis, longest, grey)
    channels = max(first.shape[-1], second.shape[-1])
    parts = [with_channels(first, channels), with_channels(second, channels)]
    if direction in ("left", "up"):
        parts.reverse()
    if spacing_width > 0:
        parts.insert(1, _strip(parts, spacing_width + spacing_width % 2, spacing_color, across=across))
    return joined(parts, 2 if across else 1)


def _same_batch(first: Image, second: Image) -> tuple[Image, Image]:
    """Both batches at the length of the longer one. The shorter repeats its last item."""
    count = max(first.shape[0], second.shape[0])

    def fill(image: Image) -> Image:
        return joined([image, np.repeat(image[-1:], count - image.shape[0], axis=0)])

    return fill(first), fill(second)


def _centred(image: Image, axis: int, length: int, value: np.float32) -> Image:
    missing = length - image.shape[axis]
    padding = [(0, 0)] * 4
    padding[axis] = (missing // 2, missing - missing // 2)
    return np.pad(image, padding, constant_values=value)


def _strip(parts: list[Image], width: int, colour: str, *, across: bool) -> Image:
    batch, channels = parts[0].shape[0], parts[0].shape[-1]
    longest = max(part.shape[1 if across else 2] for part in parts)
    shape = (batch, longest, width, channels) if across else (batch, width, longest, channels)
    levels = np.array([*_SPACING[colour], 1][:channels], dtype=np.float32)
    return np.broadcast_to(levels, shape).astype(np.float32)


@node(
    "ImagePadForOutpaint",
    {
        "image": _IMAGE,
        **{name: integer(0, 0, MAX_SIDE, step=8) for name in ("left", "top", "right", "bottom")},
        "feathering": side(40, advanced=True),
    },
    "IMAGE MASK",
    module="nodes",
    category="image/transform",
    title="Pad Image for Outpainting",
    touches={"image": "size"},
)
def image_pad_for_outpaint(
    image: Image, left: int, top: int, right: int, bottom: int, feathering: int
) -> tuple[Image, Mask]:
    """Add a grey border. The mask covers it, and fades into the image at the padded sides."""
    batch, height, width, channels = image.shape
    padded = np.full((batch, height + top + bottom, width + left + right, channels), 0.5, dtype=np.float32)
    padded[:, top : top + height, left : left + width] = image
    soft = np.zeros((height, width), dtype=np.float64)
    if feathering > 0 and feathering * 2 < height and feathering * 2 < width:
        rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
        distance = np.full((height, width), min(height, width) * 2)
        for used, away in ((top, rows), (bottom, height - rows), (left, columns), (right, width - columns)):
            if used:
                distance = np.minimum(distance, away)
        soft = np.where(distance < feathering, ((feathering - distance) / feathering) ** 2, 0.0)
    mask = np.ones(padded.shape[1:3], dtype=np.float32)
    mask[top : top + height, left : left + width] = soft
    return padded, mask[None]


@node(
    "GetImageSize",
    {"image": _IMAGE},
    "INT INT INT",
    names="width height batch_size",
    hidden={"unique_id": ["UNIQUE_ID"]},
    module=_EXTRAS,
    category="image",
    title="Get Image Size",
    v3=True,
)
def get_image_size(image: Image, unique_id: str | None = None) -> tuple[int, int, int]:
    """Width, height and number of images, which are also shown on the node."""
    batch, height, width = image.shape[:3]
    if unique_id:
        runtime.send_text(f"width: {width}, height: {height}\n batch size: {batch}", unique_id)
    return width, height, batch
