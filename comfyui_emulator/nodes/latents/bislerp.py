"""Scaling of latents by spherical interpolation of their channel vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.images.resample import resize

Array = npt.NDArray[np.float32]

_SAME = 1e-5
"""Two directions count as equal or opposite if their cosine is this close to 1 or -1."""


def _bent(first: Array, second: Array, share: Array) -> Array:
    """Interpolate vectors along the last axis: directions follow the arc, lengths the straight line."""
    lengths = [np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)) for vectors in (first, second)]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (
            np.where(length == 0, np.float32(0), vectors / length)
            for vectors, length in zip((first, second), lengths, strict=True)
        )
        cosine = (one * two).sum(axis=-1, keepdims=True)
        angle = np.arccos(cosine)
        sine = np.sin(angle)
        arc = np.sin((1 - share) * angle) / sine * one + np.sin(share * angle) / sine * two
        arc = arc * (lengths[0] * (1 - share) + lengths[1] * share)
    straight = first * (1 - share) + second * share
    bent: Array = np.where(cosine > 1 - _SAME, first, np.where(cosine < _SAME - 1, straight, arc)).astype(np.float32)
    return bent


def _neighbours(size: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Array]:
    """The two old cells for each new one, and the weight of the second."""
    line = np.arange(size, dtype=np.float32).reshape(1, 1, size, 1)
    place = resize(line, target, 1, "bilinear").reshape(-1)
    above = np.minimum(line + 1, np.float32(size - 1))
    following = resize(above, target, 1, "bilinear").reshape(-1)
    return place.astype(np.intp), following.astype(np.intp), place - np.floor(place)


def bislerp(samples: Array, width: int, height: int) -> Array:
    """Scale ``[batch, channel, height, width]`` by spherical interpolation of the channel vectors."""
    vectors = np.moveaxis(samples, 1, -1).astype(np.float32)
    low, high, share = _neighbours(vectors.shape[2], width)
    vectors = _bent(vectors[:, :, low], vectors[:, :, high], share[None, None, :, None])
    low, high, share = _neighbours(vectors.shape[1], height)
    vectors = _bent(vectors[:, low], vectors[:, high], share[None, :, None, None])
    return np.moveaxis(vectors, -1, 1)
