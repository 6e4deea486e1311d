"""Nodes that take textures off meshes, put them on, and draw where they go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, integer, link, node
from comfyui_emulator.nodes.images.resample import resize
from comfyui_emulator.nodes.solids.meshes import Faces, Mesh, Points, item
from comfyui_emulator.nodes.solids.rasters import cover
from comfyui_emulator.nodes.solids.topology import charts, edge_table, face_normals, places_of, summed

_TEXTURE: dict[str, Any] = {
    "module": "comfy_extras.nodes_mesh_postprocess",
    "category": "3d/texturing",
    "v3": True,
}


def fitted(uvs: Points) -> Points:
    """Places on a texture from 0 to 1; if they are outside, all are moved and shrunk alike."""
    low, high = uvs.min(axis=0), uvs.max(axis=0)
    if low.min() >= -1e-4 and high.max() <= 1.0001:
        return uvs.astype(np.float32)
    extent = float((high - low).max())
    return ((uvs - low) / np.float32(extent)).astype(np.float32) if extent > 0 else uvs.astype(np.float32)


@node(
    "MeshTextureToImage",
    {"mesh": link("MESH")},
    "IMAGE IMAGE IMAGE IMAGE IMAGE",
    names="base_color metallic roughness occlusion normal_map",
    title="Mesh Texture to Image",
    touches={"mesh": "texture"},
    **_TEXTURE,
)
def to_images(mesh: Mesh) -> tuple[Image, ...]:
    """The textures of a mesh; those that it lacks are neutral. Raises ``ValueError`` without a first one."""
    if mesh.texture is None:
        raise ValueError(
            "MeshTextureToImage: mesh has no baseColor texture. Run BakeTextureFromVoxel first (PaintMesh only sets "
            "vertex colors, not a texture)."
        )
    base = mesh.texture.clip(0, 1)
    rough = np.zeros_like(base) if mesh.metallic_roughness is None else mesh.metallic_roughness.clip(0, 1)
    flat = np.broadcast_to(np.array([0.5, 0.5, 1.0], np.float32), base.shape)
    normals = flat if mesh.normal_map is None else mesh.normal_map.clip(0, 1)
    occlusion, roughness, metallic = (np.repeat(rough[..., k : k + 1], 3, axis=-1) for k in range(3))
    return base, metallic, roughness, occlusion if mesh.occlusion_in_mr else np.ones_like(base), normals


def unit_rows(vectors: Points) -> Points:
    """Vectors of length 1, as torch normalizes them."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Points = (vectors / np.maximum(lengths, np.float32(1e-6))).astype(np.float32)
    return found


def vertex_normals(points: Points, faces: Faces) -> Points:
    """Normals of vertices in single precision, those in the same place equal."""
    place = places_of(points)
    total = summed(place[faces], face_normals(points, faces), int(place.max()) + 1, np.float32)
    return unit_rows(total[place])


def vertex_tangents(points: Points, faces: Faces, uvs: Points, normals: Points) -> Points:
    """Lengyel's tangents: the direction of u on the surface, and the side on which v is."""
    edges = points[faces[:, 1:]] - points[faces[:, :1]]
    steps = uvs[faces[:, 1:]] - uvs[faces[:, :1]]
    area = steps[:, 0, 0] * steps[:, 1, 1] - steps[:, 1, 0] * steps[:, 0, 1]
    share = (np.float32(1) / np.where(np.abs(area) < 1e-20, np.float32(1e-20), area))[:, None]
    along = (steps[:, 1, 1:] * edges[:, 0] - steps[:, 0, 1:] * edges[:, 1]) * share
    across = (steps[:, 0, :1] * edges[:, 1] - steps[:, 1, :1] * edges[:, 0]) * share
    sums = np.zeros((2, len(points), 3), np.float32)
    for corner in range(3):
        np.add.at(sums[0], faces[:, corner], along)
        np.add.at(sums[1], faces[:, corner], across)
    unit = unit_rows(normals)
    tangent = unit_rows(sums[0] - unit * (unit * sums[0]).sum(axis=-1, keepdims=True))
    side = np.sign((np.cross(unit, tangent) * sums[1]).sum(axis=-1))
    return np.concatenate([tangent, np.where(side == 0, 1, side)[:, None]], axis=-1).astype(np.float32)


def _normals_and_tangents(mesh: Mesh, uvs: Points) -> tuple[Points, Points]:
    normals = np.zeros_like(mesh.vertices)
    tangents = np.zeros((*mesh.vertices.shape[:2], 4), np.float32)
    for index in range(len(mesh.vertices)):
        one = item(mesh, index)
        if not one.faces.size:
            continue
        count = len(one.vertices)
        own = vertex_normals(one.vertices, one.faces) if one.normals is None else one.normals
        normals[index, :count] = own
        tangents[index, :count] = vertex_tangents(one.vertices, one.faces, uvs[index, :count], own)
    return normals, tangents


