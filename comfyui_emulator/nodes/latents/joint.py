"""Latents of video and sound together: two arrays in one value (since ComfyUI 0.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import integer, link, node
from comfyui_emulator.nodes.images.resample import repeat_to
from comfyui_emulator.nodes.latents.resizing import Array, Latent
from comfyui_emulator.nodes.wording import must_have

_LATENT = link("LATENT")
_JOINT: dict[str, Any] = {"module": "comfy_extras.nodes_lt", "category": "model/latent/ltxv", "v3": True}


class Streams:
    """The arrays of a joint latent, video first. Shape and type are those of the video."""

    is_nested = True

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = list(parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the video."""
        return self.parts[0].shape

    @property
    def dtype(self) -> Any:
        """The type of the video's numbers."""
        return self.parts[0].dtype

    def unbind(self) -> list[Array]:
        """The arrays."""
        return self.parts


def is_joint(samples: object) -> bool:
    """Whether a latent's samples are video and sound together."""
    return bool(getattr(samples, "is_nested", False))


@node(
    "LTXVConcatAVLatent",
    {"video_latent": _LATENT, "audio_latent": _LATENT},
    "LATENT",
    names="latent",
    title="Concat AV Latent",
    **_JOINT,
)
def concat(video_latent: Latent, audio_latent: Latent) -> tuple[Latent]:
    """Video and sound in one latent. Of a joint latent, the sound is replaced, and the new one fitted to its length."""
    joint: Latent = {}
    joint.update(video_latent)
    joint.update(audio_latent)
    video, audio = video_latent["samples"], audio_latent["samples"]
    masks = [video_latent.get("noise_mask"), audio_latent.get("noise_mask")]
    must_have(video, "is_nested")
    if is_joint(video):
        video, former = video.unbind()[:2]
        if masks[0] is not None:
            masks[0] = masks[0].unbind()[0]
        audio, masks[1] = _fitted(audio, former, masks[1])
    joint["samples"] = Streams((video, audio))
    if any(mask is not None for mask in masks):
        filled = [
            np.ones_like(part) if mask is None else mask for part, mask in zip((video, audio), masks, strict=True)
        ]
        joint["noise_mask"] = Streams(filled)
    return (joint,)


def _fitted(audio: Array, former: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """The sound cut or padded with zeros to another's length; what is padded may change when it is sampled."""
    differing = [axis for axis in range(former.ndim) if former.shape[axis] != audio.shape[axis]]
    if not differing:
        return audio, mask
    if len(differing) > 1 or differing[0] < 2:
        raise ValueError(f"audio latent {tuple(audio.shape)} cannot be fitted to {tuple(former.shape)}")
    axis = differing[0]
    length = former.shape[axis]
    if mask is not None:
        mask = _reshaped(mask, audio.shape)
    if audio.shape[axis] > length:
        cut = (slice(None),) * axis + (slice(length),)
        return audio[cut], None if mask is None else mask[cut]
    missing = list(audio.shape)
    missing[axis] = length - audio.shape[axis]
    padded = np.concatenate([audio, np.zeros(missing, np.float32)], axis)
    return padded, None if mask is None else np.concatenate([mask, np.ones(missing, np.float32)], axis)


def _reshaped(mask: Array, shape: tuple[int, ...]) -> Array:
    """A mask of any size as one number for each number of an array."""
    if len(shape) == 4:
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
    elif len(shape) == 5 and mask.ndim < 5:
        mask = mask.reshape(1, 1, -1, *mask.shape[-2:])
    for axis in range(2, len(shape)):
        mask = _resampled(mask, axis, shape[axis])
    if mask.shape[1] < shape[1]:
        mask = np.concatenate([mask] * shape[1], axis=1)[:, : shape[1]]
    return repeat_to(mask, shape[0])


def _resampled(array: Array, axis: int, size: int) -> Array:
    """Linear interpolation between the middles of cells."""
    last = array.shape[axis] - 1
    place = np.clip((np.arange(size) + 0.5) * (array.shape[axis] / size) - 0.5, 0, None)
    left = np.minimum(place.astype(int), last)
    share = (place - left).astype(np.float32).reshape(-1, *(1,) * (array.ndim - axis - 1))
    one, two = np.take(array, left, axis), np.take(array, np.minimum(left + 1, last), axis)
    mixed: Array = one * (np.float32(1) - share) + two * share
    return mixed


@node(
    "LTXVSeparateAVLatent",
    {"av_latent": _LATENT},
    "LATENT LATENT",
    names="video_latent audio_latent",
    title="Separate AV Latent",
    **_JOINT,
)
def separate(av_latent: Latent) -> tuple[Latent, Latent]:
    """The video and the sound of a joint latent, each with its mask. Of another latent, the first two of the batch."""
    video, audio = ({**av_latent, "samples": part} for part in _two(av_latent["samples"]))
    masks = av_latent.get("noise_mask")
    if masks is not None:
        video["noise_mask"], audio["noise_mask"] = _two(masks)
    return video, audio


def _two(samples: Any) -> tuple[Array, Array]:
    must_have(samples, "unbind")
    parts = samples.unbind() if is_joint(samples) else tuple(samples)
    return parts[0], parts[1]


_FRAMES, _FIRST = 17, 5
"""MiniMax's models take 5 frames and then groups of 17."""


@node(
    "EmptyMiniMaxH3LatentAV",
    {
        "width": integer(1344, 32, 16384, step=32),
        "height": integer(768, 32, 16384, step=32),
        "length": integer(124, 5, 3600, step=17),
    },
    "LATENT",
    module="comfy_extras.nodes_minimax_h3",
    category="model/latent/minimax",
    title="Empty MiniMax H3 AV Latent",
    v3=True,
)
def empty_minimax(width: int, height: int, length: int) -> tuple[Latent]:
    """Zeros for video at 24 frames a second and sound at 40 cells, of the next length that the model can make."""
    groups = max(0, -(-(length - _FIRST) // _FRAMES))
    frames = _FIRST + groups * _FRAMES
    video = np.zeros((1, 24, 2 + groups * 5, height // 16, width // 16), dtype=np.float32)
    audio = np.zeros((1, 32, 2, round(frames / 24 * 40)), dtype=np.float32)
    return ({"samples": Streams((video, audio))},)
