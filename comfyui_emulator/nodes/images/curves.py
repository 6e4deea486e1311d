"""Nodes for curves of levels, and for histograms (since ComfyUI 0.19)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, link, node
from comfyui_emulator.nodes.wording import must_have

log = logging.getLogger("comfyui_emulator")

JsonObject = dict[str, Any]
Line = npt.NDArray[np.float64]


class StraightCurve:
    """A curve through control points, level before the first and after the last. This one has straight parts."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = sorted(((float(x), float(y)) for x, y in points), key=lambda point: point[0])
        self._xs, self._ys = (np.array([point[k] for point in self._points]) for k in (0, 1))

    @property
    def points(self) -> list[tuple[float, float]]:
        """The control points from left to right."""
        return list(self._points)

    def interp(self, x: float) -> float:
        """The curve's height at ``x``."""
        return float(self.interp_array(np.array([x]))[0])

    def interp_array(self, xs: Line) -> Line:
        """Its heights at several places."""
        if len(self._xs) < 2:
            return np.full(len(xs), self._ys[0] if len(self._ys) else 0.0)
        return self._between(np.asarray(xs, dtype=np.float64))

    def to_lut(self, size: int = 256) -> Line:
        """Its heights at ``size`` places from 0 to 1."""
        return self.interp_array(np.linspace(0.0, 1.0, size))

    def _between(self, xs: Line) -> Line:
        heights: Line = np.interp(xs, self._xs, self._ys)
        return heights


class MonotoneCurve(StraightCurve):
    """A curve of cubic parts that never runs beyond its points (Fritsch and Carlson, 1980)."""

    def _slopes(self) -> list[float]:
        steps = [(b[1] - a[1]) / (b[0] - a[0]) if b[0] != a[0] else 0.0 for a, b in pairwise(self._points)]
        slopes = [0.0 if a * b <= 0 else (a + b) / 2 for a, b in pairwise(steps)]
        slopes = [steps[0], *slopes, steps[-1]]
        for k, step in enumerate(steps):
            if step == 0:
                slopes[k] = slopes[k + 1] = 0.0
                continue
            length = math.hypot(slopes[k] / step, slopes[k + 1] / step)
            if length > 3:
                slopes[k], slopes[k + 1] = slopes[k] * 3 / length, slopes[k + 1] * 3 / length
        return slopes

    def _between(self, xs: Line) -> Line:
        places, heights, slopes = self._xs, self._ys, np.array(self._slopes())
        right = np.clip(np.searchsorted(places, xs, side="right"), 1, len(places) - 1)
        left = right - 1
        width = places[right] - places[left]
        share = np.where(width == 0, 0.0, (xs - places[left]) / np.where(width == 0, 1.0, width))
        square, cube = share**2, share**3
        result = (2 * cube - 3 * square + 1) * heights[left] + (cube - 2 * square + share) * width * slopes[left]
        result += (3 * square - 2 * cube) * heights[right] + (cube - square) * width * slopes[right]
        within: Line = np.where(xs >= places[-1], heights[-1], np.where(xs <= places[0], heights[0], result))
        return within


def curve_of(value: Any) -> StraightCurve:
    """A curve from what the editor holds, or from bare points."""
    if isinstance(value, StraightCurve):
        return value
    points, kind = (value["points"], value.get("interpolation")) if isinstance(value, dict) else (value, None)
    if kind == "linear":
        return StraightCurve(points)
    if kind not in (None, "monotone_cubic"):
        log.warning("there is no interpolation %r of curves: monotone_cubic is taken", kind)
    return MonotoneCurve(points)


_LEVEL = {"points": [[0.0, 0.0], [1.0, 1.0]], "interpolation": "monotone_cubic"}


@node(
    "CurveEditor",
    {"curve": ["CURVE", {"default": _LEVEL, "socketless": True}]},
    "CURVE",
    names="curve",
    optional={"histogram": link("HISTOGRAM")},
    module="comfy_extras.nodes_curve",
    category="utilities",
    title="Curve Editor",
    v3=True,
    HAS_INTERMEDIATE_OUTPUT=True,
)
def edit_curve(curve: Any, histogram: Sequence[int] | None = None) -> JsonObject:
    """The curve that the editor holds. A histogram is shown behind it."""
    result: JsonObject = {"result": (curve_of(curve),)}
    return result if histogram is None else result | {"ui": {"histogram": list(histogram)}}


@node(
    "ImageHistogram",
    {"image": link("IMAGE")},
    "HISTOGRAM HISTOGRAM HISTOGRAM HISTOGRAM HISTOGRAM",
    names="rgb luminance red green blue",
    module="comfy_extras.nodes_curve",
    category="utilities",
    title="Image Histogram",
    v3=True,
)
def histogram_of(image: Image) -> tuple[list[int], ...]:
    """How many pixels of the first image have each of 256 levels: all channels' mean, brightness, and each channel."""
    first = image[0]
    must_have(first, "cpu")
    colours = [_counted(first[:, :, channel]) for channel in range(3)]
    red, green, blue = (first[:, :, channel] for channel in range(3))
    brightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    mean = sum(colours) // 3
    return tuple(counts.tolist() for counts in (mean, _counted(brightness), *colours))


def _counted(levels: Image) -> Any:
    return np.bincount(np.clip(levels * 255, 0, 255).astype(np.uint8).ravel(), minlength=256)
