"""The node that makes a mesh of Gaussian splats."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import integer, link, node, number
from comfyui_emulator.nodes.images.srgb import to_light
from comfyui_emulator.nodes.solids.meshes import Faces, Mesh, Points, batch
from comfyui_emulator.nodes.solids.quaternions import matrices
from comfyui_emulator.nodes.solids.splat_rendering import Cloud, cloud
from comfyui_emulator.nodes.solids.splats import Splat
from comfyui_emulator.nodes.solids.topology import components, edge_table

Array = npt.NDArray[Any]
_CHUNK = 4096
_FLIP = np.array([1, -1, -1], np.float32)
"""From the world of splats (y down) to that of glTF."""


class Density(NamedTuple):
    """How dense splats are in each cell of a grid; their colours there, and the weights of these."""

    values: Points
    colors: Points
    weights: Points
    origin: Points
    cell: np.float32


def density(given: Cloud, resolution: int, kernel: int, sharpen: float) -> Density:
    """Add up splats, each in as many cells as it needs, at most ``kernel`` to a side. Colours have half precision."""
    scales = np.sort(given.scales, axis=None)
    room = np.float32(4) * scales[(len(scales) - 1) // 2]
    low, high = given.places.min(axis=0) - room, given.places.max(axis=0) + room
    cell = max((high - low).max() / np.float32(resolution), np.float32(1e-8))
    shape = np.ceil((high - low) / cell).astype(int) + 1
    turned = matrices(given.rotations)
    inverse = np.einsum("nij,nj,nkj->nik", turned, 1 / np.square(np.maximum(given.scales, np.float32(1e-8))), turned)
    reach = np.ceil(np.float32(3) * given.scales.max(axis=-1) / cell).astype(int).clip(1, kernel)
    size = int(np.prod(shape))
    values = np.zeros(size, np.float32)
    colors, weights = np.zeros((size, 3), np.float16), np.zeros(size, np.float16)
    for half in range(1, kernel + 1):
        chosen = np.nonzero(reach == half)[0]
        steps = np.arange(-half, half + 1, dtype=np.float32)
        offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        for start in range(0, len(chosen), _CHUNK):
            some = chosen[start : start + _CHUNK]
            middle = given.places[some]
            cells = np.round((middle - low) / cell)[:, None, :] + offsets
            gap = (low + cells * cell) - middle[:, None, :]
            distance = np.einsum("bmi,bij,bmj->bm", gap, inverse[some], gap)
            weight = given.opacity[some, None] * np.exp(np.float32(-0.5) * distance)
            weight = np.where(distance < 9, weight, np.float32(0))
            place = cells.astype(np.int64).clip(0, shape - 1) @ np.array([shape[1] * shape[2], shape[2], 1])
            place = place.reshape(-1)
            strong = weight ** np.float32(sharpen) if sharpen != 1 else weight
            np.add.at(values, place, weight.reshape(-1))
            shares = (strong[..., None] * given.colors[some, None, :]).reshape(-1, 3).astype(np.float16)
            np.add.at(colors, place, shares)
            np.add.at(weights, place, strong.reshape(-1).astype(np.float16))
    total = weights.astype(np.float32) if sharpen != 1 else values
    whole = colors.astype(np.float32).reshape(*shape, 3)
    return Density(values.reshape(shape), whole, total.reshape(shape), low, np.float32(cell))


def parting(values: Points) -> float:
    """Otsu's level: it parts values into two groups that are as far apart as possible."""
    counts, edges = np.histogram(values, bins=256)
    centers = (edges[:-1] + edges[1:]) * 0.5
    below, sums = np.cumsum(counts.astype(np.float64)), np.cumsum(counts * centers)
    above = below[-1] - below
    gap = sums / np.where(below > 0, below, 1.0) - (sums[-1] - sums) / np.where(above > 0, above, 1.0)
    apart = np.where((below <= 0) | (above <= 0), -1.0, below * above * gap**2)
    return float(centers[int(np.argmax(apart))])


_CORNERS = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)])
_EDGES = np.array([[0, 1], [0, 2], [0, 4], [1, 3], [1, 5], [2, 3], [2, 6], [3, 7], [4, 5], [4, 6], [5, 7], [6, 7]])


