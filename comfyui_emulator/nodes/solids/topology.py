"""Topology of meshes: places, edges, parts, charts, and the normals of faces."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.solids.meshes import Faces, Points

Numbers = npt.NDArray[np.int64]


class EdgeTable(NamedTuple):
    """The different edges of a mesh; for each side of each face its edge and its face."""

    ends: Numbers
    counts: Numbers
    place: Numbers
    face: Numbers


def edge_table(faces: Faces) -> EdgeTable:
    """All edges, by their smaller and then their larger vertex."""
    sides: Any = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    ends, place, counts = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True)
    return EdgeTable(ends, counts, place.reshape(-1), np.arange(len(sides)) // 3)


def least_connected(count: int, groups: Numbers) -> Numbers:
    """For each of ``count`` items the smallest one that it hangs together with; those in a row of ``groups`` do."""
    names = np.arange(count)
    while True:
        least = names[groups].min(axis=1)
        changed = names.copy()
        for members in groups.T:
            np.minimum.at(changed, members, least)
        changed = changed[changed]
        if np.array_equal(changed, names):
            return names
        names = changed


def components(count: int, groups: Numbers) -> Numbers:
    """For each of ``count`` items the number of its part, in the order of their first items."""
    return np.unique(least_connected(count, groups), return_inverse=True)[1].reshape(-1)


def charts(faces: Faces) -> Numbers:
    """For each face the number of its chart: faces hang together over edges with the same two vertices."""
    edges = edge_table(faces)
    order = np.argsort(edges.place, kind="stable")
    sides = np.stack([order[:-1], order[1:]], axis=1)
    beside = sides[edges.place[sides[:, 0]] == edges.place[sides[:, 1]]]
    return components(len(faces), edges.face[beside])


def places_of(points: Points) -> Numbers:
    """For each vertex the number of its place; those nearer than a hundred-thousandth of the mesh share one."""
    low = points.min(axis=0)
    scale = 1 / (max(float((points.max(axis=0) - low).max()), 1e-9) * 1e-5)
    cells = np.round((points - low) * np.float32(scale)).astype(np.int64)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def face_normals(points: Points, faces: Faces) -> Points:
    """Normals of faces, as long as the faces are large."""
    corners = points[faces]
    normals: Points = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals


def summed(faces: Faces, normals: Points, count: int, kind: type = np.float64) -> npt.NDArray[Any]:
    """For each of ``count`` vertices the sum of its faces' normals."""
    total: npt.NDArray[Any] = np.zeros((count, 3), kind)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normals)
    return total
