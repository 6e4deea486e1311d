"""The node that draws a mesh as a camera sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, Mask, choice, integer, link, node
from comfyui_emulator.nodes.solids.meshes import Item, Mesh, Points, item
from comfyui_emulator.nodes.solids.quaternions import matrices
from comfyui_emulator.nodes.solids.rasters import Coverage, mixed
from comfyui_emulator.nodes.solids.textures import unit_rows

JsonObject = dict[str, Any]
_CLAY, _DARKEST = np.float32(0.72), np.float32(0.15)
_FOV = 40.0


class View(NamedTuple):
    """A camera: its place, three directions, the tangent of half its angle, and the size of the picture."""

    eye: Points
    ahead: Points
    right: Points
    up: Points
    tangent: float
    width: int
    height: int

    def rays(self) -> Points:
        """The direction of each pixel, ``[height, width, 3]``."""
        rows = 1 - (np.arange(self.height, dtype=np.float32) + np.float32(0.5)) / np.float32(self.height) * 2
        columns = (np.arange(self.width, dtype=np.float32) + np.float32(0.5)) / np.float32(self.width) * 2 - 1
        across = (columns * np.float32(self.tangent) * np.float32(self.width / self.height))[None, :, None]
        down = (rows * np.float32(self.tangent))[:, None, None]
        return unit_rows(self.right * across + self.up * down + self.ahead)

    def windows(self, corners: Points) -> npt.NDArray[np.int64]:
        """For each triangle the first and last row and column that it may cover."""
        seen = (corners - self.eye) @ np.stack([self.right, self.up, self.ahead], axis=1)
        depth = seen[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            across = seen[..., 0] / depth / (self.tangent * self.width / self.height)
            down = seen[..., 1] / depth / self.tangent
        columns, rows = (across + 1) / 2 * self.width - 0.5, (1 - down) / 2 * self.height - 0.5
        found = np.stack(
            [rows.min(axis=1) - 1, rows.max(axis=1) + 2, columns.min(axis=1) - 1, columns.max(axis=1) + 2], axis=1
        )
        # What reaches behind the camera has no outline.
        found[(depth <= 1e-6).any(axis=1)] = (0, self.height, 0, self.width)
        limit = np.array([self.height, self.height, self.width, self.width])
        whole: npt.NDArray[np.int64] = np.nan_to_num(found, posinf=1e6, neginf=-1e6).clip(0, limit).astype(np.int64)
        return whole


def looking_view(eye: Points, target: Points, tangent: float, size: tuple[int, int]) -> View:
    """A camera that looks from one place at another, with y up."""
    ahead = unit_rows(target - eye)
    up = np.array([0, 1, 0], np.float32)
    if abs(float(ahead @ up)) >= 0.99:
        up = np.array([0, 0, 1], np.float32)
    right = unit_rows(np.cross(ahead, up))
    return View(eye, ahead, right, np.cross(right, ahead), tangent, *size)


@dataclass(slots=True)
class Hits:
    """For each pixel the nearest triangle, its distance (infinite: none), and the weights of its corners."""

    face: npt.NDArray[np.int64]
    depth: Points
    weights: Points

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Where there is a triangle."""
        return np.isfinite(self.depth)

    @property
    def covered(self) -> Coverage:
        """The same as of triangles that are drawn."""
        return Coverage(self.face, self.weights, self.mask)


def cast(view: View, rays: Points, corners: Points) -> Hits:
    """Find what each pixel sees (Möller and Trumbore), triangle by triangle within its outline."""
    shape = rays.shape[:2]
    found = Hits(np.zeros(shape, np.int64), np.full(shape, np.inf, np.float32), np.zeros((*shape, 3), np.float32))
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away = view.eye - corners[:, 0]
    turned = np.cross(away, first)
    distance = (second * turned).sum(axis=-1)
    for number, (top, bottom, left, right) in enumerate(view.windows(corners)):
        if top >= bottom or left >= right:
            continue
        window = np.s_[top:bottom, left:right]
        rays_there = rays[window]
        slope = np.cross(rays_there, second[number])
        area = slope @ first[number]
        share = np.float32(1) / np.where(np.abs(area) < 1e-20, np.float32(1e-20), area)
        one, two = (slope @ away[number]) * share, (rays_there @ turned[number]) * share
        depth = distance[number] * share
        hit = (np.abs(area) > 1e-20) & (one >= 0) & (two >= 0) & (one + two <= 1)
        hit &= (depth > np.float32(1e-5)) & (depth < found.depth[window])
        found.face[window][hit] = number
        found.depth[window][hit] = depth[hit]
        found.weights[window][hit] = np.stack([1 - one - two, one, two], axis=-1)[hit]
    return found


def placed(values: Points, transform: Mapping[str, Any], *, normals: bool = False) -> Points:
    """Points, or normals, moved as the viewer moved the model."""
    scale, position = (np.array([transform[key][a] for a in "xyz"], np.float32) for key in ("scale", "position"))
    turn = matrices(np.array([transform["quaternion"][part] for part in "wxyz"], np.float32)).T
    if normals:
        return unit_rows((values / scale) @ turn)
    moved: Points = (values * scale) @ turn + position
    return moved


def sampled(picture: Image, places: Points) -> Points:
    """The colours of a picture at places from 0 to 1, between pixels in proportion."""
    height, width = picture.shape[:2]
    columns = (places[:, 0] * np.float32(width) - np.float32(0.5)).clip(0, width - 1)
    rows = (places[:, 1] * np.float32(height) - np.float32(0.5)).clip(0, height - 1)
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (columns - left)[:, None], (rows - top)[:, None]
    upper = picture[top, left] * (1 - x) + picture[top, right] * x
    lower = picture[bottom, left] * (1 - x) + picture[bottom, right] * x
    found: Points = (upper * (1 - y) + lower * y).astype(np.float32)
    return found


