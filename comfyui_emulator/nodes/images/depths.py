"""Nodes that show what a depth model found: how far each pixel is, where the sky is, which way a surface looks.

Their inputs (MOGE_GEOMETRY, DA3_GEOMETRY) come out of models, so a stand-in has to make them: dicts of arrays. Of
these, ``depth``, ``sky``, ``confidence`` and ``mask`` are ``[batch, height, width]``; ``points``, ``normal`` and
``image`` have three numbers for each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import Image, Mask, branching, choice, link, node, switch

Geometry = Mapping[str, Any]
Pixels = npt.NDArray[np.bool_]
_PLACE: dict[str, Any] = {"category": "image/geometry estimation", "v3": True}
_MOGE: dict[str, Any] = {"module": "comfy_extras.nodes_moge", **_PLACE}
_DA3: dict[str, Any] = {"module": "comfy_extras.nodes_depth_anything_3", **_PLACE}
_NARROW = np.float32(1e-6)
_SKY = np.float32(0.3)
"""From this probability on, a pixel is sky."""

_TURBO = (
    (0.13572138, 4.6153926, -42.66032258, 132.13108234, -152.94239396, 59.28637943),
    (0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604),
    (0.1066733, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973),
)
"""Mikhailov's polynomials for red, green and blue of the Turbo colours (2019)."""


def turbo(levels: Mask) -> Image:
    """Colours from dark blue over green to dark red."""
    found = levels.clip(0, 1).astype(np.float64)
    channels = [sum(factor * found**power for power, factor in enumerate(factors)) for factors in _TURBO]
    return np.stack(channels, axis=-1).clip(0, 1).astype(np.float32)


def _grey(levels: Mask) -> Image:
    return np.repeat(levels[..., None].astype(np.float32), 3, axis=-1)


def _shares(values: Mask, low: Any, high: Any) -> Mask:
    """Where values stand between two limits, 0 to 1."""
    share: Mask = ((values - low) / np.maximum(high - low, _NARROW)).clip(0, 1)
    return share


def _nearness(depth: Mask) -> Mask:
    """The reciprocal of depths from 0 to 1; 0 where there is none. One in a thousand is cut off at each end."""
    there: Pixels = np.isfinite(depth) & (depth > 0)
    if not there.any():
        return np.zeros_like(depth)
    near = np.divide(1, np.maximum(depth, _NARROW), where=there, out=np.zeros_like(depth))
    low, high = np.quantile(near[there], [0.001, 0.999]).astype(np.float32)
    return np.where(there, _shares(near, low, high), np.float32(0))


def finite(points: npt.NDArray[np.float32]) -> Pixels:
    """Where all three numbers of a point are finite."""
    return np.asarray(np.isfinite(points).all(axis=-1))


