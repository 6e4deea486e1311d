"""Nodes that prepare videos for SeedVR2, and give its results the colours of the original (since ComfyUI 0.25)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, choice, link, node
from comfyui_emulator.nodes.images.colours import from_lab, to_lab
from comfyui_emulator.nodes.wording import check_alike, must_have

_SEEDVR: dict[str, Any] = {"module": "comfy_extras.nodes_seedvr", "v3": True, "names": "images"}
_CELL = 16
_STEP = 4


@node(
    "SeedVR2Preprocess",
    {"resized_images": link("IMAGE")},
    "IMAGE",
    category="image/pre-processors",
    title="Pre-Process SeedVR2 Input",
    touches={"resized_images": "dim"},
    **_SEEDVR,
)
def prepare(resized_images: Image) -> Image:
    """One video of all images: without alpha, with sides of 16 and 4 n + 1 frames. Adds black, and the last frame."""
    video = _video(resized_images, "SeedVR2Preprocess")
    height, width = video.shape[2:4]
    if min(height, width) < 2:
        raise ValueError(f"SeedVR2Preprocess: input shorter edge must be at least 2 pixels; got {min(height, width)}.")
    if not video.shape[1]:
        raise ValueError("SeedVR2Preprocess expected at least one frame.")
    count = video.shape[1]
    missing = -(count - 1) % _STEP
    video = np.clip(video[..., :3], 0.0, 1.0)
    video = np.pad(video, ((0, 0), (0, 0), (0, -height % _CELL), (0, -width % _CELL), (0, 0)))
    return np.pad(video, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0)), mode="edge")


def _video(images: Image, name: str) -> Image:
    """Images as ``[batch, time, height, width, channel]``. A batch is one video."""
    if images.ndim not in (4, 5):
        raise ValueError(f"{name}: expected 4-D or 5-D IMAGE tensor, got shape {images.shape}")
    return images[None] if images.ndim == 4 else images


@node(
    "SeedVR2PostProcessing",
    {
        "images": link("IMAGE"),
        "original_resized_images": link("IMAGE"),
        "color_correction_method": choice(["lab", "wavelet", "adain", "none"], default="lab"),
    },
    "IMAGE",
    category="image/post-processors",
    title="Post-Process SeedVR2 Output",
    **_SEEDVR,
)
def restore(images: Image, original_resized_images: Image, color_correction_method: str) -> Image:
    """Cut the result to the original, give it its colours and its alpha, and make the sides even."""
    must_have(original_resized_images, "shape")
    video = _video(images, "SeedVR2PostProcessing")
    original = _video(original_resized_images, "SeedVR2PostProcessing")
    video = _regrouped(video, original.shape[:2])
    batch, time, height, width = (min(pair) for pair in zip(video.shape[:4], original.shape[:4], strict=True))
    video = video[:batch, :time, :height, :width]
    alpha = original[..., 3:] if original.shape[-1] == 4 else None
    original = original[:batch, :time, ..., : 3 if alpha is not None else None]
    if color_correction_method != "none":
        correct = _CORRECTIONS[color_correction_method]
        if 0 in (batch, time):
            raise ValueError("SeedVR2PostProcessing: color correction requires at least one frame.")
        flat = zip(video.reshape(-1, *video.shape[2:]), original.reshape(-1, *original.shape[2:]), strict=True)
        frames = [correct(frame * 2 - 1, _resized(known, width, height) * 2 - 1) for frame, known in flat]
        video = np.clip((np.stack(frames).reshape(batch, time, height, width, -1) + 1) / 2, 0, 1)
    if alpha is not None:
        video = np.concatenate([video, alpha[:batch, :time, :height, :width]], axis=-1)
    video = video[:, :, : height // 2 * 2, : width // 2 * 2].astype(np.float32)
    return video.reshape(-1, *video.shape[2:]) if images.ndim == 4 else video


def _regrouped(video: Image, known: tuple[int, ...]) -> Image:
    """The video as the batch that the original was, where it came as one."""
    batch, time = known
    if video.shape[0] != 1 or batch < 1 or video.shape[1] % batch or video.shape[1] // batch < time:
        return video
    return video.reshape(batch, -1, *video.shape[2:])


def _resized(image: Image, width: int, height: int) -> Image:
    """Scaled with cubic weights over all pixels that a new one covers."""
    for axis, length in ((0, height), (1, width)):
        if image.shape[axis] != length:
            weights = _cubic(image.shape[axis], length)
            image = np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis).astype(np.float32)
    return image


def _cubic(size: int, target: int) -> npt.NDArray[np.float32]:
    factor = size / target
    stretch = max(factor, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * factor
    x = np.abs((np.arange(size)[None] + 0.5 - centres) / stretch)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    normal: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


_LEVELS = 5
_KERNEL = ((-1, 0.25), (0, 0.5), (1, 0.25))


def _blurred(image: Image, radius: int) -> Image:
    """The mean with neighbours that far away; at most an eighth of the shorter side."""
    radius = min(radius, max(1, min(image.shape[:2]) // 8))
    for axis in (0, 1):
        padding = [(0, 0)] * 3
        padding[axis] = (radius, radius)
        padded = np.pad(image, padding, mode="edge")
        length = image.shape[axis]
        parts = [
            np.take(padded, range(radius + step * radius, radius + step * radius + length), axis=axis)
            * np.float32(weight)
            for step, weight in _KERNEL
        ]
        image = parts[0] + parts[1] + parts[2]
    return image


def _split(image: Image) -> tuple[Image, Image]:
    """The details of five sizes, and what is left without them."""
    details = np.zeros_like(image)
    for level in range(_LEVELS):
        coarse = _blurred(image, 2**level)
        details += image - coarse
        image = coarse
    return details, image


def _by_wavelets(image: Image, original: Image) -> Image:
    """The image's details on the original's coarse colours."""
    _check_channels(image, original)
    whole: Image = np.clip(_split(image)[0] + _split(original)[1], -1.0, 1.0)
    return whole


def _check_channels(image: Image, original: Image) -> None:
    """Raise torch's error unless the original fits into the image, where one channel does for several."""
    ours, theirs = ([1, picture.shape[-1], *picture.shape[:2]] for picture in (image, original))
    check_alike(ours, theirs)
    if ours[1] < theirs[1]:
        raise RuntimeError(f"output with shape {ours} doesn't match the broadcast shape {theirs}")


