"""A tree of boxes around triangles, in which many rays and points are looked up at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.solids.meshes import Points

Numbers = npt.NDArray[np.int64]
_TINY = np.float32(1e-20)
Visit = Callable[[Numbers, Numbers], None]


def _spread_bits(values: Numbers) -> Numbers:
    """Ten bits with two free bits after each."""
    spread = values.clip(0, 1023)
    for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
        spread = (spread | spread << shift) & mask
    return spread


class TriangleTree:
    """Triangles ``[triangle, corner, 3]`` in a complete binary tree, sorted along a curve that fills space."""

    def __init__(self, corners: Points) -> None:
        self.corners = corners
        middle = corners.mean(axis=1)
        low, high = middle.min(axis=0), middle.max(axis=0)
        cells = ((middle - low) / np.maximum(high - low, np.float32(1e-12)) * 1023).astype(np.int64)
        codes = sum(_spread_bits(cells[:, axis]) << axis for axis in range(3))
        self.order = np.argsort(codes, kind="stable")
        leaves = 1 << (len(corners) - 1).bit_length()
        self._first_leaf = leaves - 1
        self._low = np.full((2 * leaves - 1, 3), np.inf, np.float32)
        self._high = np.full((2 * leaves - 1, 3), -np.inf, np.float32)
        ordered = corners[self.order]
        self._low[self._first_leaf : self._first_leaf + len(corners)] = ordered.min(axis=1)
        self._high[self._first_leaf : self._first_leaf + len(corners)] = ordered.max(axis=1)
        start, count = self._first_leaf, leaves
        while count > 1:
            above = start // 2
            level = slice(start, start + count)
            self._low[above : above + count // 2] = self._low[level].reshape(-1, 2, 3).min(axis=1)
            self._high[above : above + count // 2] = self._high[level].reshape(-1, 2, 3).max(axis=1)
            start, count = above, count // 2

    def _walk(self, count: int, meets: Callable[[Numbers, Numbers], Any], visit: Visit) -> None:
        """Visit with each query the triangles whose boxes it meets. No query is visited twice at the same time."""
        queries, nodes = np.arange(count), np.zeros(count, np.int64)
        waiting: list[tuple[Numbers, Numbers]] = [(queries, nodes)]
        while waiting:
            queries, nodes = waiting.pop()
            met = meets(queries, nodes)
            queries, nodes = queries[met], nodes[met]
            leaf = nodes >= self._first_leaf
            real = leaf & (nodes - self._first_leaf < len(self.order))
            if real.any():
                visit(queries[real], self.order[nodes[real] - self._first_leaf])
            queries, nodes = queries[~leaf], nodes[~leaf]
            if len(queries):
                waiting += [(queries, 2 * nodes + 2), (queries, 2 * nodes + 1)]

    def first_hits(
        self, origins: Points, rays: Points, least: float, most: float, *, front_only: bool = False
    ) -> tuple[Points, Numbers]:
        """The distance along each ray to the first triangle, and its number (-1: none)."""
        depth = np.full(len(origins), most, np.float32)
        face = np.full(len(origins), -1)
        inverse = 1 / np.where(np.abs(rays) < _TINY, _TINY, rays)

        def meets(query: Numbers, node: Numbers) -> Any:
            low = (self._low[node] - origins[query]) * inverse[query]
            high = (self._high[node] - origins[query]) * inverse[query]
            near, far = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
            return (far >= np.maximum(near, least)) & (near < depth[query])

        def visit(query: Numbers, triangle: Numbers) -> None:
            found = self._crossed(origins[query], rays[query], triangle, front_only=front_only)
            nearer = (found > least) & (found < depth[query])
            depth[query[nearer]], face[query[nearer]] = found[nearer], triangle[nearer]

        with np.errstate(invalid="ignore", over="ignore"):
            self._walk(len(origins), meets, visit)
        return depth, face

    def _crossed(self, origins: Points, rays: Points, triangle: Numbers, *, front_only: bool) -> Points:
        """The distances of triangles along rays (Möller and Trumbore); infinite where they miss."""
        corners = self.corners[triangle]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        slope = np.cross(rays, second)
        area = (first * slope).sum(axis=-1)
        share = 1 / np.where(np.abs(area) < _TINY, _TINY, area)
        away = origins - corners[:, 0]
        one = (away * slope).sum(axis=-1) * share
        turned = np.cross(away, first)
        two = (rays * turned).sum(axis=-1) * share
        hit = (np.abs(area) > _TINY) & (one >= 0) & (two >= 0) & (one + two <= 1)
        if front_only:
            hit &= (np.cross(first, second) * rays).sum(axis=-1) < 0
        return np.where(hit, (second * turned).sum(axis=-1) * share, np.inf).astype(np.float32)

    def nearest(self, points: Points) -> tuple[Points, Numbers]:
        """The nearest place on any triangle for each point, and the triangle's number."""
        best = np.full(len(points), np.inf, np.float32)
        place, face = points.copy(), np.full(len(points), -1)

        def meets(query: Numbers, node: Numbers) -> Any:
            gap = np.maximum(self._low[node] - points[query], points[query] - self._high[node]).clip(0)
            return np.square(gap).sum(axis=-1) < best[query]

        def visit(query: Numbers, triangle: Numbers) -> None:
            found = closest(points[query], self.corners[triangle])
            distance = np.square(found - points[query]).sum(axis=-1)
            nearer = distance < best[query]
            best[query[nearer]], face[query[nearer]] = distance[nearer], triangle[nearer]
            place[query[nearer]] = found[nearer]

        self._walk(len(points), meets, visit)
        return place, face


def closest(points: Points, corners: Points) -> Points:
    """The nearest place on a triangle for each point: inside, or on one of its sides."""
    weights = weights_of(points, corners)
    best = (weights[:, :, None] * corners).sum(axis=1)
    distance = np.where((weights >= 0).all(axis=1), np.square(best - points).sum(axis=-1), np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        side = corners[:, end] - corners[:, start]
        length = np.maximum(np.square(side).sum(axis=-1), _TINY)
        share = (((points - corners[:, start]) * side).sum(axis=-1) / length).clip(0, 1)
        found = corners[:, start] + share[:, None] * side
        away = np.square(found - points).sum(axis=-1)
        closer = away < distance
        best, distance = np.where(closer[:, None], found, best), np.where(closer, away, distance)
    place: Points = best.astype(np.float32)
    return place


def weights_of(points: Points, corners: Points) -> Points:
    """The weights of a triangle's corners at points on its plane, or above it."""
    first, second, gap = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    aa, ab, bb = ((one * two).sum(axis=-1) for one, two in ((first, first), (first, second), (second, second)))
    ga, gb = (gap * first).sum(axis=-1), (gap * second).sum(axis=-1)
    area = aa * bb - ab * ab
    area = np.where(np.abs(area) < _TINY, _TINY, area)
    one, two = (bb * ga - ab * gb) / area, (aa * gb - ab * ga) / area
    return np.stack([1 - one - two, one, two], axis=-1).astype(np.float32)
