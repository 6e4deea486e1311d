"""Nodes that make meshes of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import choice, link, node, number
from comfyui_emulator.nodes.solids.meshes import Mesh, Points, Voxels, batch

Faces = npt.NDArray[np.int64]

# The normal and the corners of each side of a cube, in (depth, height, width); corners as seen from outside.
_SIDES = [
    ((0, 0, 1), ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1))),
    ((0, 0, -1), ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))),
    ((0, 1, 0), ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1))),
    ((0, -1, 0), ((0, 0, 0), (0, 0, 1), (1, 0, 1), (1, 0, 0))),
    ((1, 0, 0), ((1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0))),
    ((-1, 0, 0), ((0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0))),
]


def _centred(points: npt.NDArray[Any], longest: int) -> Points:
    """Convert grid coordinates to (x, y, z) from -1 to 1."""
    half = np.float32(longest / 2)
    placed: Points = ((points.astype(np.float32) - half) / half)[:, ::-1]
    return np.ascontiguousarray(placed)


def cubes(voxels: npt.NDArray[np.float32], threshold: float) -> tuple[Points, npt.NDArray[Any]]:
    """The outer sides of all cells above the threshold, as two triangles each."""
    solid = np.argwhere(voxels > threshold)
    padded = np.pad(voxels > threshold, 1)
    vertices: list[npt.NDArray[np.int64]] = []
    faces: list[Faces] = []
    count = 0
    for way, corners in _SIDES:
        around = solid + np.array(way) + 1
        shown = solid[~padded[around[:, 0], around[:, 1], around[:, 2]]]
        if not len(shown):
            continue
        vertices.append((shown[:, None] + np.array(corners)).reshape(-1, 3))
        square = np.arange(count, count + 4 * len(shown)).reshape(-1, 4)
        faces += [square[:, [0, 1, 2]], square[:, [0, 2, 3]]]
        count += 4 * len(shown)
    if not vertices:
        empty = np.zeros((1, 3), dtype=np.float32)
        return _centred(empty, max(voxels.shape)), empty
    return _centred(np.concatenate(vertices), max(voxels.shape)), np.concatenate(faces)


_CORNERS = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


def _crossings(values: Points, inside: npt.NDArray[np.bool_], threshold: float) -> tuple[Points, npt.NDArray[np.intp]]:
    """The mean of the points where a cell's edges cross the surface, and the order of cells by their first edge."""
    total = np.zeros((len(values), 3), dtype=np.float32)
    number_of = np.zeros(len(values), dtype=np.int64)
    first = np.full(len(values), len(_EDGES))
    for edge, (start, end) in enumerate(_EDGES):
        cells = np.nonzero(inside[:, start] != inside[:, end])[0]
        low, high = values[cells, start], values[cells, end]
        share = ((np.float32(threshold) - low) / (high - low))[:, None]
        begin, step = _CORNERS[start].astype(np.float32), (_CORNERS[end] - _CORNERS[start]).astype(np.float32)
        total[cells] += begin + share * step
        number_of[cells] += 1
        first[cells] = np.minimum(first[cells], edge)
    mean = (total / number_of[:, None]).astype(np.float32)
    return mean, np.lexsort((np.arange(len(values)), first))


def _gradients(inside: npt.NDArray[np.bool_]) -> Points:
    """Vectors from the mean of the outer corners to that of the inner corners."""
    means = [side @ _CORNERS.astype(np.float32) / side.sum(axis=1, keepdims=True) for side in (inside, ~inside)]
    gradient: Points = (means[0] - means[1]).astype(np.float32)
    return gradient


def surface_net(voxels: npt.NDArray[np.float32], threshold: float) -> tuple[Points, Faces]:
    """Gibson's surface nets: a vertex in every cell that the surface crosses, and quads between neighbours."""
    padded = np.pad(voxels, 1)
    cells = np.indices(voxels.shape).reshape(3, -1).T
    corners = cells[:, None] + _CORNERS
    values = padded[corners[..., 0], corners[..., 1], corners[..., 2]]
    inside = values > threshold
    crossed = inside.any(axis=1) & ~inside.all(axis=1)
    if not crossed.any():
        return np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.int64)
    cells, values, inside = cells[crossed], values[crossed], inside[crossed]
    points, order = _crossings(values, inside, threshold)
    vertices = (points + cells)[order]
    number_of = np.full(np.array(voxels.shape) + 1, -1)
    number_of[tuple(cells[order].T)] = np.arange(len(order))
    gradients, faces = _gradients(inside), []
    for one, two, sense in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        steps = np.eye(3, dtype=np.int64)
        square = np.stack(
            [number_of[tuple((cells + step).T)] for step in (0, steps[one], steps[two], steps[one] + steps[two])],
            axis=1,
        )
        # The cross product of the first and the last axis has the opposite direction.
        forward = gradients[:, sense] * (-1 if sense == 1 else 1) > 0
        whole = (square >= 0).all(axis=1)
        turns = np.where(forward[whole, None], [0, 1, 3, 0, 3, 2], [0, 3, 1, 0, 2, 3])
        faces.append(np.take_along_axis(square[whole], turns, axis=1).reshape(-1, 3))
    return _centred(vertices, max(voxels.shape)), np.concatenate(faces)


def _meshes(voxel: Voxels, threshold: float, method: Any) -> Mesh:
    data = np.asarray(voxel.data, dtype=np.float32)
    made = [method(item, threshold) for item in data]
    vertices, faces = [points for points, _ in made], [sides for _, sides in made]
    if len({points.shape for points in vertices}) == len({sides.shape for sides in faces}) == 1:
        return Mesh(np.stack(vertices), np.stack(faces))
    return batch(vertices, faces)


_HUNYUAN: dict[str, Any] = {
    "module": "comfy_extras.nodes_hunyuan3d",
    "category": "3d",
    "v3": True,
    "touches": {"voxel": "data"},
}
_VOXEL, _THRESHOLD = {"voxel": link("VOXEL")}, {"threshold": number(0.6, -1.0, 1.0, step=0.01)}


@node(
    "VoxelToMeshBasic",
    {**_VOXEL, **_THRESHOLD},
    "MESH",
    title="Voxel to Mesh (Basic) (DEPRECATED)",
    DEPRECATED=True,
    **_HUNYUAN,
)
def voxel_to_mesh_basic(voxel: Voxels, threshold: float) -> Mesh:
    """A mesh of cubes."""
    return _meshes(voxel, threshold, cubes)


@node(
    "VoxelToMesh",
    {**_VOXEL, "algorithm": choice(["surface net", "basic"]), **_THRESHOLD},
    "MESH",
    title="Voxel to Mesh",
    **_HUNYUAN,
)
def voxel_to_mesh(voxel: Voxels, algorithm: str, threshold: float) -> Mesh:
    """A mesh of cubes or a smoother surface."""
    return _meshes(voxel, threshold, cubes if algorithm == "basic" else surface_net)