def _crossings(values: Points, level: np.float32, cells: Array) -> Points:
    """For each cell the mean of the points where its edges cross the level, from 0 to 1."""
    at = cells[:, None, :] + _CORNERS
    corner = values[at[..., 0], at[..., 1], at[..., 2]]
    solid = corner >= level
    low, high = corner[:, _EDGES[:, 0]], corner[:, _EDGES[:, 1]]
    crossed = (solid[:, _EDGES[:, 0]] != solid[:, _EDGES[:, 1]])[..., None].astype(np.float32)
    span = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(np.abs(span) > 1e-12, (level - low) / span, np.float32(0.5)).clip(0, 1)[..., None]
    start, end = _CORNERS[_EDGES[:, 0]].astype(np.float32), _CORNERS[_EDGES[:, 1]].astype(np.float32)
    points = start + share * (end - start)
    mean: Points = (points * crossed).sum(axis=1) / np.maximum(crossed.sum(axis=1), 1)
    return mean


def surface(given: Density, level: float) -> tuple[Points, Faces]:
    """Surface nets: a vertex in each cell that the level crosses, quads between neighbours, seen from outside."""
    values, limit = given.values, np.float32(level)
    nothing = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    if min(values.shape) < 2:
        return nothing
    solid = values >= limit
    views = np.stack(
        [
            solid[tuple(slice(k, k + side - 1) for k, side in zip(corner, solid.shape, strict=True))]
            for corner in _CORNERS
        ]
    )
    active = views.any(axis=0) & ~views.all(axis=0)
    cells = np.argwhere(active)
    if not len(cells):
        return nothing
    local = np.concatenate(
        [_crossings(values, limit, cells[start : start + (1 << 18)]) for start in range(0, len(cells), 1 << 18)]
    )
    points = given.origin + (cells.astype(np.float32) + local) * given.cell
    names = np.full(active.shape, -1)
    names[active] = np.arange(len(cells))
    faces = [face for axis in range(3) for face in _quads(solid, names, axis)]
    return (points.astype(np.float32), np.concatenate(faces)) if faces else nothing


def _quads(solid: npt.NDArray[np.bool_], names: Array, axis: int) -> list[Faces]:
    """Two triangles around each edge along an axis that the surface crosses."""
    inner = [slice(1, -1)] * 3
    start, end = list(inner), list(inner)
    start[axis], end[axis] = slice(0, -1), slice(1, None)
    low = solid[tuple(start)]
    crossed = low != solid[tuple(end)]
    one, two = [other for other in range(3) if other != axis]

    def beside(first: int, second: int) -> Array:
        window = [slice(None)] * 3
        window[one] = slice(first, first - 1 or None) if first else slice(0, -1)
        window[two] = slice(second, second - 1 or None) if second else slice(0, -1)
        return names[tuple(window)]

    a, b, d, c = beside(0, 0), beside(1, 0), beside(1, 1), beside(0, 1)
    if axis == 1:
        b, c = c, b
    used = crossed & (a >= 0) & (b >= 0) & (c >= 0) & (d >= 0)
    if not used.any():
        return []
    a, b, c, d, low = a[used], b[used], c[used], d[used], low[used]
    left, right = np.where(low, b, c), np.where(low, c, b)
    return [np.stack([a, left, d], axis=1), np.stack([a, d, right], axis=1)]


def cleaned(points: Points, faces: Faces, least: int) -> tuple[Points, Faces]:
    """Without small parts, and without those inside the largest that are turned inside out."""
    part = components(len(points), faces)
    owner = part[faces[:, 0]]
    count = int(part.max()) + 1
    kept = np.bincount(part, minlength=count) >= least
    if kept.sum() > 1:
        largest = int(np.where(kept, np.bincount(owner, minlength=count), -1).argmax())
        first, second, third = (points[faces[:, corner]] for corner in range(3))
        volume = np.bincount(owner, weights=(first * np.cross(second, third)).sum(axis=1), minlength=count)
        low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        np.minimum.at(low, part, points)
        np.maximum.at(high, part, points)
        slack = 1e-4 * (high[largest] - low[largest]).max()
        inside = ((low >= low[largest] - slack) & (high <= high[largest] + slack)).all(axis=1)
        kept &= ~(inside & (np.sign(volume) != np.sign(volume[largest])) & (np.arange(count) != largest))
    faces = faces[kept[owner]]
    used, place = np.unique(faces, return_inverse=True)
    return points[used], place.reshape(-1, 3)


