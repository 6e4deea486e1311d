"""Nodes that turn, join and describe meshes."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import branching, growing, link, node, number
from comfyui_emulator.nodes.solids.meshes import Mesh, Points, item, sizes

log = logging.getLogger("comfyui_emulator")
JsonObject = dict[str, Any]
Rows = list[list[float]]
_MESH: dict[str, Any] = {"module": "comfy_extras.nodes_save_3d", "category": "3d/mesh", "v3": True}
_ANGLE, _PART = number(0.0, -360.0, 360.0, step=0.1), number(0.0, -1.0, 1.0, step=0.001)
_MODES = {
    "euler_xyz": {"angle_x": _ANGLE, "angle_y": _ANGLE, "angle_z": _ANGLE},
    "quaternion": {"qw": number(1.0, -1.0, 1.0, step=0.001), "qx": _PART, "qy": _PART, "qz": _PART},
}


def _by_angles(mode: Mapping[str, float]) -> Rows | None:
    x, y, z = (math.radians(mode[f"angle_{axis}"]) for axis in "xyz")
    if x == y == z == 0:
        return None
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(angle), math.sin(angle)) for angle in (x, y, z))
    return [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]


def _by_quaternion(mode: Mapping[str, float]) -> Rows | None:
    w, x, y, z = (mode[f"q{part}"] for part in "wxyz")
    length = math.sqrt(w * w + x * x + y * y + z * z)
    if length < 1e-8:
        raise ValueError("RotateMesh: quaternion has zero magnitude")
    w, x, y, z = (part / length for part in (w, x, y, z))
    if (w, x, y, z) == (1, 0, 0, 0):
        return None
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]


@node(
    "RotateMesh",
    {"mesh": link("MESH"), "mode": branching(_MODES)},
    "MESH",
    names="mesh",
    title="Rotate Mesh",
    **_MESH,
)
def rotate(mesh: Mesh, mode: Mapping[str, Any]) -> Mesh:
    """Turn meshes about the world's axes, first x, then y, then z; or by a quaternion of any length but 0."""
    rows = _by_angles(mode) if mode["mode"] == "euler_xyz" else _by_quaternion(mode)
    if rows is None:
        return mesh
    matrix = np.array(rows, dtype=np.float32).T

    def turned(points: Points | None) -> Points | None:
        return None if points is None else np.concatenate([points[..., :3] @ matrix, points[..., 3:]], axis=-1)

    vertices = turned(mesh.vertices)
    assert vertices is not None  # noqa: S101 - a mesh has vertices
    return replace(mesh, vertices=vertices, normals=turned(mesh.normals), tangents=turned(mesh.tangents))


@node(
    "MergeMeshes",
    {"meshes": growing("mesh", link("MESH"), prefix="mesh", least=2, most=50)},
    "MESH",
    names="mesh",
    title="Merge Meshes",
    **_MESH,
)
def merge_meshes(meshes: Mapping[str, Mesh]) -> Mesh:
    """The first meshes of several batches as one, with the first texture that there is."""
    given = list(meshes.values())
    placed = any(mesh.uvs is not None for mesh in given)
    colored = any(mesh.vertex_colors is not None for mesh in given)
    items = [item(mesh, 0) for mesh in given]
    starts = np.cumsum([0, *(len(one.vertices) for one in items)])
    merged = Mesh(
        np.concatenate([one.vertices for one in items])[None],
        np.concatenate([one.faces + start for one, start in zip(items, starts, strict=False)])[None],
        texture=next((mesh.texture for mesh in given if mesh.texture is not None), None),
    )
    if placed:
        parts = [np.zeros((len(one.vertices), 2), np.float32) if one.uvs is None else one.uvs for one in items]
        merged.uvs = np.concatenate(parts)[None]
    if colored:
        channels = max(one.vertex_colors.shape[-1] for one in items if one.vertex_colors is not None)
        parts = [_colors(one.vertex_colors, len(one.vertices), channels) for one in items]
        merged.vertex_colors = np.concatenate(parts)[None]
    return merged


def _colors(colors: Points | None, count: int, channels: int) -> Points:
    """Colours of vertices with so many channels, white where there are none."""
    if colors is None:
        return np.ones((count, channels), np.float32)
    return np.pad(colors, ((0, 0), (0, channels - colors.shape[-1])), constant_values=1)


def _short(count: int) -> str:
    if count >= 1_000_000:
        return f"{count:,} ({count / 1_000_000:.2f}M)"
    return f"{count:,} ({count / 1_000:.1f}K)" if count >= 10_000 else f"{count:,}"


def _attributes(mesh: Mesh) -> str:
    found = [name for name in ("uvs", "vertex_colors", "normals", "tangents") if getattr(mesh, name) is not None]
    for name in ("texture", "metallic_roughness", "normal_map"):
        picture = getattr(mesh, name)
        if picture is not None:
            found.append(f"{name} {picture.shape[-3]}\N{MULTIPLICATION SIGN}{picture.shape[-2]}")
    return ", ".join(found) or "none"


@node(
    "GetMeshInfo",
    {"mesh": link("MESH")},
    "MESH STRING",
    names="mesh info",
    hidden={"unique_id": ["UNIQUE_ID"]},
    title="Get Mesh Info",
    touches={"mesh": "vertices"},
    **_MESH,
)
def describe(mesh: Mesh, unique_id: str | None = None) -> JsonObject:
    """What a mesh consists of, as text; also shown on the node."""
    vertices, faces = sizes(mesh)
    several = len(vertices) > 1
    total = " total" if several else ""
    lines = [f"Batch:      {len(vertices)} meshes"] if several else []
    lines += [f"Vertices:   {_short(sum(vertices))}{total}", f"Faces:      {_short(sum(faces))}{total}"]
    for index, (points, sides) in enumerate(zip(vertices, faces, strict=True) if several else ()):
        lines.append(f"  [{index}]  {points:>10,} verts  \N{MIDDLE DOT}  {sides:>10,} faces")
    lines.append(f"Attributes: {_attributes(mesh)}")
    info = "\n".join(lines)
    log.info("[GetMeshInfo]\n%s", info)
    if unique_id:
        runtime.send_text(info, unique_id)
    return {"ui": {"text": (info,)}, "result": (mesh, info)}