def _by_means(image: Image, original: Image) -> Image:
    """Each channel with the original's mean and deviation."""

    def moments(picture: Image) -> tuple[Image, Image]:
        deviation = np.sqrt(picture.var(axis=(0, 1)) + np.float32(1e-5))
        return picture.mean(axis=(0, 1)), deviation

    (mean, deviation), (wanted, spread) = moments(image), moments(original)
    whole: Image = np.clip((image - mean) / deviation * spread + wanted, -1.0, 1.0)
    return whole


_CHANNELS = 3
_OWN = np.float32(0.8)
"""The share of an image's own brightness."""


def _in_lab(image: Image, original: Image) -> Image:
    """The image's details with the original's colours: the same values of each, in the image's order."""
    image = _by_wavelets(image, original)
    if original.shape[-1] != _CHANNELS:
        raise RuntimeError(f"shape '[-1, {_CHANNELS}]' is invalid for input of size {original.size}")
    ours, theirs = (to_lab(np.clip((picture + 1) / 2, 0, 1)) for picture in (image, original))
    matched = np.stack([_matched(mine, wanted) for mine, wanted in zip(ours, theirs, strict=True)])
    matched[0] = ours[0] * _OWN + matched[0] * (1 - _OWN)
    return from_lab(matched).T.reshape(image.shape) * 2 - 1


def _matched(values: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    result = np.empty_like(values)
    result[np.argsort(values, kind="stable")] = np.sort(wanted)
    return result


_CORRECTIONS: dict[str, Callable[[Image, Image], Image]] = {
    "lab": _in_lab,
    "wavelet": _by_wavelets,
    "adain": _by_means,
}
