"""Nodes that make meshes of what a depth model found: a point in space for each pixel."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Mask, integer, link, node, number, switch
from comfyui_emulator.nodes.images.depths import Geometry, Pixels, finite, sureness
from comfyui_emulator.nodes.solids.meshes import Faces, Mesh, Points

log = logging.getLogger("comfyui_emulator")
_PLACE: dict[str, Any] = {"category": "image/geometry estimation", "v3": True}
_INDEX = integer(0, 0, 4096)
_STRIDE = integer(1, 1, 8)
_SHARE = {"low": 0.0, "high": 1.0, "step": 0.01}
_FLIP = np.array([1, -1, -1], np.float32)
"""From a camera's axes (down, away) to those of glTF (up, towards)."""


def _torn(depth: Mask, share: float) -> Pixels:
    """Pixels around which depths differ by more than a share of the pixel's own."""
    padded = np.pad(depth, 1, constant_values=np.nan)
    height, width = depth.shape
    around = np.stack([padded[row : row + height, col : col + width] for row in range(3) for col in range(3)])
    span = np.nanmax(around, axis=0) - np.nanmin(around, axis=0)
    return np.asarray(span / np.maximum(depth, np.float32(1e-6)) > share)


def triangulated(points: Points, depth: Mask, stride: int, tear: float) -> tuple[Points, Faces, Points]:
    """Vertices, faces and places in the picture of a map ``[height, width, 3]``: two triangles between four pixels.

    Points that are not finite, or at a jump of the depth, are left out.
    """
    kept = there = finite(points)
    if tear > 0:
        kept = there & ~_torn(np.where(there, depth, np.float32(0)), tear)
    points, kept = points[::stride, ::stride], kept[::stride, ::stride]
    height, width = kept.shape
    numbers = np.where(kept, np.cumsum(kept).reshape(kept.shape) - 1, -1)
    corners = np.stack([numbers[:-1, :-1], numbers[:-1, 1:], numbers[1:, 1:], numbers[1:, :-1]], axis=-1)
    whole = corners[(corners >= 0).all(axis=-1)]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([columns / max(width - 1, 1), rows / max(height - 1, 1)], axis=-1)
    return points[kept], np.concatenate([whole[:, [0, 1, 2]], whole[:, [0, 2, 3]]]), places[kept]


def _mesh(vertices: Points, faces: Faces, places: Points, texture: Any) -> Mesh:
    return Mesh(vertices[None], faces[None], uvs=places[None], texture=texture)


@node(
    "MoGePointMapToMesh",
    {
        "moge_geometry": link("MOGE_GEOMETRY"),
        "batch_index": _INDEX,
        "decimation": _STRIDE,
        "discontinuity_threshold": number(0.04, **_SHARE),
        "texture": switch(True),
    },
    "MESH",
    module="comfy_extras.nodes_moge",
    title="Convert MoGe Point Map to Mesh",
    **_PLACE,
)
def of_points(
    moge_geometry: Geometry, batch_index: int, decimation: int, discontinuity_threshold: float, texture: bool
) -> Mesh:
    """A mesh of one picture's points (since ComfyUI 0.22)."""
    if "points" not in moge_geometry:
        raise ValueError("moge_geometry has no points output.")
    count = len(moge_geometry["points"])
    if batch_index >= count:
        raise ValueError(f"batch_index {batch_index} out of range; moge_geometry has batch size {count}.")
    points = moge_geometry["points"][batch_index]
    depth = moge_geometry["depth"][batch_index] if "depth" in moge_geometry else points[..., 2]
    vertices, faces, places = triangulated(points, depth, decimation, discontinuity_threshold)
    if not len(vertices) or not len(faces):
        raise ValueError("MoGe produced an empty mesh; try discontinuity_threshold=0 or apply_mask=False.")
    if "intrinsics" in moge_geometry:
        vertices, faces = vertices * _FLIP, faces[:, [0, 2, 1]]
    else:
        # A panorama's third axis points up, and it is seen from inside.
        vertices = vertices[:, [1, 2, 0]]
    picture = moge_geometry["image"][batch_index : batch_index + 1] if texture else None
    return _mesh(vertices, faces, places, picture)


def _lens(geometry: Geometry, index: int, width: int, height: int) -> npt.NDArray[np.float32]:
    """The camera's matrix in pixels."""
    if "intrinsics" in geometry:
        return np.asarray(geometry["intrinsics"][0, index], dtype=np.float32)
    log.warning(
        "DA3_GEOMETRY has no intrinsics (mono-mode model). "
        "Using a ~60° FOV estimate; 3-D reconstruction may be inaccurate."
    )
    focus = width * 0.7
    return np.array([[focus, 0, (width - 1) / 2], [0, focus, (height - 1) / 2], [0, 0, 1]], np.float32)


def _in_space(geometry: Geometry, index: int, depth: Mask) -> Points:
    """The point of each pixel, where the cameras of several pictures share one space."""
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    points: Points = pixels @ np.linalg.inv(_lens(geometry, index, width, height)).T * depth[..., None]
    if "extrinsics" not in geometry:
        return points
    camera = np.asarray(geometry["extrinsics"][0, index], dtype=np.float32)
    if not np.isfinite(camera).all():
        log.warning(
            "DA3 extrinsic matrix contains non-finite values (pose estimation may have failed). "
            "Falling back to camera-space coordinates."
        )
        return points
    turn, shift = camera[:3, :3], camera[:3, 3]
    return np.asarray(points @ turn - shift @ turn, dtype=np.float32)


@node(
    "DA3GeometryToMesh",
    {
        "da3_geometry": link("DA3_GEOMETRY"),
        "batch_index": _INDEX,
        "decimation": _STRIDE,
        "discontinuity_threshold": number(0.04, **_SHARE),
        "confidence_threshold": number(0.1, **_SHARE),
        "use_sky_mask": switch(True),
        "texture": switch(True),
    },
    "MESH",
    module="comfy_extras.nodes_depth_anything_3",
    title="Convert DA3 Geometry to Mesh",
    **_PLACE,
)
def of_depths(
    da3_geometry: Geometry,
    batch_index: int,
    decimation: int,
    discontinuity_threshold: float,
    confidence_threshold: float,
    use_sky_mask: bool,
    texture: bool,
) -> Mesh:
    """A mesh of one picture's depths, without sky and what the model is not sure of (since ComfyUI 0.25)."""
    count = len(da3_geometry["depth"])
    if batch_index >= count:
        raise ValueError(f"batch_index {batch_index} is out of range; DA3_GEOMETRY has batch size {count}.")
    found = da3_geometry["depth"][batch_index]
    depth = np.where(np.isfinite(found), found, np.float32(0))
    kept = np.isfinite(found) & (found > 0)
    if use_sky_mask and "sky" in da3_geometry:
        kept &= da3_geometry["sky"][batch_index] < 0.5
    if "confidence" in da3_geometry and confidence_threshold > 0:
        kept &= sureness(da3_geometry["confidence"][batch_index]) >= confidence_threshold
    points = np.where(kept[..., None], _in_space(da3_geometry, batch_index, depth), np.float32(np.inf))
    vertices, faces, places = triangulated(points, depth, decimation, discontinuity_threshold)
    if not len(vertices) or not len(faces):
        raise ValueError(
            "DA3GeometryToMesh produced an empty mesh. "
            "Try raising discontinuity_threshold, lowering confidence_threshold, or disabling use_sky_mask."
        )
    picture = da3_geometry["image"][batch_index : batch_index + 1] if texture else None
    return _mesh(vertices * _FLIP, faces[:, [0, 2, 1]], places, picture)
