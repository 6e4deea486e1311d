"""Meshes and voxels."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from .base import SEED, Node, native, random


class ParityVoxels(Node):
    """A ball with a rough surface; ``size`` cells on the longest side."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": SEED, "size": ("INT", {"default": 24})}

    def make(self, seed: int, size: int) -> tuple[Any]:
        """Make it."""
        shape = (size, size - 2, size - 5)
        place = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
        ball = 1.2 - np.sqrt((place**2).sum(axis=0)) + 0.05 * random(*shape, seed=seed)
        return (SimpleNamespace(data=native(ball[None])),)


class ParityFilled(Node):
    """Two grids, of which some cells are filled; one cell is none."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {"size": ("INT", {"default": 9})}

    def make(self, size: int) -> tuple[Any]:
        """Make them."""
        cells = np.zeros((2, size, size, size)) if size == 1 else (random(2, size, size, size) > 2)
        return (SimpleNamespace(data=native(cells)),)


class ParityColored(Node):
    """Cells with colours and further values; with ``owner`` the number of their mesh."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "owner": ("BOOLEAN", {"default": False}),
        "count": ("INT", {"default": 60}),
    }

    def make(self, owner: bool, count: int) -> tuple[Any]:
        """Make them."""
        drawn = np.random.default_rng(8)
        cells = drawn.integers(0, 16, (count, 3))
        if owner:
            cells = np.concatenate([drawn.integers(0, 2, (count, 1)), cells], axis=1)
        colors = native(drawn.uniform(-0.1, 1.1, (count, 6)))
        return (SimpleNamespace(data=native(cells, np.int64), voxel_colors=colors, resolution=17),)


class ParityMesh(Node):
    """A twisted sheet with all that a mesh can have, or less; with ``several`` a smaller one beside it."""

    RETURN_TYPES = ("MESH",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "parts": ("STRING", {"default": ""}),
        "side": ("INT", {"default": 5}),
        "several": ("BOOLEAN", {"default": False}),
    }

    def make(self, parts: str, side: int, several: bool) -> tuple[Any]:
        """Make it."""
        rows, columns = np.mgrid[0:side, 0:side] / (side - 1)
        points = np.stack([columns * 2 - 1, rows - 0.5, np.sin(columns * 3 + rows) * 0.5], axis=-1).reshape(-1, 3)
        place = np.arange(side * side).reshape(side, side)
        corners = [place[:-1, :-1], place[:-1, 1:], place[1:, 1:], place[1:, :-1]]
        first, second, third, fourth = (corner.reshape(-1) for corner in corners)
        faces = np.concatenate([np.stack([first, second, third], 1), np.stack([first, third, fourth], 1)])
        made = self.parts(points, np.stack([columns, rows], axis=-1).reshape(-1, 2), side)
        chosen = {name: native(made[name][None]) for name in parts.split()}
        if several:
            chosen = {name: native(np.concatenate([value, value])) for name, value in chosen.items()}
            points, faces = np.stack([points, points * 0.5]), np.stack([faces, faces[::-1]])
            kept = [len(faces[0]), len(faces[0]) - 3], [side * side, side * side]
            chosen |= {"face_counts": native(kept[0], np.int64), "vertex_counts": native(kept[1], np.int64)}
        else:
            points, faces = points[None], faces[None]
        return (mesh_class()(native(points), native(faces, np.int64), **chosen),)

    def parts(self, points: Any, uvs: Any, side: int) -> dict[str, Any]:
        """What a mesh can have besides points and faces."""
        normals = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-6)
        picture = np.abs(random(8, 8, 3, seed=side)) % 1
        return {
            "uvs": uvs,
            "vertex_colors": np.abs(random(len(points), 4, seed=1)) % 1,
            "normals": normals,
            "tangents": np.concatenate([normals[:, ::-1], np.ones((len(points), 1))], axis=1),
            "texture": picture,
            "metallic_roughness": picture[::-1],
            "normal_map": picture[:, ::-1],
            "emissive": picture[:4, :4],
        }


def mesh_class() -> Any:
    """The server's class of meshes."""
    if "comfyui_emulator" in sys.modules:
        from comfyui_emulator.nodes.solids.meshes import Mesh

        return Mesh
    from comfy_api.latest import Types

    return Types.MESH