def _directions(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The way that a surface looks at each of its points, from the points beside; 0 where there is no point."""
    there = finite(points)
    known = np.where(there[..., None], points, np.float32(0))
    across, down = np.zeros_like(known), np.zeros_like(known)
    across[:, 1:-1] = known[:, 2:] - known[:, :-2]
    down[1:-1] = known[2:] - known[:-2]
    normal = np.cross(down, across)
    length = np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), np.float32(1e-12))
    return np.where(there[..., None], normal / length, np.float32(0)).astype(np.float32)


def _moge_source(geometry: Geometry, output: str) -> Any:
    """The arrays that are shown, and how each is made a picture. Raises ``ValueError`` if the model gave none."""
    if output in ("depth", "depth_colored"):
        if "depth" not in geometry:
            raise ValueError("moge_geometry has no depth output.")
        colours = turbo if output == "depth_colored" else _grey
        return geometry["depth"], lambda depth: colours(_nearness(depth))
    if output == "mask":
        if "mask" not in geometry:
            raise ValueError("moge_geometry has no mask output.")
        return geometry["mask"], _grey
    # The model's axes point down and away from the camera; normal maps point to it.
    axes = np.array([1, -1 if output == "normal_opengl" else 1, -1], np.float32)
    if "normal" in geometry:
        return geometry["normal"], lambda normal: (normal * axes * 0.5 + 0.5).clip(0, 1)
    if "points" in geometry:
        return geometry["points"], lambda points: (_directions(points) * axes * 0.5 + 0.5).clip(0, 1)
    raise ValueError("moge_geometry has neither normals nor points to derive normals from.")


@node(
    "MoGeRender",
    {
        "moge_geometry": link("MOGE_GEOMETRY"),
        "output": choice(["depth", "depth_colored", "normal_opengl", "normal_directx", "mask"], default="depth"),
    },
    "IMAGE",
    title="Render MoGe Geometry",
    **_MOGE,
)
def render_moge(moge_geometry: Geometry, output: str) -> Image:
    """A picture of MoGe's depths, directions or mask (since ComfyUI 0.22)."""
    source, shown = _moge_source(moge_geometry, output)
    pictures = []
    for index, found in enumerate(source):
        pictures.append(shown(np.asarray(found, dtype=np.float32)))
        runtime.progress(index + 1, len(source))
    return np.stack(pictures).astype(np.float32)


@node(
    "MoGeGeometryToFOV",
    {
        "moge_geometry": link("MOGE_GEOMETRY"),
        "axis": choice(["vertical", "horizontal", "diagonal"], default="vertical"),
        "unit": choice(["degrees", "radians"], default="degrees"),
    },
    "FLOAT FLOAT",
    names="fov focal_pixels",
    title="Get FoV from MoGe Geometry",
    **_MOGE,
)
def field_of_view(moge_geometry: Geometry, axis: str, unit: str) -> tuple[float, float]:
    """The angle that the first picture's camera sees, and its focal length in pixels."""
    lens = moge_geometry.get("intrinsics") if isinstance(moge_geometry, dict) else None
    if lens is None:
        raise ValueError("moge_geometry has no intrinsics (panorama geometry has none).")
    lens = lens[0] if lens.ndim == 3 else lens
    # The focal lengths are in widths and heights of the picture, so half a picture is 0.5 high.
    across, down = 0.5 / float(lens[0, 0]), 0.5 / float(lens[1, 1])
    half = {"horizontal": across, "vertical": down, "diagonal": math.hypot(across, down)}[axis]
    angle = 2 * math.atan(half)
    source = next((moge_geometry[name] for name in ("image", "points", "depth") if name in moge_geometry), None)
    if source is None:
        raise ValueError("moge_geometry has no image/points/depth to read the pixel height from.")
    return angle if unit == "radians" else math.degrees(angle), float(lens[1, 1]) * int(source.shape[1])


def sureness(confidence: Mask) -> Mask:
    """One picture's confidence from 0 to 1; 1 everywhere if it is the same everywhere."""
    low, high = confidence.min(), confidence.max()
    return (confidence - low) / (high - low) if high > low else np.ones_like(confidence)


def _without_sky(depth: Mask, sky: Mask) -> Mask:
    """The depths with sky as far away as nearly all else is, if there is enough of both."""
    land = sky < _SKY
    if land.sum() <= 10 or (~land).sum() <= 10:
        return depth
    return np.where(land, depth, np.quantile(depth[land], 0.99).astype(np.float32))


def _balanced(depth: Mask, sky: Mask | None) -> Mask:
    """Near is 1, far and sky are 0; one in a hundred is cut off at each end."""
    land = np.ones(depth.shape, dtype=bool) if sky is None else sky < _SKY
    low, high = np.quantile(depth[land] if land.any() else depth, [0.01, 0.99]).astype(np.float32)
    return np.where(land, 1 - _shares(depth, low, high), np.float32(0))


def _scaled(geometry: Geometry, normalization: str, *, clip: bool) -> Mask:
    depth, sky = geometry["depth"], geometry.get("sky")
    if clip and sky is None:
        raise ValueError(
            "apply_sky_clip=True requires a sky tensor in the da3_geometry input, but none is present. "
            "Run with Mono/Metric models or set apply_sky_clip=False."
        )
    if clip and sky is not None:
        depth = np.stack([_without_sky(*pair) for pair in zip(depth, sky, strict=True)])
    if normalization == "v2_style":
        return np.stack([_balanced(one, None if sky is None else sky[index]) for index, one in enumerate(depth)])
    if normalization == "min_max":
        low, high = depth.min(axis=(1, 2), keepdims=True), depth.max(axis=(1, 2), keepdims=True)
        return np.asarray(1 - _shares(depth, low, high))
    return np.asarray(depth)


_SCALE = {
    "normalization": choice(["v2_style", "min_max", "raw"], default="v2_style"),
    "apply_sky_clip": switch(False),
}
_COLORED = {"colored": switch(False)}


@node(
    "DA3Render",
    {
        "da3_geometry": link("DA3_GEOMETRY"),
        "output": branching(
            {"depth": _SCALE, "depth_colored": _SCALE, "sky_mask": _COLORED, "confidence": _COLORED},
        ),
    },
    "IMAGE",
    title="Render Depth Anything 3",
    **_DA3,
)
def render_depths(da3_geometry: Geometry, output: Mapping[str, Any]) -> Image:
    """A picture of Depth Anything's depths, sky or confidence (since ComfyUI 0.25)."""
    kind = output["output"]
    if kind in ("depth", "depth_colored"):
        levels = _scaled(da3_geometry, output["normalization"], clip=output["apply_sky_clip"])
        return turbo(levels) if kind == "depth_colored" else _grey(levels)
    if kind == "sky_mask":
        if "sky" not in da3_geometry:
            raise ValueError("geometry has no sky output; run with Mono/Metric models.")
        levels = da3_geometry["sky"]
    else:
        if "confidence" not in da3_geometry:
            raise ValueError("da3_geometry has no confidence output; run with Small/Base models.")
        levels = np.stack([sureness(one) for one in da3_geometry["confidence"]])
    return turbo(levels) if output["colored"] else _grey(levels)
