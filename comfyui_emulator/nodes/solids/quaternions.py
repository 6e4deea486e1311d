"""Rotations as quaternions ``[..., 4]`` (w, x, y, z) and as matrices, in single precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_TINY = np.float32(1e-12)


def unit(vectors: Array, least: float = 1e-12) -> Array:
    """The vectors of the last axis, of length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Array = vectors / np.maximum(length, np.asarray(least, dtype=vectors.dtype))
    return found


def matrices(quaternions: Array) -> Array:
    """Rotation matrices ``[..., 3, 3]`` of quaternions of any length."""
    w, x, y, z = np.moveaxis(unit(quaternions), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def product(first: Array, second: Array) -> Array:
    """The rotation ``second``, then ``first``."""
    aw, ax, ay, az = np.moveaxis(first, -1, 0)
    bw, bx, by, bz = np.moveaxis(second, -1, 0)
    parts = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return np.stack(parts, axis=-1)


def of_matrices(rotations: Array) -> Array:
    """Quaternions of rotation matrices. Of four ways to compute one, that with the largest number is the exact one."""
    r = rotations
    squares = [
        1 + r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2],
        1 + r[..., 0, 0] - r[..., 1, 1] - r[..., 2, 2],
        1 - r[..., 0, 0] + r[..., 1, 1] - r[..., 2, 2],
        1 - r[..., 0, 0] - r[..., 1, 1] + r[..., 2, 2],
    ]
    x, y, z = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 1, 0] + r[..., 0, 1], r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] + r[..., 1, 2]
    rows = [[squares[0], x, y, z], [x, squares[1], xy, xz], [y, xy, squares[2], yz], [z, xz, yz, squares[3]]]
    ways = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    best = np.argmax(np.stack(squares, axis=-1), axis=-1)
    return unit(np.take_along_axis(ways, best[..., None, None], axis=-2)[..., 0, :])


def about_axes(degrees: Sequence[float]) -> Array:
    """The rotation about the world's x axis, then y, then z."""
    turns = []
    for axis, angle in enumerate(degrees):
        half = math.radians(angle) / 2
        turn = np.zeros(4, np.float32)
        turn[0], turn[axis + 1] = math.cos(half), math.sin(half)
        turns.append(turn)
    return product(product(turns[2], turns[1]), turns[0])


def looking(eye: Array, target: Array) -> Array:
    """The rotation of a camera that looks down its own -z axis from ``eye`` at ``target``, with y up."""
    back = unit(eye - target, 1e-8)
    up = np.array([0, 1, 0], np.float32)
    if abs(float(back @ up)) > 0.999:
        up = np.array([0, 0, 1], np.float32)
    right = unit(np.cross(up, back), 1e-8)
    return of_matrices(np.stack([right, np.cross(back, right), back], axis=1))
