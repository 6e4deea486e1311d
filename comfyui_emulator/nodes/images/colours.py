"""Nodes for colours: a picker, and the transfer of one picture's colours to another (since ComfyUI 0.12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import Entry, Image, branching, choice, integer, link, node, number
from comfyui_emulator.nodes.images.regions import rgb_of
from comfyui_emulator.nodes.images.srgb import to_levels, to_light
from comfyui_emulator.nodes.wording import channels_second

Array = npt.NDArray[np.float32]


def color_input(default: str = "#ffffff") -> Entry:
    """A colour, as a widget."""
    return ["COLOR", {"default": default, "socketless": True}]


def levels_of(color: str) -> Array:
    """The levels from 0 to 1 of ``#rrggbb``; black for a text of another length.

    Raises ``ValueError`` if the six characters are not hexadecimal digits.
    """
    digits = color.lstrip("#")
    levels = [int(digits[k : k + 2], 16) for k in (0, 2, 4)] if len(digits) == 6 else [0, 0, 0]
    return np.array(levels, dtype=np.float32) / np.float32(255)


_WRONG_COLOR = "Color must be in format #RRGGBB or #RRGGBBAA"


@node(
    "ColorToRGBInt",
    {"color": color_input()},
    "INT COLOR FLOAT",
    names="rgb_int hex alpha",
    module="comfy_extras.nodes_color",
    category="utilities",
    title="Color Picker",
    v3=True,
)
def color_parts(color: str) -> tuple[int, str, float]:
    """A colour as a number, without its alpha, and that alpha. Raises ``ValueError`` for anything else."""
    if len(color) not in (7, 9) or color[0] != "#":
        raise ValueError(_WRONG_COLOR)
    try:
        int(color[1:], 16)
    except ValueError:
        raise ValueError(_WRONG_COLOR) from None
    alpha = int(color[7:9], 16) / 255.0 if len(color) == 9 else 1.0
    red, green, blue = rgb_of(color[:7])
    return red << 16 | green << 8 | blue, color[:7], alpha


# sRGB to XYZ and back, the white of D65, and the straight part of the curve, with kornia's digits.
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], dtype=np.float32
)
_FROM_XYZ = np.array(
    [
        [3.2404813432005266, -1.5371515162713185, -0.4985363261688878],
        [-0.9692549499965682, 1.8759900014898907, 0.0415559265582928],
        [0.0556466391351772, -0.2040413383665112, 1.0573110696453443],
    ],
    dtype=np.float32,
)
_WHITE = np.array([[0.95047], [1.0], [1.08883]], dtype=np.float32)
_DARKEST, _SLOPE, _LIFT = np.float32(0.008856), np.float32(7.787), np.float32(4.0 / 29.0)


def to_lab(image: Image) -> Array:
    """One image as CIELAB: three rows of pixels. Raises ``ValueError`` unless it has three channels."""
    if image.shape[-1] != 3:
        shape = channels_second((1, *image.shape))
        raise ValueError(f"Input size must have a shape of (*, 3, H, W). Got torch.Size({list(shape)})")
    part = (_TO_XYZ @ to_light(image.reshape(-1, 3).T)) / _WHITE
    root = np.maximum(part, _DARKEST) ** np.float32(1 / 3.0)
    x, y, z = np.where(part > _DARKEST, root, _SLOPE * part + _LIFT).astype(np.float32)
    return np.stack([np.float32(116) * y - np.float32(16), np.float32(500) * (x - y), np.float32(200) * (y - z)])


def from_lab(lab: Array) -> Array:
    """The inverse of :func:`to_lab`, as three rows of levels from 0 to 1."""
    y = (lab[0] + np.float32(16)) / np.float32(116)
    part = np.stack([lab[1] / np.float32(500) + y, y, np.maximum(y - lab[2] / np.float32(200), 0)])
    light = np.where(part > np.float32(0.2068966), part**3, (part - _LIFT) / _SLOPE).astype(np.float32) * _WHITE
    return np.clip(to_levels(_FROM_XYZ @ light), 0, 1)


_EPSILON = np.float32(1e-6)
Statistics = tuple[Array, Array]
"""The mean of each row, and its deviation or the covariance of all rows."""


def _statistics(frames: Image, *, plain: bool) -> Statistics:
    """Of all frames together; deviations if ``plain``, else covariances."""
    rows = [to_lab(frame) for frame in frames]
    mean = sum((row.mean(axis=1, keepdims=True) for row in rows), np.zeros((3, 1), np.float32)) / np.float32(len(rows))
    spread = np.zeros((3, 1 if plain else 3), dtype=np.float32)
    for row in rows:
        centred = row - mean
        if plain:
            spread += (centred * centred).mean(axis=1, keepdims=True)
        else:
            spread += centred @ centred.T / np.float32(row.shape[1])
    spread = (spread / np.float32(len(rows))).astype(np.float32)
    return mean.astype(np.float32), np.maximum(np.sqrt(spread), _EPSILON) if plain else spread


def _matrix(ours: Statistics, theirs: Statistics, *, plain: bool) -> Array:
    """What turns our deviations from the mean into theirs; for covariances the least change (Monge-Kantorovitch)."""
    if plain:
        return np.diag((theirs[1] / ours[1])[:, 0])
    values, vectors = np.linalg.eigh(ours[1])
    root = np.maximum(np.sqrt(np.maximum(values, 0)), _EPSILON)
    wide, narrow = vectors * root, vectors * (np.float32(1) / root)
    inner_values, inner = np.linalg.eigh(wide.T @ theirs[1] @ wide)
    half = (inner * np.sqrt(np.maximum(inner_values, 0))) @ inner.T
    matrix: Array = (narrow @ half @ narrow.T).astype(np.float32)
    return matrix


Change = Callable[[int, Image], Image]
"""A frame with new colours; for ``strength`` it is mixed with the old ones."""


def _in_lab(target: Image, reference: Image, mode: str, index: int, strength: float, *, plain: bool) -> Change:
    """The transfer by means and deviations in CIELAB."""
    shared: tuple[Statistics, Statistics] | None = None
    if mode != "per_frame":
        base = target if mode == "uniform" else target[min(index, len(target) - 1)][None]
        shared = _statistics(base, plain=plain), _statistics(reference, plain=plain)

    def change(number: int, frame: Image) -> Image:
        lab = to_lab(frame)
        ours, theirs = shared or (
            _statistics(frame[None], plain=plain),
            _statistics(reference[min(number, len(reference) - 1)][None], plain=plain),
        )
        fitted = _matrix(ours, theirs, plain=plain) @ (lab - ours[0]) + theirs[0]
        mixed = fitted if strength == 1.0 else lab + np.float32(strength) * (fitted - lab)
        return from_lab(mixed).T.reshape(frame.shape)

    return change


_BINS = 256


def _shares(frames: Image) -> npt.NDArray[np.float32]:
    """For each channel the share of pixels up to each of 256 levels."""
    levels = np.clip((frames * np.float32(_BINS - 1)).astype(np.int64), 0, _BINS - 1)
    channels = frames.shape[-1]
    counts = np.stack([np.bincount(levels[..., k].ravel(), minlength=_BINS) for k in range(channels)])
    sums = np.cumsum(counts, axis=1).astype(np.float32)
    shares: npt.NDArray[np.float32] = sums / sums[:, -1:]
    return shares


def _table(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> Array:
    """For each channel and level the level that as many pixels of the reference reach."""
    if len(ours) != len(theirs):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(theirs.shape)} and input "
            f"value tensor {list(ours.shape)}"
        )
    found = [np.searchsorted(line, mine) for line, mine in zip(theirs, ours, strict=True)]
    levels: Array = np.minimum(np.stack(found), _BINS - 1).astype(np.float32) / np.float32(_BINS - 1)
    return levels


def _by_histogram(target: Image, reference: Image, mode: str, index: int, strength: float) -> Change:
    """The transfer of each channel by itself, so that its histogram becomes that of the reference."""
    shared: Array | None = None
    if mode != "per_frame":
        base = target if mode == "uniform" else target[min(index, len(target) - 1)][None]
        shared = _table(_shares(base), _shares(reference))

    def change(number: int, frame: Image) -> Image:
        own = reference[min(number, len(reference) - 1)][None]
        table = _table(_shares(frame[None]), _shares(own)) if shared is None else shared
        levels = np.clip((frame * np.float32(255)).astype(np.int64), 0, 255)
        fitted = np.stack([table[k][levels[..., k]] for k in range(frame.shape[-1])], axis=-1)
        return fitted if strength == 1.0 else frame + np.float32(strength) * (fitted - frame)

    return change


@node(
    "ColorTransfer",
    {
        "image_target": link("IMAGE"),
        "image_ref": link("IMAGE"),
        "method": choice(["reinhard_lab", "mkl_lab", "histogram"]),
        "source_stats": branching(
            {"per_frame": {}, "uniform": {}, "target_frame": {"target_index": integer(0, 0, 10000)}}
        ),
        "strength": number(1.0, 0.0, 10.0, step=0.01),
    },
    "IMAGE",
    names="image",
    module="comfy_extras.nodes_post_processing",
    category="image/filters",
    title="Transfer Color",
    v3=True,
)
def transfer_colors(
    image_target: Image, image_ref: Image | None, method: str, source_stats: dict[str, Any], strength: float = 1.0
) -> Image:
    """Give the target the colours of the reference: each frame by itself, all together, or as one frame needs."""
    if strength == 0 or image_ref is None:
        return image_target
    count = image_target.shape[0]
    mode, index = source_stats["source_stats"], source_stats.get("target_index", 0)
    if method == "histogram":
        change = _by_histogram(image_target, image_ref, mode, index, strength)
    else:
        change = _in_lab(image_target, image_ref, mode, index, strength, plain=method == "reinhard_lab")
    result = np.empty(image_target.shape, dtype=np.float32)
    for position, frame in enumerate(image_target):
        result[position] = np.clip(change(position, frame), 0, 1)
        runtime.progress(position + 1, count)
    return result
