"""Image compositing: masks, blending, Porter-Duff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, Mask, choice, link, node, number, side, switch
from comfyui_emulator.nodes.images.editing import with_channels
from comfyui_emulator.nodes.images.resample import repeat_to, resize, scale, scale_mask
from comfyui_emulator.nodes.wording import channels_second, check_alike, check_order, joined, stacked, with_axis

_IMAGE, _MASK = link("IMAGE"), link("MASK")
_ONE, _TWO = np.float32(1.0), np.float32(2.0)


def same_channels(destination: Image, source: Image) -> tuple[Image, Image]:
    """Cut the source to the destination's channels, or give it one more, which is opaque.

    Before ComfyUI 0.21, it was the destination that got one more.
    """
    if destination.shape[-1] < source.shape[-1]:
        return destination, source[..., : destination.shape[-1]]
    if destination.shape[-1] > source.shape[-1]:
        source = with_channels(source, source.shape[-1] + 1)
    return destination, source


@node(
    "ImageCompositeMasked",
    {"destination": _IMAGE, "source": _IMAGE, "x": side(0), "y": side(0), "resize_source": switch(False)},
    "IMAGE",
    optional={"mask": _MASK},
    module="comfy_extras.nodes_mask",
    category="image/compositing",
    title="Image Composite Masked",
    v3=True,
    touches={"mask": "to"},
)
def image_composite_masked(
    destination: Image, source: Image, x: int, y: int, resize_source: bool, mask: Mask | None = None
) -> Image:
    """Lay the source over the destination through a mask. Parts outside the destination are cut off."""
    destination, source = same_channels(destination, source)
    output = destination.copy()
    rows, columns = output.shape[1:3]
    if resize_source:
        source = resize(source, columns, rows, "bilinear")
    source = repeat_to(source, output.shape[0])
    x, y = max(-source.shape[2], min(x, columns)), max(-source.shape[1], min(y, rows))
    width, height = min(source.shape[2], columns - x), min(source.shape[1], rows - y)
    if width <= 0 or height <= 0:
        return output
    if mask is None:
        weight = np.ones((1, source.shape[1], source.shape[2], 1), dtype=np.float32)
    else:
        weight = repeat_to(scale_mask(mask, source.shape[2], source.shape[1]), source.shape[0])
    weight = weight[:, :height, :width]
    region = output[:, y : y + height, x : x + width]
    check_alike(channels_second(source[:, :height, :width].shape), channels_second(region.shape))
    output[:, y : y + height, x : x + width] = weight * source[:, :height, :width] + (_ONE - weight) * region
    return output


def _soft_light(a: Image, b: Image) -> Image:
    curve = np.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, np.sqrt(np.maximum(a, 0)))
    return np.where(b <= 0.5, a - (_ONE - _TWO * b) * a * (_ONE - a), a + (_TWO * b - _ONE) * (curve - a))


_BLENDS: dict[str, Callable[[Image, Image], Image]] = {
    "normal": lambda _, b: b,
    "multiply": lambda a, b: a * b,
    "screen": lambda a, b: _ONE - (_ONE - a) * (_ONE - b),
    "overlay": lambda a, b: np.where(a <= 0.5, _TWO * a * b, _ONE - _TWO * (_ONE - a) * (_ONE - b)),
    "soft_light": _soft_light,
    "difference": lambda a, b: a - b,
}


@node(
    "ImageBlend",
    {
        "image1": _IMAGE,
        "image2": _IMAGE,
        "blend_factor": number(0.5, 0.0, 1.0, step=0.01),
        "blend_mode": choice(list(_BLENDS)),
    },
    "IMAGE",
    module="comfy_extras.nodes_post_processing",
    category="image/filters",
    title="Blend Images",
    v3=True,
)
def image_blend(image1: Image, image2: Image, blend_factor: float, blend_mode: str) -> Image:
    """Blend two images in one of several modes."""
    if blend_mode not in _BLENDS:
        raise ValueError(f"Unsupported blend mode: {blend_mode}")
    image1, image2 = same_channels(image1, image2)
    if image1.shape != image2.shape:
        check_order(image2.ndim)
        image2 = scale(image2, image1.shape[2], image1.shape[1], "bicubic", "center")
    mixed = _BLENDS[blend_mode](image1, image2)
    return np.clip(image1 * np.float32(1 - blend_factor) + mixed * np.float32(blend_factor), 0, 1)


Layers = tuple[Image, Image]
"""A premultiplied picture ``[height, width, channel]`` and its alpha ``[height, width, 1]``."""


def _union(sa: Image, da: Image) -> Image:
    return sa + da - sa * da


def _over(s: Image, sa: Image, d: Image, da: Image) -> Image:
    return (_ONE - da) * s + (_ONE - sa) * d


def _overlay(s: Image, sa: Image, d: Image, da: Image) -> Image:
    return np.where(_TWO * d < da, _TWO * s * d, sa * da - _TWO * (da - s) * (sa - d))


_PORTER_DUFF: dict[str, Callable[[Image, Image, Image, Image], Layers]] = {
    "ADD": lambda s, sa, d, da: (np.clip(s + d, 0, 1), np.clip(sa + da, 0, 1)),
    "CLEAR": lambda s, sa, d, da: (np.zeros_like(d), np.zeros_like(da)),
    "DARKEN": lambda s, sa, d, da: (_over(s, sa, d, da) + np.minimum(s, d), _union(sa, da)),
    "DST": lambda s, sa, d, da: (d, da),
    "DST_ATOP": lambda s, sa, d, da: (sa * d + (_ONE - da) * s, sa),
    "DST_IN": lambda s, sa, d, da: (d * sa, sa * da),
    "DST_OUT": lambda s, sa, d, da: ((_ONE - sa) * d, (_ONE - sa) * da),
    "DST_OVER": lambda s, sa, d, da: (d + (_ONE - da) * s, da + (_ONE - da) * sa),
    "LIGHTEN": lambda s, sa, d, da: (_over(s, sa, d, da) + np.maximum(s, d), _union(sa, da)),
    "MULTIPLY": lambda s, sa, d, da: (s * d, sa * da),
    "OVERLAY": lambda s, sa, d, da: (_overlay(s, sa, d, da), _union(sa, da)),
    "SCREEN": lambda s, sa, d, da: (s + d - s * d, _union(sa, da)),
    "SRC": lambda s, sa, d, da: (s, sa),
    "SRC_ATOP": lambda s, sa, d, da: (da * s + (_ONE - sa) * d, da),
    "SRC_IN": lambda s, sa, d, da: (s * da, sa * da),
    "SRC_OUT": lambda s, sa, d, da: ((_ONE - da) * s, (_ONE - da) * sa),
    "SRC_OVER": lambda s, sa, d, da: (s + (_ONE - sa) * d, sa + (_ONE - sa) * da),
    "XOR": lambda s, sa, d, da: (_over(s, sa, d, da), (_ONE - da) * sa + (_ONE - sa) * da),
}


@node(
    "PorterDuffImageComposite",
    {
        "source": _IMAGE,
        "source_alpha": _MASK,
        "destination": _IMAGE,
        "destination_alpha": _MASK,
        "mode": choice(list(_PORTER_DUFF), default="DST"),
    },
    "IMAGE MASK",
    module="comfy_extras.nodes_compositing",
    category="image/compositing",
    title="Porter-Duff Image Composite",
    v3=True,
    touches={"source": "len", "source_alpha": "len", "destination": "len", "destination_alpha": "len"},
)
def porter_duff(
    source: Image, source_alpha: Mask, destination: Image, destination_alpha: Mask, mode: str
) -> tuple[Image, Mask]:
    """Apply one of the eighteen compositions. Masks are 1 where an image is transparent."""
    results = []
    for parts in zip(source, source_alpha, destination, destination_alpha, strict=False):
        src, dst = parts[0], parts[2]
        if src.shape[2] != dst.shape[2]:
            # Source and destination need the same number of channels; as in ComfyUI, this is not checked.
            raise AssertionError
        src_mask, dst_mask = (with_axis(part, 2) for part in (parts[1], parts[3]))
        size = dst.shape[1], dst.shape[0]
        fitted = [
            part if part.shape[:2] == dst.shape[:2] else scale(part[None], *size, "bicubic", "center")[0]
            for part in (src, src_mask, dst_mask)
        ]
        results.append(_compose(fitted[0], _ONE - fitted[1], dst, _ONE - fitted[2], mode))
    return stacked([picture for picture, _ in results]), stacked([mask for _, mask in results])


def _compose(src: Image, src_alpha: Image, dst: Image, dst_alpha: Image, mode: str) -> tuple[Image, Mask]:
    picture, alpha = _PORTER_DUFF[mode](src * src_alpha, src_alpha, dst * dst_alpha, dst_alpha)
    # ComfyUI's threshold: below this alpha a pixel counts as having no colour.
    solid = alpha > np.float32(1e-5)
    plain = np.where(solid, picture / np.where(solid, alpha, _ONE), np.float32(0))
    return np.clip(plain, 0, 1), (_ONE - alpha)[..., 0]


_ALPHA: dict[str, Any] = {"module": "comfy_extras.nodes_compositing", "category": "image/compositing", "v3": True}


@node("SplitImageWithAlpha", {"image": _IMAGE}, "IMAGE MASK", title="Split Image with Alpha", **_ALPHA)
def split_alpha(image: Image) -> tuple[Image, Mask]:
    """Split into colours and a mask, which is 1 where the image is transparent."""
    colours = [item[:, :, :3] for item in image]
    alphas = [item[:, :, 3] if item.shape[2] > 3 else np.ones_like(item[:, :, 0]) for item in image]
    return stacked(colours), _ONE - stacked(alphas)


@node(
    "JoinImageWithAlpha",
    {"image": _IMAGE, "alpha": _MASK},
    "IMAGE",
    title="Join Image with Alpha",
    touches={"image": "len", "alpha": "len"},
    **_ALPHA,
)
def join_alpha(image: Image, alpha: Mask) -> Image:
    """Add an alpha channel made from a mask. The shorter batch is repeated (since ComfyUI 0.21)."""
    opaque = _ONE - scale_mask(alpha, image.shape[2], image.shape[1])
    count = max(len(image), len(alpha))
    return joined((repeat_to(image, count)[..., :3], repeat_to(opaque, count)), -1)
