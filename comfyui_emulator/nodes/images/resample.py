"""Resampling of ``[batch, height, width, channel]`` arrays, equal to torch's ``interpolate`` without antialiasing.

Pixel centres are at half integers (corners are not aligned). ``area`` is the mean of the source box of each pixel.
``lanczos`` is Pillow's, on pictures truncated to 8 bits, as in ComfyUI.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.wording import (
    channels_second,
    check_plane,
    check_pooled,
    plane_sides,
    regrouped,
    stacked,
)

Weights = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]

_CUBIC_A = np.float32(-0.75)
"""torch's bicubic coefficient."""


def to_bytes(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Levels from 0 to 255. Values are clipped and truncated, not rounded, as in ComfyUI's savers."""
    levels: npt.NDArray[np.uint8] = np.clip(np.float32(255.0) * image, 0, 255).astype(np.uint8)
    return levels


def from_bytes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The inverse of :func:`to_bytes`."""
    return pixels.astype(np.float32) / np.float32(255.0)


def _nearest(size: int, target: int) -> npt.NDArray[np.intp]:
    scale = np.float32(size / target)
    index = np.floor((np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale).astype(np.intp)
    nearest: npt.NDArray[np.intp] = np.minimum(index, size - 1)
    return nearest


def _source(size: int, target: int) -> npt.NDArray[np.float32]:
    scale = np.float32(size / target)
    return scale * (np.arange(target, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)


def fused(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], c: npt.NDArray[np.float32]) -> Image:
    """``a * b + c``, rounded once like the processor's fused instruction, which torch's kernels use.

    The product of two floats is exact in double precision. The sum is rounded twice, which never shows in 8 bits.
    """
    exact = a.astype(np.float64) * b + c
    return exact.astype(np.float32)


def _linear(size: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Image, Image]:
    """The two source pixels for each target pixel, and their weights."""
    scale = np.full(target, size / target, dtype=np.float32)
    centre = np.arange(target, dtype=np.float32) + np.float32(0.5)
    position = np.maximum(fused(scale, centre, np.full(target, -0.5, dtype=np.float32)), np.float32(0))
    low = np.minimum(position.astype(np.intp), size - 1)
    part = np.clip(position - low.astype(np.float32), 0, 1).astype(np.float32)
    return low, np.minimum(low + 1, size - 1), np.float32(1) - part, part


_SMALL = 128
"""Up to this sum of sides, or with four channels or more, torch weights four pixels at once, not axis by axis."""


def _bilinear(image: Image, width: int, height: int) -> Image:
    top, bottom, above, below = _linear(image.shape[1], height)
    left, right, before, after = _linear(image.shape[2], width)
    above, below = above[None, :, None, None], below[None, :, None, None]
    before, after = before[None, None, :, None], after[None, None, :, None]
    upper, lower = image[:, top], image[:, bottom]
    if width + height <= _SMALL or image.shape[3] >= 4:
        total = fused(above * before, upper[:, :, left], (above * after) * upper[:, :, right])
        total = fused(below * before, lower[:, :, left], total)
        return fused(below * after, lower[:, :, right], total)
    row_above = fused(before, upper[:, :, left], after * upper[:, :, right])
    row_below = fused(before, lower[:, :, left], after * lower[:, :, right])
    return fused(above, row_above, below * row_below)


def _cubic_weights(size: int, target: int) -> Weights:
    position = _source(size, target)
    base = np.floor(position)
    part = (position - base).astype(np.float32)
    start = base.astype(np.intp)

    def near(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return ((_CUBIC_A + 2) * x - (_CUBIC_A + 3)) * x * x + 1

    def far(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return ((_CUBIC_A * x - 5 * _CUBIC_A) * x + 8 * _CUBIC_A) * x - 4 * _CUBIC_A

    values = (far(part + 1), near(part), near(1 - part), far(2 - part))
    return [(np.clip(start + k - 1, 0, size - 1), weight.astype(np.float32)) for k, weight in enumerate(values)]


def _along(image: Image, axis: int, weights: Weights) -> Image:
    shape = [1] * image.ndim
    shape[axis] = -1
    total: Image | None = None
    for index, weight in weights:
        part = np.take(image, index, axis=axis) * weight.reshape(shape)
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - there is always a weight
    return total


def _area(image: Image, axis: int, target: int) -> Image:
    size = image.shape[axis]
    starts = [(k * size) // target for k in range(target)]
    ends = [-((-(k + 1) * size) // target) for k in range(target)]
    parts = [
        np.take(image, range(a, b), axis=axis).mean(axis=axis, keepdims=True, dtype=np.float32)
        for a, b in zip(starts, ends, strict=True)
    ]
    return np.concatenate(parts, axis=axis)


def _lanczos(image: Image, width: int, height: int) -> Image:
    from PIL import Image as Pillow

    if image.ndim == 3:
        count, channels = image.shape[0], image.shape[2]
        size = count * width * height
        raise RuntimeError(f"shape '{[count, -1, channels, height, width]}' is invalid for input of size {size}")
    frames = []
    for item in image:
        pixels = to_bytes(item)
        # One channel is a grey picture, since ComfyUI 0.10; before, that was an error.
        picture = Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        resized = np.asarray(picture.resize((width, height), resample=Pillow.Resampling.LANCZOS))
        frames.append(from_bytes(resized.reshape(height, width, -1)))
    return stacked(frames)


def resize(image: Image, width: int, height: int, method: str) -> Image:
    """Scale the image to a size. Raises ``ValueError`` for an unknown method, ``RuntimeError`` for an empty size."""
    if method == "lanczos":
        return _lanczos(image, width, height)
    shape = channels_second(image.shape)
    if method == "area" and len(shape) == 4:
        # torch computes area means with another function, which accepts empty sizes.
        check_pooled(shape)
        if min(height, width) == 0:
            return np.zeros((len(image), height, width, image.shape[-1]), dtype=np.float32)
    else:
        check_plane(shape[2:], (height, width))
    rows, columns = image.shape[1], image.shape[2]
    if method == "nearest-exact":
        return image[:, _nearest(rows, height)][:, :, _nearest(columns, width)]
    if method == "bilinear":
        return _bilinear(image, width, height)
    if method == "bicubic":
        across = _along(image, 2, _cubic_weights(columns, width))
        return _along(across, 1, _cubic_weights(rows, height))
    if method == "area":
        return _area(_area(image, 2, width), 1, height)
    raise ValueError(f"unknown resampling method {method!r}")


def scale(image: Image, width: int, height: int, method: str, crop: str = "disabled") -> Image:
    """Like :func:`resize`. If ``crop`` is ``"center"``, the image is first cut to the new aspect ratio."""
    if crop == "center":
        old_height, old_width = image.shape[1], image.shape[2]
        old_aspect, new_aspect = old_width / old_height, width / height
        x = y = 0
        if old_aspect > new_aspect:
            x = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
        elif old_aspect < new_aspect:
            y = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
        image = image[:, y : old_height - y, x : old_width - x]
    return resize(image, width, height, method)


def scale_picture(image: Image, width: int, height: int, method: str, crop: str = "disabled") -> Image:
    """Like :func:`scale`, for nodes of pictures: by Lanczos, a grey one comes out without a channel, on its side.

    ComfyUI's Lanczos returns grey pictures without a channel since 0.10, and these nodes move an axis all the same.
    """
    result = scale(image, width, height, method, crop)
    if method == "lanczos" and image.shape[-1] == 1:
        return np.ascontiguousarray(result[..., 0].swapaxes(1, 2))
    return result


def scale_mask(mask: npt.NDArray[np.float32], width: int, height: int, method: str = "bilinear") -> Image:
    """Scale any ``[..., height, width]``, such as a mask, to a new size; returns ``[batch, height, width, 1]``."""
    return resize(regrouped(mask, 1, *plane_sides(mask))[:, 0, ..., None], width, height, method)


def repeat_to(array: Image, count: int) -> Image:
    """The first ``count`` items. A shorter batch is repeated."""
    if array.shape[0] >= count:
        return array[:count]
    times = math.ceil(count / array.shape[0])
    return np.concatenate([array] * times)[:count]
