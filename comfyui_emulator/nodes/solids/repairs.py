"""Nodes that mend meshes: welding of vertices, closing of holes, smooth normals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import integer, link, node, number, switch
from comfyui_emulator.nodes.solids.meshes import Faces, Mesh, Points, batch, item, pictures_of
from comfyui_emulator.nodes.solids.topology import face_normals, least_connected, places_of, summed

Numbers = npt.NDArray[np.int64]
_MESH: dict[str, Any] = {
    "module": "comfy_extras.nodes_mesh_postprocess",
    "category": "3d/mesh",
    "names": "mesh",
    "v3": True,
    "touches": {"mesh": "vertices"},
}


class Surface(NamedTuple):
    """One mesh while it is mended."""

    points: Points
    faces: Faces
    colors: Points | None


def _each(mesh: Mesh, change: Callable[[Surface], Surface]) -> Mesh:
    """A batch of changed meshes. What belongs to single vertices is lost, but for colours."""
    changed = []
    for index in range(mesh.vertices.shape[0]):
        one = item(mesh, index)
        changed.append(change(Surface(one.vertices, one.faces, one.vertex_colors)))
    colors = [surface.colors for surface in changed if surface.colors is not None]
    kept = {"vertex_colors": colors} if len(colors) == len(changed) else {}
    made = batch([surface.points for surface in changed], [surface.faces for surface in changed], **kept)
    return replace(
        mesh,
        vertices=made.vertices,
        faces=made.faces,
        vertex_colors=made.vertex_colors,
        vertex_counts=made.vertex_counts,
        face_counts=made.face_counts,
        uvs=None,
        normals=None,
        tangents=None,
    )


def _sums(places: Numbers, values: Points, count: int) -> Points:
    total = np.zeros((count, values.shape[1]), values.dtype)
    np.add.at(total, places, values)
    return total


def weld(surface: Surface, share: float, distance: float | None = None) -> Surface:
    """Replace vertices in the same cell of a grid by their mean; cells are a share of the size, or a length."""
    points = surface.points
    if not len(points):
        return surface
    low, high = points.min(axis=0), points.max(axis=0)
    if distance is None:
        distance = max(float(np.linalg.norm(high - low) * np.float32(share)), 1e-12)
    scale = np.float32(1 / distance)
    cells = np.round((points - low) * scale).astype(np.int64)
    extent = np.round((high - low) * scale).astype(np.int64) + 2
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    found, place = np.unique(keys, return_inverse=True)
    if len(found) == len(points):
        return surface
    counts = np.bincount(place).astype(np.float32)[:, None]
    colors = None if surface.colors is None else _sums(place, surface.colors, len(found)) / counts
    faces = place[surface.faces] if surface.faces.size else surface.faces
    return Surface(_sums(place, points, len(found)) / counts, faces, colors)


@node(
    "WeldVertices",
    {
        "mesh": link("MESH"),
        "epsilon_rel": number(1e-05, low=0.0, step=1e-06),
        "epsilon_abs": number(0.0, low=0.0, step=1e-06),
    },
    "MESH",
    title="Weld Vertices",
    **_MESH,
)
def weld_vertices(mesh: Mesh, epsilon_rel: float, epsilon_abs: float) -> Mesh:
    """Make one vertex of those that are in the same place."""
    return _each(mesh, lambda surface: weld(surface, epsilon_rel, epsilon_abs if epsilon_abs > 0 else None))


_FAN, _WELDED_SHARE, _ENOUGH = 8, 1e-2, 1.0
"""The most vertices of a hole that is closed without a new one; the largest grid, and vertices per face, in welding."""


class _Holes:
    """The borders of a mesh: edges of one face only, in groups that hang together."""

    def __init__(self, surface: Surface) -> None:
        faces, points = surface.faces, surface.points
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        ends = np.sort(edges, axis=1)
        keys = ends[:, 0] * len(points) + ends[:, 1]
        found, counts = np.unique(keys, return_counts=True)
        border = edges[np.isin(keys, found[counts == 1])]
        self.start, self.end = border[:, 0], border[:, 1]
        labels = least_connected(len(points), np.stack([self.start, self.end], axis=1))
        self.names, self.group = np.unique(labels[self.start], return_inverse=True)
        self.count = len(self.names)
        pairs = np.concatenate([self.group * len(points) + self.start, self.group * len(points) + self.end])
        pairs = np.unique(pairs)
        self.vertex, self.owner = pairs % len(points), pairs // len(points)
        self.vertices = np.bincount(self.owner, minlength=self.count)
        self.edges = np.bincount(self.group, minlength=self.count)
        lengths = np.linalg.norm(points[self.start] - points[self.end], axis=-1)
        self.perimeter = _sums(self.group, lengths[:, None], self.count)[:, 0]

    def means(self, values: Points) -> Points:
        """The mean of each group's vertices."""
        total = _sums(self.owner, values[self.vertex], self.count)
        mean: Points = (total / self.vertices.clip(1)[:, None]).astype(np.float32)
        return mean


def fill(surface: Surface, longest: float, most: int, *, chains: bool) -> Surface:
    """Close holes with triangles: around one of their vertices, or around a new one in the middle."""
    holes = _Holes(surface)
    kept = (holes.vertices >= 3) & (holes.vertices <= most) & (holes.perimeter < np.float32(longest))
    if not chains:
        kept &= holes.vertices == holes.edges
    if not kept.any():
        return surface
    round_middle = kept & (holes.vertices > _FAN)
    middle = len(surface.points) + np.cumsum(round_middle) - 1
    wide = round_middle[holes.group]
    fans = [np.stack([holes.end[wide], holes.start[wide], middle[holes.group[wide]]], axis=1)]
    small = (kept & ~round_middle)[holes.group]
    start, end, apex = holes.start[small], holes.end[small], holes.names[holes.group[small]]
    other = (start != apex) & (end != apex)
    fans.append(np.stack([end[other], start[other], apex[other]], axis=1))
    if chains:
        fans.append(_closing(holes, round_middle, middle, len(surface.points)))
    points = np.concatenate([surface.points, holes.means(surface.points)[round_middle]])
    colors = surface.colors
    if colors is not None:
        colors = np.concatenate([colors, holes.means(colors)[round_middle]])
    return Surface(points, np.concatenate([surface.faces, *fans]), colors)


