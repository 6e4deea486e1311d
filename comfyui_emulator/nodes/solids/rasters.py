"""Drawing of triangles onto textures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.solids.meshes import Faces, Points

Numbers = npt.NDArray[np.int64]
_EDGE = np.float32(1e-6)


class Coverage(NamedTuple):
    """For each pixel the first triangle that covers it, the weights of its corners, and whether there is one."""

    face: Numbers
    weights: Points
    mask: npt.NDArray[np.bool_]


def cover(corners: Points, size: int) -> Coverage:
    """Which triangle ``[triangle, corner, 2]`` covers which pixel of a square, by the pixels' middles."""
    face = np.zeros((size, size), np.int64)
    weights = np.zeros((size, size, 3), np.float32)
    mask = np.zeros((size, size), bool)
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, k].T for k in range(3))
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    low = np.floor(corners.min(axis=1)).clip(0, size - 1).astype(int)
    high = np.ceil(corners.max(axis=1)).clip(0, size - 1).astype(int) + 1
    for number in np.nonzero(np.abs(area) > np.float32(1e-20))[0]:
        (left, top), (right, bottom) = low[number], high[number]
        window = np.s_[top:bottom, left:right]
        free = ~mask[window]
        if not free.any():
            continue
        x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5) - x2[number]
        y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5) - y2[number]
        first = ((y1 - y2)[number] * x + (x2 - x1)[number] * y) / area[number]
        second = ((y2 - y0)[number] * x + (x0 - x2)[number] * y) / area[number]
        parts = np.stack([first, second, np.float32(1) - first - second], axis=-1)
        inside = (parts >= -_EDGE).all(axis=-1) & free
        face[window][inside] = number
        weights[window][inside] = parts[inside]
        mask[window] |= inside
    return Coverage(face, weights, mask)


def mixed(coverage: Coverage, faces: Faces, values: Points) -> Points:
    """The values of vertices at all covered pixels."""
    corners = values[faces[coverage.face[coverage.mask]]]
    total: Points = (coverage.weights[coverage.mask][:, :, None] * corners).sum(axis=1)
    return total


def spread(image: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """Give uncovered pixels the colour of a covered one nearby, found in jumps of halving lengths."""
    if not mask.any() or mask.all():
        return image
    height, width = mask.shape
    rows, columns = np.mgrid[0:height, 0:width]
    far = 1 << 30
    row, column = np.where(mask, rows, -1), np.where(mask, columns, -1)
    step = 1 << ((max(height, width) - 1).bit_length() - 1)
    while step >= 1:
        for down in (-step, 0, step):
            for right in (-step, 0, step):
                if down == right == 0:
                    continue
                at = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
                other = row[at], column[at]
                known = other[0] >= 0
                distance = np.where(known, (rows - other[0]) ** 2 + (columns - other[1]) ** 2, far)
                own = np.where(row >= 0, (rows - row) ** 2 + (columns - column) ** 2, far)
                closer = known & (distance < own)
                row, column = np.where(closer, other[0], row), np.where(closer, other[1], column)
        step //= 2
    filled: Image = image[row.clip(0), column.clip(0)]
    return filled