def smoothed(points: Points, faces: Faces, times: int) -> Points:
    """Taubin's smoothing: towards the mean of the neighbours, and a little further back, so that nothing shrinks."""
    if times <= 0 or not len(faces):
        return points
    ends = edge_table(faces).ends
    start, end = np.concatenate([ends, ends[:, ::-1]]).T
    count = np.bincount(start, minlength=len(points)).clip(1)[:, None].astype(np.float32)
    for _ in range(times):
        for factor in (0.5, -0.53):
            total = np.zeros_like(points)
            np.add.at(total, start, points[end])
            points = points + np.float32(factor) * (total / count - points)
    return points


def _between(values: Points, places: Points) -> Points:
    """Values at places between cells, in proportion."""
    limits = np.array(values.shape[:3]) - 1
    places = places.clip(0, limits)
    low = np.floor(places).astype(int)
    high, share = np.minimum(low + 1, limits), places - low
    total = np.zeros((len(places), *values.shape[3:]))
    for corner in _CORNERS:
        at = np.where(corner, high, low)
        weight = np.where(corner, share, 1 - share).prod(axis=1)
        value = values[at[:, 0], at[:, 1], at[:, 2]]
        total += weight.reshape(-1, *[1] * (value.ndim - 1)) * value
    return total


def mesh_of(given: Cloud, options: dict[str, Any]) -> tuple[Points, Faces, Points] | None:
    """Vertices, faces and colours; ``None`` if there is no surface."""
    given = given.where(given.opacity >= np.float32(options["min_opacity"]))
    if not len(given.places):
        return None
    grid = density(given, options["resolution"], options["kernel"], options["color_sharpen"])
    low, high = float(grid.values.min()), float(grid.values.max())
    occupied = grid.values[grid.values > high * 1e-3]
    if not occupied.size:
        return None
    edge = 1e-6 * (high - low)
    points, faces = surface(grid, min(max(parting(occupied) * options["level"], low + edge), high - edge))
    if options["min_component"] > 0 and len(faces):
        points, faces = cleaned(points, faces, options["min_component"])
    if not len(points) or not len(faces):
        return None
    points = smoothed(points, faces, options["smooth"])
    places = (points - grid.origin) / grid.cell
    colors = _between(grid.colors, places) / np.maximum(_between(grid.weights, places), 1e-8)[:, None]
    return np.ascontiguousarray(points * _FLIP), faces, to_light(colors.clip(0, 1))


@node(
    "SplatToMesh",
    {
        "splat": link("SPLAT"),
        "resolution": integer(384, 64, 768, step=16),
        "kernel": integer(5, 1, 8),
        "smooth": integer(0, 0, 60, advanced=True),
        "level": number(0.4, 0.0, 2.0, step=0.01),
        "min_component": integer(500, 0, 100000, advanced=True, step=50),
        "min_opacity": number(0.02, 0.0, 1.0, advanced=True, step=0.01),
        "color_sharpen": number(2.0, 1.0, 8.0, step=0.5),
    },
    "MESH",
    names="mesh",
    title="Extract Mesh from Splat",
    module="comfy_extras.nodes_gaussian_splat",
    category="3d/splat",
    v3=True,
    touches={"splat": "positions"},
)
def splat_to_mesh(splat: Splat, **options: Any) -> Mesh:
    """The surface of each item of a batch, in its colours; an empty mesh where there is none."""
    made = []
    count = splat.positions.shape[0]
    for index in range(count):
        nothing = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32)
        made.append(mesh_of(cloud(splat, index), options) or nothing)
        runtime.progress((index + 1) * 1000, count * 1000)
    points, faces, colors = zip(*made, strict=True)
    return batch(points, faces, vertex_colors=list(colors), unlit=True)
