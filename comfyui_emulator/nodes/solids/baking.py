"""Nodes that draw the shape of a fine mesh onto the texture of a coarse one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, integer, link, node, number, switch
from comfyui_emulator.nodes.solids.meshes import Item, Mesh, Points, item
from comfyui_emulator.nodes.solids.rasters import Coverage, cover, mixed, spread
from comfyui_emulator.nodes.solids.search_tree import TriangleTree, weights_of
from comfyui_emulator.nodes.solids.textures import fitted, unit_rows, vertex_normals, vertex_tangents

_FLAT = np.array([0.5, 0.5, 1.0], np.float32)
_BAKE: dict[str, Any] = {
    "module": "comfy_extras.nodes_mesh_postprocess",
    "category": "3d/texturing",
    "v3": True,
    "touches": {"low_poly": "uvs", "high_poly": "vertices"},
}
_CHUNK = 200_000
Bake = Callable[[Item, Points, Item, int], Image]


def _each(low: Mesh, high: Mesh, size: int, empty: float, bake: Bake) -> Image:
    """A texture for each coarse mesh of a batch."""
    assert low.uvs is not None  # noqa: S101 - the nodes looked
    several = high.vertices.shape[0] > 1
    made = []
    for index in range(low.vertices.shape[0]):
        one = item(low, index)
        if not one.faces.size or one.uvs is None:
            made.append(np.full((size, size, 3), empty, np.float32))
            continue
        fine = item(high, index if several else 0)
        if high.normals is not None:
            # As in ComfyUI 0.33, one fine mesh for several coarse ones lacks normals for the others.
            fine = fine._replace(normals=high.normals[index, : len(fine.vertices)])
        made.append(bake(one, fitted(one.uvs), fine, size))
    return np.stack(made).clip(0, 1)


def _surface(one: Item, uvs: Points, size: int) -> tuple[Coverage, Points, Points, Points]:
    """The covered pixels of a texture, and the places, normals of pixels, and normals of vertices of the mesh."""
    faces = one.faces.astype(np.int64)
    covered = cover(uvs[faces] * np.float32(size), size)
    normals = vertex_normals(one.vertices, faces) if one.normals is None else one.normals
    return covered, mixed(covered, faces, one.vertices), unit_rows(mixed(covered, faces, normals)), normals


def _diagonal(points: Points) -> float:
    return max(float(np.linalg.norm(points.max(axis=0) - points.min(axis=0))), 1e-6)


def bake_normals(one: Item, uvs: Points, fine: Item, size: int, cage: float, *, front_only: bool) -> Image:
    """The fine mesh's normals in the directions of the coarse one's surface; blue where there is nothing."""
    image = np.tile(_FLAT, (size, size, 1))
    covered, places, up, normals = _surface(one, uvs, size)
    if not covered.mask.any():
        return image
    tangents = vertex_tangents(one.vertices, one.faces, uvs, normals)
    given = mixed(covered, one.faces, tangents)
    tree = TriangleTree(fine.vertices[fine.faces])
    reach = max(1e-6, cage * _diagonal(fine.vertices))
    origins = places + up * np.float32(reach)
    depth, face = tree.first_hits(origins, -up, 0.0, 2 * reach, front_only=front_only)
    found = origins - depth[:, None] * up
    missed = face < 0
    if missed.any():
        found[missed], face[missed] = tree.nearest(places[missed])
    own = vertex_normals(fine.vertices, fine.faces) if fine.normals is None else fine.normals
    weights = weights_of(found, tree.corners[face])
    there = unit_rows((weights[:, :, None] * own[fine.faces[face]]).sum(axis=1))
    along = unit_rows(given[:, :3] - up * (up * given[:, :3]).sum(axis=-1, keepdims=True))
    across = given[:, 3:] * np.cross(up, along)
    seen = unit_rows(np.stack([(there * axis).sum(axis=-1) for axis in (along, across, up)], axis=-1))
    seen[(there * up).sum(axis=-1) < 0] = (0, 0, 1)
    image[covered.mask] = (seen * np.float32(0.5) + np.float32(0.5)).clip(0, 1)
    return spread(image, covered.mask)


def _need_places(mesh: Mesh, message: str) -> None:
    if mesh.uvs is None:
        raise ValueError(message)


@node(
    "BakeNormalMapFromMesh",
    {
        "low_poly": link("MESH"),
        "high_poly": link("MESH"),
        "resolution": integer(1024, 64, 8192, display_name="resolution", step=64),
        "cage_distance": number(0.05, 0.001, 0.5, step=0.001),
        "ignore_backfaces": switch(True),
    },
    "IMAGE",
    names="normal_map",
    title="Bake Normal Map from Mesh",
    **(_BAKE | {"touches": {"low_poly": "uvs", "high_poly": "normals"}}),
)
def normal_map(low_poly: Mesh, high_poly: Mesh, resolution: int, cage_distance: float, ignore_backfaces: bool) -> Image:
    """A normal map of the fine mesh for the coarse one. Raises ``ValueError`` if that has no places for it."""
    _need_places(
        low_poly,
        "BakeNormalMapFromMesh: low_poly has no UVs. Connect the UV-unwrapped low-poly (the same one you fed to "
        "BakeTextureFromVoxel); this node bakes onto existing UVs and never unwraps.",
    )

    def bake(one: Item, uvs: Points, fine: Item, size: int) -> Image:
        return bake_normals(one, uvs, fine, size, cage_distance, front_only=ignore_backfaces)

    return _each(low_poly, high_poly, resolution, 0.5, bake)


def _directions(normals: Points, count: int, random: np.random.Generator) -> Points:
    """So many directions above each normal, more of them near it."""
    up = np.where(np.abs(normals[:, 2:]) < 0.999, np.array([0, 0, 1], np.float32), np.array([1, 0, 0], np.float32))
    one = unit_rows(np.cross(up, normals))
    two = np.cross(normals, one)
    share, angle = random.random((2, len(normals), count), np.float32)
    side, angle = np.sqrt(share), angle * np.float32(2 * math.pi)
    parts = ((one, np.cos(angle) * side), (two, np.sin(angle) * side), (normals, np.sqrt(1 - share)))
    return unit_rows(sum(axis[:, None, :] * amount[..., None] for axis, amount in parts))


def bake_occlusion(one: Item, uvs: Points, fine: Item, size: int, options: Mapping[str, float]) -> Image:
    """How much of the sky above each pixel the fine mesh leaves free."""
    image = np.ones((size, size, 3), np.float32)
    covered, places, up, _ = _surface(one, uvs, size)
    if not covered.mask.any():
        return image
    tree, diagonal = TriangleTree(fine.vertices[fine.faces]), _diagonal(fine.vertices)
    lift, reach = max(1e-5, options["bias"] * diagonal), options["max_distance"] * diagonal
    origins = tree.nearest(places)[0] + up * np.float32(lift)
    count, random = int(options["samples"]), np.random.default_rng()
    hidden = np.zeros(len(origins), np.float32)
    step = max(1, _CHUNK // count)
    for start in range(0, len(origins), step):
        some = slice(start, start + step)
        rays = _directions(up[some], count, random).reshape(-1, 3)
        _, face = tree.first_hits(np.repeat(origins[some], count, axis=0), rays, lift, reach)
        hidden[some] = (face >= 0).reshape(-1, count).mean(axis=1)
    image[covered.mask] = (1 - hidden * np.float32(options["strength"])).clip(0, 1)[:, None]
    return spread(image, covered.mask)


@node(
    "BakeAmbientOcclusion",
    {
        "low_poly": link("MESH"),
        "high_poly": link("MESH"),
        "resolution": integer(1024, 64, 8192, step=64),
        "samples": integer(64, 4, 1024, step=4),
        "max_distance": number(0.5, 0.01, 2.0, step=0.01),
        "strength": number(1.0, 0.0, 2.0, step=0.05),
        "bias": number(0.01, 0.0001, 0.2, step=0.0005),
    },
    "IMAGE",
    names="occlusion",
    title="Bake Ambient Occlusion",
    **_BAKE,
)
def occlusion(low_poly: Mesh, high_poly: Mesh, resolution: int, **options: float) -> Image:
    """The shadows in the hollows of the fine mesh, for the coarse one. As in ComfyUI, rays are random."""
    _need_places(
        low_poly,
        "BakeAmbientOcclusion: low_poly has no UVs. Connect the UV-unwrapped low-poly (the same one used for the "
        "other bakes); this node never unwraps.",
    )

    def bake(one: Item, uvs: Points, fine: Item, size: int) -> Image:
        return bake_occlusion(one, uvs, fine, size, options)

    return _each(low_poly, high_poly, resolution, 1.0, bake)
