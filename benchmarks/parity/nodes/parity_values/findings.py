"""Findings of models in pictures: objects, depths, faces."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .base import Node, native, random


class ParityTracked(Node):
    """Three objects in two frames, as SAM3 tracks them; with ``empty`` none, with ``blocks`` whole and large ones."""

    RETURN_TYPES = ("SAM3_TRACK_DATA",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "empty": ("BOOLEAN", {"default": False}),
        "blocks": ("BOOLEAN", {"default": False}),
    }

    def make(self, empty: bool, blocks: bool = False) -> tuple[Any]:
        """Make them."""
        if blocks:
            packed = np.zeros((3, 4, 60, 10), np.uint8)
            packed[:, 0, 5:50, 6:] = packed[1:, 1, 30:58, :3] = packed[:, 3, 2:22, 1:4] = 255
            packed[2, 2, 40:43, 5] = 7
            return (self.tracked(packed, (120, 160)) | {"scores": [0.93, 1.0, 0.5]},)
        packed: Any = np.random.default_rng(5).integers(0, 256, (2, 3, 20, 3), dtype=np.uint8)
        packed[:, :, 5:, 1] = 0
        return (self.tracked(None if empty else packed, (45, 50)),)

    def tracked(self, packed: Any, size: tuple[int, int]) -> dict[str, Any]:
        """The value with these masks."""
        masks = None if packed is None else native(packed, np.uint8)
        return {"packed_masks": masks, "orig_size": size, "n_frames": 2}


class ParityDepths(Node):
    """What depth models find in two pictures: a hill under a sky; ``parts`` are the arrays that they gave."""

    RETURN_TYPES = ("MOGE_GEOMETRY", "DA3_GEOMETRY")
    REQUIRED: ClassVar[dict[str, Any]] = {
        "parts": ("STRING", {"default": "depth image"}),
        "holes": ("BOOLEAN", {"default": False}),
    }

    def make(self, parts: str, holes: bool) -> tuple[Any, Any]:
        """Make it."""
        rows, columns = np.mgrid[0:20, 0:26].astype(np.float32)
        depth = np.stack([2 + np.sin(columns / 5) * 0.3 + rows / 30, 3 - rows / 20 + 0.1 * columns])
        depth[:, 8:12, 9:14] -= 0.8
        points = np.stack([(columns - 12) / 20 * depth, (rows - 9) / 20 * depth, depth], axis=-1)
        if holes:
            depth[:, 3:5, 4:9], depth[1, 15, 2] = np.inf, -1.0
            points[:, 3:5, 4:9] = np.inf
        lens = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
        turned = np.array([[0.96, -0.28, 0, 0.1], [0.28, 0.96, 0, -0.2], [0, 0, 1, 0.3]])
        made = {
            "depth": depth,
            "points": points,
            "normal": points / np.linalg.norm(np.nan_to_num(points, posinf=9.0), axis=-1, keepdims=True),
            "mask": depth > 2.2,
            "sky": np.stack([1 - rows / 9, 1 - rows / 15]).clip(0, 1),
            "confidence": np.stack([columns * 0.1 + 1, np.ones_like(rows)]),
            "image": np.abs(random(2, 20, 26, 3, seed=6)) % 1,
        }
        found: dict[str, Any] = {name: native(made[name]) for name in parts.split() if name in made}
        cameras = {"intrinsics": (lens, lens * [[26], [20], [1]]), "extrinsics": (turned, turned)}
        moge, da3 = dict(found), dict(found)
        for name in set(parts.split()) & set(cameras):
            moge[name] = native(np.stack([cameras[name][0]] * 2))
            da3[name] = native(np.stack([cameras[name][1]] * 2)[None])
        return moge, da3


class ParityFaces(Node):
    """Two faces in the first of two pictures, an eight-cornered oval around lips with a hole, eyes and more."""

    RETURN_TYPES = ("FACE_LANDMARKS",)

    def make(self) -> tuple[Any]:
        """Make them."""
        angles = np.arange(8) / 8 * 2 * np.pi
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        parts = [(circle * size + place) for size, place in ((18, (20, 20)), (7, (20, 27)), (4, (20, 27)))]
        parts += [circle[::2] * size + place for size, place in ((3, (13, 14)), (3, (27, 14)), (1.4, (13.3, 14.2)))]
        points = np.concatenate(parts)
        loops = [list(range(start, start + 8)) for start in (0, 8, 16)]
        loops += [list(range(start, start + 4)) for start in (24, 28, 32)]
        edges = [frozenset(zip(loop, loop[1:] + loop[:1], strict=True)) for loop in loops]
        brows = frozenset([(24, 25), (25, 26)]), frozenset([(28, 29), (29, 99)])
        names = ("face_oval", "left_eye", "right_eye", "irises", "left_eyebrow", "right_eyebrow")
        sets = dict(zip(names, (edges[0], *edges[3:], *brows), strict=True))
        sets |= {"lips": edges[1] | edges[2], "nose": frozenset([(0, 8)]), "tesselation": frozenset([(0, 30), (3, 9)])}
        faces = [{"landmarks_xy": (points * scale + shift).astype(np.float32)} for scale, shift in ((1, 0), (0.6, 25))]
        return ({"frames": [faces, []], "image_size": (44, 56), "connection_sets": sets},)