class _Look:
    """How the surface of a mesh is coloured."""

    def __init__(self, mode: str, mesh: Mesh, one: Item) -> None:
        textured = mesh.texture is not None and mesh.uvs is not None
        if mode == "auto":
            mode = "texture" if textured else "vertex colors" if mesh.vertex_colors is not None else "solid"
        self.mode, self._one = mode, one
        self._texture = mesh.texture[0] if textured and mesh.texture is not None else None

    def colors(self, view: View, rays: Points, hits: Hits, corners: Points) -> Points:
        """The colours of the pixels that see the mesh."""
        one = self._one
        if self.mode == "normal":
            return self._normals(view, rays, hits, corners)
        if self.mode == "texture" and self._texture is not None and one.uvs is not None:
            return sampled(self._texture, mixed(hits.covered, one.faces, one.uvs))
        if self.mode == "vertex colors" and one.vertex_colors is not None:
            shown = one.vertex_colors[:, :3].clip(0, 1) ** np.float32(1 / 2.2)
            return mixed(hits.covered, one.faces, shown)
        facing = np.abs((_flat(hits, corners) * -rays[hits.mask]).sum(axis=-1)).clip(_DARKEST, 1)
        return np.repeat((_CLAY * facing)[:, None], 3, axis=1)

    def _normals(self, view: View, rays: Points, hits: Hits, corners: Points) -> Points:
        if self._one.normals is not None:
            normals = unit_rows(mixed(hits.covered, self._one.faces, self._one.normals))
        else:
            normals = _flat(hits, corners)
            turned = (normals * -rays[hits.mask]).sum(axis=-1, keepdims=True) < 0
            normals = np.where(turned, -normals, normals)
        seen = normals @ np.stack([view.right, view.up, -view.ahead], axis=1)
        return (seen * np.float32(0.5) + np.float32(0.5)).clip(0, 1)


def _flat(hits: Hits, corners: Points) -> Points:
    """The normals of the triangles that are seen."""
    seen = corners[hits.face[hits.mask]]
    return unit_rows(np.cross(seen[:, 1] - seen[:, 0], seen[:, 2] - seen[:, 0]))


def _vector(given: Mapping[str, Any]) -> Points:
    return np.array([float(given.get(axis, 0.0)) for axis in "xyz"], np.float32)


def _view(points: Points, camera: Mapping[str, Any] | None, size: tuple[int, int]) -> View:
    """The given camera, or one in front of the mesh that sees all of it."""
    center = (points.max(axis=0) + points.min(axis=0)) * np.float32(0.5)
    if camera is None:
        tangent = math.tan(math.radians(_FOV) / 2)
        radius = max(float(np.linalg.norm(points - center, axis=-1).max()), 1e-6)
        eye = center + np.array([0, 0, 1], np.float32) * np.float32(radius / tangent * 1.04)
        return looking_view(eye, center, tangent, size)
    angle = float(camera.get("fov", 0) or 0) or _FOV
    zoom = max(float(camera.get("zoom", 1.0) or 1.0), 1e-3)
    target = camera.get("target")
    aim = _vector(target) if target else center
    return looking_view(_vector(camera.get("position", {})), aim, math.tan(math.radians(angle) / 2) / zoom, size)


@node(
    "RenderMesh",
    {
        "mesh": link("MESH"),
        "mode": choice(["auto", "texture", "vertex colors", "solid", "normal", "depth"]),
        "width": integer(1024, 64, 4096, step=8),
        "height": integer(1024, 64, 4096, step=8),
        "background": ["COLOR", {"default": "#000000", "socketless": True}],
    },
    "IMAGE MASK",
    names="image mask",
    optional={"model_3d_info": link("LOAD3D_MODEL_INFO"), "camera_info": link("LOAD3D_CAMERA")},
    title="Render Mesh",
    module="comfy_extras.nodes_mesh_postprocess",
    category="3d/mesh",
    v3=True,
    touches={"mesh": "vertices"},
)
def render_mesh(
    mesh: Mesh,
    mode: str,
    width: int,
    height: int,
    background: str,
    model_3d_info: list[JsonObject] | None = None,
    camera_info: JsonObject | None = None,
) -> tuple[Image, Mask]:
    """Draw the first mesh of a batch, in its colours, as clay, or as normals or distances."""
    one = item(mesh, 0)
    if model_3d_info:
        normals = None if one.normals is None else placed(one.normals, model_3d_info[0], normals=True)
        one = one._replace(vertices=placed(one.vertices, model_3d_info[0]), normals=normals)
    view = _view(one.vertices, camera_info, (width, height))
    corners, rays, look = one.vertices[one.faces], view.rays(), _Look(mode, mesh, one)
    hits = cast(view, rays, corners)
    mask = hits.mask
    image = np.zeros((height, width, 3), np.float32)
    if look.mode == "depth":
        image[mask] = _nearness(hits.depth[mask])[:, None]
    else:
        image[mask] = look.colors(view, rays, hits, corners)
    code = background.lstrip("#")
    color = np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)], np.float32) / np.float32(255)
    return np.where(mask[..., None], image.clip(0, 1), color)[None], mask.astype(np.float32)[None]


def _nearness(depth: Points) -> Points:
    """Distances from 1, near, to 0, far."""
    if not depth.size:
        return depth
    span = max(float(depth.max()) - float(depth.min()), 1e-6)
    shares: Points = ((depth.max() - depth) / np.float32(span)).clip(0, 1)
    return shares
