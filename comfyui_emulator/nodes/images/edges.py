"""Canny edge detection in the same steps as kornia."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, link, node, number
from comfyui_emulator.nodes.wording import channels_second, check_mirror

_LUMA = (0.299, 0.587, 0.114)
_TINY = np.float32(1e-6)
_RING = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""The eight neighbours as (row, column), in steps of 45 degrees."""

_REACH = 2
"""The radius of the Gaussian in pixels."""


class BaseError(Exception):
    """Base class of the errors, which has the name of kornia's."""

    __module__ = "kornia.core.exceptions"


class ShapeError(BaseError):
    """Raised for a wrong number of dimensions."""

    __module__ = "kornia.core.exceptions"


class ImageError(BaseError):
    """Raised for a wrong number of channels."""

    __module__ = "kornia.core.exceptions"


Plane = npt.NDArray[np.float32]


def _smooth(plane: Plane) -> Plane:
    """Blur with a Gaussian of 5 x 5 pixels and a sigma of 1. The plane is mirrored at its edges."""
    line = np.exp(-(np.arange(-2, 3, dtype=np.float32) ** 2) / np.float32(2))
    line = line / line.sum()
    height, width = plane.shape[1:]
    padded = np.pad(plane, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    rows = sum(padded[:, :, k : k + width] * line[k] for k in range(5))
    smooth: Plane = np.asarray(sum(rows[:, k : k + height] * line[k] for k in range(5)), dtype=np.float32)
    return smooth


def _slopes(plane: Plane) -> tuple[Plane, Plane]:
    """Sobel differences along columns and rows. Edge pixels are repeated outside the plane."""
    p = np.pad(plane, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = p[:, :, 2:] - p[:, :, :-2]
    down = p[:, 2:] - p[:, :-2]
    two = np.float32(2)
    dx = across[:, :-2] + two * across[:, 1:-1] + across[:, 2:]
    dy = down[:, :, :-2] + two * down[:, :, 1:-1] + down[:, :, 2:]
    return dx, dy


def _neighbour(plane: Plane, offset: tuple[int, int]) -> Plane:
    """The value one step away; 0 outside the plane."""
    height, width = plane.shape[1:]
    padded = np.pad(plane, ((0, 0), (1, 1), (1, 1)))
    row, column = 1 + offset[0], 1 + offset[1]
    return padded[:, row : row + height, column : column + width]


def _thin(strength: Plane, dx: Plane, dy: Plane) -> Plane:
    """Keep pixels that are stronger than both neighbours across the edge."""
    steps = np.rint(np.rad2deg(np.arctan2(dy, dx)) / np.float32(45)).astype(int) % 8
    around = np.stack([strength - _neighbour(strength, offset) for offset in _RING])
    ahead = np.take_along_axis(around, steps[None], axis=0)[0]
    behind = np.take_along_axis(around, (steps + 4)[None] % 8, axis=0)[0]
    kept: Plane = strength * (np.minimum(ahead, behind) > 0)
    return kept


def canny(image: Image, low: float, high: float) -> Plane:
    """1 on edges: those above ``high``, and those above ``low`` that are connected to them. 0 elsewhere."""
    if image.shape[-1] == 1:
        grey = image[..., 0]
    else:
        red, green, blue = (image[..., k] * np.float32(_LUMA[k]) for k in range(3))
        grey = red + green + blue
    dx, dy = _slopes(_smooth(grey))
    strength = _thin(np.sqrt(dx * dx + dy * dy + _TINY), dx, dy)
    weak, strong = strength > np.float32(low), strength > np.float32(high)
    edges = weak & strong
    waiting = weak & ~strong
    while True:
        reached = np.zeros_like(edges)
        for offset in _RING:
            reached |= _neighbour(edges.astype(np.float32), offset) > 0
        grown = reached & waiting
        if not grown.any():
            return edges.astype(np.float32)
        edges |= grown
        waiting &= ~grown


@node(
    "Canny",
    {
        "image": link("IMAGE"),
        "low_threshold": number(0.4, 0.01, 0.99, step=0.01),
        "high_threshold": number(0.8, 0.01, 0.99, step=0.01),
    },
    "IMAGE",
    module="comfy_extras.nodes_canny",
    category="image/filters",
    title="Detect Edges (Canny)",
    v3=True,
    touches={"image": "to"},
)
def canny_node(image: Image, low_threshold: float, high_threshold: float) -> Image:
    """White edges on black. Raises kornia's errors for wrong shapes and for thresholds in the wrong order."""
    shape = channels_second(image.shape)
    if len(shape) != 4:
        raise ShapeError(
            f"Shape dimension mismatch: expected 4 dimensions, got {len(shape)}.\n"
            f"  Expected shape: ['B', 'C', 'H', 'W']\n  Actual shape: {list(shape)}"
        )
    if shape[1] not in (1, 3):
        raise ImageError(f"Not a color or gray tensor. Got shape {list(shape)}.\ncanny expects 1 or 3 channels.")
    if low_threshold > high_threshold:
        raise BaseError(
            "Invalid input thresholds. low_threshold should be smaller than or equal to the high_threshold. "
            f"Got: {low_threshold}>{high_threshold}"
        )
    check_mirror((shape[0], 1, *shape[2:]), _REACH)
    return np.repeat(canny(image, low_threshold, high_threshold)[..., None], 3, axis=-1)
