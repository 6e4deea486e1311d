"""Nodes that scale images."""

from __future__ import annotations

import math

import numpy as np

from comfyui_emulator.nodes.base import METHODS, Image, choice, integer, link, node, number, side
from comfyui_emulator.nodes.images.resample import resize, scale
from comfyui_emulator.nodes.wording import channels_second

_IMAGE = link("IMAGE")
_EXTRAS = "comfy_extras.nodes_images"


def scaled(image: Image, width: int, height: int, method: str, crop: str = "disabled") -> Image:
    """A picture of another size. As in ComfyUI since 0.10, ``lanczos`` turns a grey one and drops its channel."""
    whole = scale(image, width, height, method, crop)
    return whole[..., 0].swapaxes(1, 2) if method == "lanczos" and image.shape[3:] == (1,) else whole


@node(
    "ImageScale",
    {
        "image": _IMAGE,
        "upscale_method": choice(METHODS),
        "width": side(),
        "height": side(),
        "crop": choice(["disabled", "center"]),
    },
    "IMAGE",
    module="nodes",
    category="image/upscaling",
    title="Upscale Image",
    touches={"image": "movedim"},
)
def image_scale(image: Image, upscale_method: str, width: int, height: int, crop: str) -> Image:
    """Scale to a size. If one side is 0, the aspect ratio is kept; if both are 0, the image is unchanged."""
    if width == 0 and height == 0:
        return image
    if width == 0:
        width = max(1, round(image.shape[2] * height / image.shape[1]))
    elif height == 0:
        height = max(1, round(image.shape[1] * width / image.shape[2]))
    return scaled(image, width, height, upscale_method, crop)


@node(
    "ImageScaleBy",
    {"image": _IMAGE, "upscale_method": choice(METHODS), "scale_by": number(1.0, 0.01, 8.0, step=0.01)},
    "IMAGE",
    module="nodes",
    category="image/upscaling",
    title="Upscale Image By",
    touches={"image": "movedim"},
)
def image_scale_by(image: Image, upscale_method: str, scale_by: float) -> Image:
    """Scale by a factor."""
    rows, columns = channels_second(image.shape)[2], channels_second(image.shape)[3]
    return scaled(image, round(columns * scale_by), round(rows * scale_by), upscale_method)


@node(
    "ImageScaleToTotalPixels",
    {
        "image": _IMAGE,
        "upscale_method": choice(METHODS),
        "megapixels": number(1.0, 0.01, 16.0, step=0.01),
        "resolution_steps": integer(1, 1, 256, advanced=True),
    },
    "IMAGE",
    module="comfy_extras.nodes_post_processing",
    category="image/upscaling",
    title="Scale Image to Total Pixels",
    v3=True,
    touches={"image": "movedim"},
)
def image_scale_to_total_pixels(image: Image, upscale_method: str, megapixels: float, resolution_steps: int) -> Image:
    """Scale to a number of pixels, with sides that are multiples of a step. A megapixel is 1024 x 1024 pixels."""
    rows, columns = channels_second(image.shape)[2], channels_second(image.shape)[3]
    factor = math.sqrt(megapixels * 1024 * 1024 / (columns * rows))
    width, height = (round(length * factor / resolution_steps) * resolution_steps for length in (columns, rows))
    return scaled(image, width, height, upscale_method)


@node(
    "ImageScaleToMaxDimension",
    {
        "image": _IMAGE,
        "upscale_method": choice(["area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"]),
        "largest_size": side(),
    },
    "IMAGE",
    module=_EXTRAS,
    category="image/upscaling",
    title="Scale Image to Max Dimension",
    v3=True,
)
def image_scale_to_max_dimension(image: Image, upscale_method: str, largest_size: int) -> Image:
    """Scale the longest side to a length."""
    height, width = image.shape[1:3]
    if height > width:
        width, height = round(width / height * largest_size), largest_size
    elif width > height:
        width, height = largest_size, round(height / width * largest_size)
    else:
        width = height = largest_size
    return scaled(image, width, height, upscale_method)


@node(
    "ResizeAndPadImage",
    {
        "image": _IMAGE,
        "target_width": side(512, 1),
        "target_height": side(512, 1),
        "padding_color": choice(["white", "black"], advanced=True),
        "interpolation": choice(["area", "bicubic", "nearest-exact", "bilinear", "lanczos"], advanced=True),
    },
    "IMAGE",
    module=_EXTRAS,
    category="image/transform",
    title="Resize And Pad Image",
    v3=True,
)
def resize_and_pad(
    image: Image, target_width: int, target_height: int, padding_color: str, interpolation: str
) -> Image:
    """Scale to fit into a frame, and centre it there."""
    batch, rows, columns, channels = image.shape
    factor = min(target_width / columns, target_height / rows)
    width, height = int(columns * factor), int(rows * factor)
    padding = np.float32(0.0 if padding_color == "black" else 1.0)
    framed = np.full((batch, target_height, target_width, channels), padding, dtype=np.float32)
    y, x = (target_height - height) // 2, (target_width - width) // 2
    framed[:, y : y + height, x : x + width] = resize(image, width, height, interpolation)
    return framed


_KONTEXT_SIDES = (
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
)


@node(
    "FluxKontextImageScale",
    {"image": _IMAGE},
    "IMAGE",
    module="comfy_extras.nodes_flux",
    category="model/conditioning/flux",
    title=None,
    v3=True,
)
def flux_kontext_image_scale(image: Image) -> Image:
    """Scale to the size with the nearest aspect ratio among those that the model was trained on."""
    aspect = image.shape[2] / image.shape[1]
    sizes = [*_KONTEXT_SIDES, (1024, 1024), *((h, w) for w, h in _KONTEXT_SIDES)]
    _, width, height = min((abs(aspect - w / h), w, h) for w, h in sizes)
    return scaled(image, width, height, "lanczos", "center")
