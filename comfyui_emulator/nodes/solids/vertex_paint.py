"""The node that colours the vertices of a mesh by voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import link, node
from comfyui_emulator.nodes.solids.meshes import Mesh, Points, batch, item

_AT_ONCE = 4_000_000
"""So many distances are held at a time."""


def _nearest(points: Points, places: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The number of the nearest place for each point."""
    step = max(1, _AT_ONCE // len(places))
    squares = np.square(places).sum(axis=1)
    parts = [points[start : start + step].astype(np.float64) for start in range(0, len(points), step)]
    # |p|² is the same for all places, so it does not matter to which is nearest.
    found = [(squares - 2 * part @ places.T).argmin(axis=1) for part in parts]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _colors(points: Points, cells: Any, colors: Points, resolution: float) -> Points:
    """Each vertex's colour, as light rather than as levels; black without voxels."""
    if not len(cells):
        return np.zeros((len(points), 3), np.float32)
    # Voxels fill a cube around the origin, with sides of 1. A voxel's further values are of its material.
    places = (np.asarray(cells, np.float32) * np.float32(1 / resolution) - np.float32(0.5)).astype(np.float64)
    levels = colors[_nearest(points, places)][:, :3].clip(0, 1)
    light: Points = np.power(levels, np.float32(2.2)).astype(np.float32)
    return light


@node(
    "PaintMesh",
    {"mesh": link("MESH"), "voxel_colors": link("VOXEL")},
    "MESH",
    names="mesh",
    module="comfy_extras.nodes_mesh_postprocess",
    category="3d/mesh",
    title="Paint Mesh",
    v3=True,
)
def paint(mesh: Mesh, voxel_colors: Any) -> Mesh:
    """Give each vertex the colour of the nearest voxel (since ComfyUI 0.34).

    The voxels come out of a model, so a stand-in has to make them: ``data`` are cells ``[voxel, 3]``, or ``[voxel, 4]``
    with the number of the mesh first; ``voxel_colors`` ``[voxel, 3 or more]``; ``resolution`` cells along a side.
    """
    cells, colors, count = voxel_colors.data, voxel_colors.voxel_colors, len(mesh.vertices)
    owner = cells[:, 0].astype(np.int64) if cells.shape[-1] == 4 else None
    cells = cells[:, -3:]
    if count == 1 or not len(cells):
        painted = [_colors(points, cells, colors, voxel_colors.resolution) for points in mesh.vertices[:1]]
        return replace(mesh, vertex_colors=painted[0][None])
    parts = [item(mesh, index) for index in range(count)]
    own = [slice(None) if owner is None else owner == index for index in range(count)]
    painted = [
        _colors(part.vertices, cells[kept], colors[kept], voxel_colors.resolution)
        for part, kept in zip(parts, own, strict=True)
    ]
    return batch([part.vertices for part in parts], [part.faces for part in parts], vertex_colors=painted)