def _closing(holes: _Holes, wanted: npt.NDArray[np.bool_], middle: Numbers, count: int) -> Faces:
    """The triangles between the two ends of open chains and their middles."""
    degree = np.bincount(holes.start, minlength=count) + np.bincount(holes.end, minlength=count)
    loose = (degree[holes.vertex] == 1) & wanted[holes.owner]
    vertex, owner = holes.vertex[loose], holes.owner[loose]
    pairs = np.bincount(owner, minlength=holes.count)[owner] == 2
    ends = vertex[pairs].reshape(-1, 2)
    return np.concatenate([ends, middle[owner[pairs].reshape(-1, 2)[:, :1]]], axis=1)


@node(
    "FillHoles",
    {
        "mesh": link("MESH"),
        "max_perimeter": number(0.03, low=0.0, step=0.0001),
        "weld_epsilon_rel": number(1e-05, low=0.0, step=1e-06),
        "max_vertices": integer(16, 3, 1024),
        "fill_chains": switch(False),
    },
    "MESH",
    title="Fill Holes",
    **_MESH,
)
def fill_holes(mesh: Mesh, max_perimeter: float, weld_epsilon_rel: float, max_vertices: int, fill_chains: bool) -> Mesh:
    """Weld vertices, in a wider and wider grid until faces share them, and close small holes."""

    def mend(surface: Surface) -> Surface:
        if max_perimeter <= 0 or not surface.faces.size:
            return surface
        share = weld_epsilon_rel
        while share > 0:
            surface = weld(surface, share)
            if len(surface.points) / max(len(surface.faces), 1) < _ENOUGH or share >= _WELDED_SHARE:
                break
            share = min(share * 2, _WELDED_SHARE)
        return fill(surface, max_perimeter, max_vertices, chains=fill_chains)

    return _each(mesh, mend)


def smooth_normals(points: Points, faces: Faces) -> Points:
    """Normals of vertices: means over their faces by size. Vertices in the same place have the same."""
    place = places_of(points)
    return _of_length_one(summed(place[faces], face_normals(points, faces), int(place.max()) + 1)[place])


def _of_length_one(vectors: npt.NDArray[Any]) -> Points:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 1e-12, lengths, 1)).astype(np.float32)


def _smoothing_groups(faces: Faces, normals: Points, crease: float) -> list[int]:
    """For each face the number of its group: faces hang together over edges that are not sharper than ``crease``."""
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    units = normals / np.where(lengths > 1e-12, lengths, 1)
    parent = list(range(len(faces)))

    def root(face: int) -> int:
        while parent[face] != face:
            parent[face] = parent[parent[face]]
            face = parent[face]
        return face

    beside: dict[tuple[int, int], list[int]] = {}
    for face, corners in enumerate(faces.tolist()):
        for one, two in zip(corners, (*corners[1:], corners[0]), strict=True):
            beside.setdefault((min(one, two), max(one, two)), []).append(face)
    least = math.cos(math.radians(crease))
    for pair in beside.values():
        if len(pair) == 2 and float(units[pair[0]] @ units[pair[1]]) >= least:
            parent[root(pair[0])] = root(pair[1])
    return [root(face) for face in range(len(faces))]


def creased(points: Points, faces: Faces, crease: float) -> tuple[Faces, Points, Numbers]:
    """Faces, normals and original vertices of a mesh whose vertices are doubled along sharp edges."""
    normals = face_normals(points, faces)
    groups = _smoothing_groups(faces, normals, crease)
    known: dict[tuple[int, int], int] = {}
    made = np.array(
        [
            [known.setdefault((corner, group), len(known)) for corner in corners]
            for corners, group in zip(faces.tolist(), groups, strict=True)
        ]
    )
    total = summed(made, normals, len(known))
    return made, _of_length_one(total), np.array([vertex for vertex, _ in known])


@node(
    "MeshSmoothNormals",
    {"mesh": link("MESH"), "crease_angle": number(180.0, 0.0, 180.0, step=1.0)},
    "MESH",
    title="Smooth Mesh Normals",
    **_MESH,
)
def mesh_normals(mesh: Mesh, crease_angle: float) -> Mesh:
    """Give vertices normals. Edges sharper than the angle stay sharp: their vertices are doubled."""
    count = mesh.vertices.shape[0]
    if crease_angle >= 180:
        normals = np.zeros_like(mesh.vertices)
        for index in range(count):
            one = item(mesh, index)
            if len(one.vertices) and len(one.faces):
                normals[index, : len(one.vertices)] = smooth_normals(one.vertices, one.faces)
        return replace(mesh, normals=normals)
    points, faces = [], []
    extra: dict[str, list[Any]] = {"normals": []}
    for index in range(count):
        one = item(mesh, index)
        if not len(one.vertices) or not len(one.faces):
            continue
        made, normals, source = creased(one.vertices, one.faces, crease_angle)
        points.append(one.vertices[source])
        faces.append(made)
        extra["normals"].append(normals)
        for name in ("vertex_colors", "uvs", "tangents"):
            values = getattr(one, name)
            if values is not None:
                extra.setdefault(name, []).append(values[source])
    return batch(points, faces, **extra, **pictures_of(mesh)) if points else mesh