def _packed(**maps: Image | None) -> Image:
    """Occlusion, roughness and metal as the channels of one texture."""
    given = [image for image in maps.values() if image is not None]
    count, height, width = len(given[0]), max(len(image[0]) for image in given), max(i.shape[2] for i in given)
    channels = []
    for name, default in (("occlusion", 1.0), ("roughness", 1.0), ("metallic", 0.0)):
        image = maps[name]
        if image is None:
            channels.append(np.full((count, height, width, 1), default, np.float32))
            continue
        channel = image.clip(0, 1)[..., :1]
        same = channel.shape[1:3] == (height, width)
        channels.append(channel if same else resize(channel, width, height, "bilinear"))
    return np.concatenate(channels, axis=-1)


_MAPS = {name: link("IMAGE") for name in ("metallic", "roughness", "occlusion", "normal_map")}


@node(
    "ApplyTextureToMesh",
    {"mesh": link("MESH"), "base_color": link("IMAGE")},
    "MESH",
    names="mesh",
    optional=_MAPS,
    title="Apply Texture to Mesh",
    touches={"mesh": "uvs", "base_color": "float"},
    **_TEXTURE,
)
def apply_texture(
    mesh: Mesh,
    base_color: Image,
    metallic: Image | None = None,
    roughness: Image | None = None,
    occlusion: Image | None = None,
    normal_map: Image | None = None,
) -> Mesh:
    """Put textures onto a mesh. Raises ``ValueError`` if it has no places for them."""
    if mesh.uvs is None:
        raise ValueError(
            "ApplyTextureToMesh: mesh has no UVs. Connect the same UV-unwrapped mesh you fed to BakeTextureFromVoxel."
        )
    uvs = mesh.uvs.copy()
    for index in range(len(uvs)):
        count = len(item(mesh, index).vertices)
        uvs[index, :count] = fitted(uvs[index, :count])
    made = replace(mesh, uvs=uvs, texture=base_color.clip(0, 1))
    if normal_map is not None:
        made.normals, made.tangents = _normals_and_tangents(mesh, uvs)
        made.normal_map = normal_map.clip(0, 1)
    if not (metallic is roughness is occlusion is None):
        made.metallic_roughness = _packed(occlusion=occlusion, roughness=roughness, metallic=metallic)
        made.occlusion_in_mr = mesh.occlusion_in_mr or occlusion is not None
    return made


_COLORS = (
    "1f77b4 aec7e8 ff7f0e ffbb78 2ca02c 98df8a d62728 ff9896 9467bd c5b0d5 8c564b c49c94 e377c2 f7b6d2 7f7f7f c7c7c7 "
    "bcbd22 dbdb8d 17becf 9edae5"
)
"""Matplotlib's palette of twenty."""

_PAPER = np.float32(0.13)


def _palette(count: int) -> Points:
    order = np.random.RandomState(42).permutation(max(1, count))
    colors = np.array([list(bytes.fromhex(color)) for color in _COLORS.split()], np.float32) / np.float32(255)
    return colors[order[np.arange(count) % len(order)] % len(colors)]


def _outline(image: Image, points: Points, faces: Faces) -> None:
    """Draw the borders of charts, pixel by pixel, in black."""
    edges = edge_table(faces)
    size = len(image)
    for start, end in points[edges.ends[edges.counts == 1]]:
        steps = int(np.abs(end - start).max() + 1)
        if steps <= 1:
            continue
        shares = np.linspace(0.0, 1.0, steps)
        columns, rows = ((start[axis] + (end[axis] - start[axis]) * shares).astype(np.int32) for axis in (0, 1))
        inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
        image[rows[inside], columns[inside]] = 0


@node(
    "RenderUVAtlas",
    {"mesh": link("MESH"), "resolution": integer(1024, 64, 4096, step=64)},
    "IMAGE",
    names="image",
    title="Render UV Atlas",
    touches={"mesh": "uvs"},
    **_TEXTURE,
)
def atlas(mesh: Mesh, resolution: int) -> Image:
    """Draw which part of a texture belongs to which part of the first mesh. Raises ``RuntimeError`` without places."""
    if mesh.uvs is None:
        raise RuntimeError("mesh has no UVs to render. Run UnwrapMesh first.")
    image = np.full((resolution, resolution, 3), _PAPER, np.float32)
    faces = np.asarray(mesh.faces[0], np.int64)
    if faces.size:
        points = mesh.uvs[0].clip(0, 1) * np.float32(resolution - 1)
        numbers = charts(faces)
        colors = _palette(int(numbers.max()) + 1)
        covered = cover(points[faces], resolution)
        image[covered.mask] = colors[numbers[covered.face[covered.mask]]]
        _outline(image, points, faces)
    return image[None]
