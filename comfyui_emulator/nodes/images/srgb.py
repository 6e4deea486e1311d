"""The curve of sRGB, between the levels of a screen and amounts of light."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def to_light(levels: Array) -> npt.NDArray[np.float32]:
    """Levels as amounts of light."""
    bright = ((np.maximum(levels, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(levels <= 0.04045, levels / 12.92, bright).astype(np.float32)


def to_levels(light: Array) -> npt.NDArray[np.float32]:
    """The inverse of :func:`to_light`."""
    bright = 1.055 * np.maximum(light, 0.0) ** (1.0 / 2.4) - 0.055
    return np.where(light <= 0.0031308, 12.92 * light, bright).astype(np.float32)
