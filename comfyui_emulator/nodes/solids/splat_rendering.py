"""The node that draws Gaussian splats as a camera sees them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import Image, Mask, choice, integer, link, node, number
from comfyui_emulator.nodes.images.colours import levels_of
from comfyui_emulator.nodes.images.resample import resize
from comfyui_emulator.nodes.images.srgb import to_levels, to_light
from comfyui_emulator.nodes.solids.lenses import FLIP, Lens, framing, lens, orbited
from comfyui_emulator.nodes.solids.meshes import Points
from comfyui_emulator.nodes.solids.quaternions import matrices
from comfyui_emulator.nodes.solids.splat_files import COLOR
from comfyui_emulator.nodes.solids.splats import Splat, parts

JsonObject = dict[str, Any]
Numbers = npt.NDArray[np.int64]
Array = npt.NDArray[Any]
_WINDOWS = (16, 64, 256)
_CHUNK = 4_000_000
_NORMALS_BLUR = 1.2


@dataclass(slots=True)
class Cloud:
    """Splats of one item: the numbers of each."""

    places: Points
    colors: Points
    opacity: Points
    scales: Points
    rotations: Points

    def where(self, chosen: npt.NDArray[Any]) -> Cloud:
        """Some of them, or all in another order."""
        fields = (self.places, self.colors, self.opacity, self.scales, self.rotations)
        return Cloud(*(values[chosen] for values in fields))


def cloud(splat: Splat, index: int) -> Cloud:
    """One item of a batch, with colours instead of harmonics."""
    one = parts(splat, index)
    colors = (one["sh"][:, 0, :] * np.float32(COLOR) + np.float32(0.5)).clip(0, 1)
    return Cloud(one["positions"], colors, one["opacities"].reshape(-1), one["scales"], one["rotations"])


class _Projection:
    """Splats before a camera: where they are, how wide, and what they weigh at each pixel."""

    def __init__(self, given: Cloud, seen: Points, camera: Lens) -> None:
        self.lens = camera
        self.seen = seen
        turned = camera.axes @ matrices(given.rotations)
        spread = (turned * np.square(given.scales)[:, None, :]) @ np.swapaxes(turned, 1, 2)
        size = np.trace(spread, axis1=1, axis2=2) / 3
        spread = spread + (size * np.float32(1e-3))[:, None, None] * np.eye(3, dtype=np.float32)
        self.inverse = np.linalg.inv(spread).astype(np.float32)
        self.pull = (self.inverse @ seen[:, :, None])[:, :, 0]
        self.own = (seen * self.pull).sum(axis=-1)
        thinnest = np.argmin(given.scales, axis=-1)
        normals = turned[np.arange(len(turned)), :, thinnest]
        self.normals = np.where(normals[:, 2:] > 0, -normals, normals)
        self.column, self.row, self.radius = self._outline(spread)

    def _outline(self, spread: Points) -> tuple[Points, Points, Points]:
        x, y, z = self.seen.T
        slopes = np.zeros((len(z), 2, 3), np.float32)
        width, height = self.lens.width / 2, self.lens.height / 2
        if self.lens.flat is not None:
            column, row = width + self.lens.flat * x, height + self.lens.flat * y
            slopes[:, 0, 0] = slopes[:, 1, 1] = self.lens.flat
        else:
            near = 1 / z
            column, row = width + self.lens.focus * x * near, height + self.lens.focus * y * near
            slopes[:, 0, 0] = slopes[:, 1, 1] = self.lens.focus * near
            slopes[:, 0, 2] = -self.lens.focus * x * np.square(near)
            slopes[:, 1, 2] = -self.lens.focus * y * np.square(near)
        flat = slopes @ spread @ np.swapaxes(slopes, 1, 2)
        a, b, c = flat[:, 0, 0], flat[:, 0, 1], flat[:, 1, 1]
        widest = (a + c) / 2 + np.sqrt(np.maximum(np.square((a - c) / 2) + b * b, 0))
        return np.round(column), np.round(row), 3 * np.sqrt(np.maximum(widest, np.float32(1e-8)))

    def at(self, chosen: Numbers, window: int) -> tuple[Numbers, Points]:
        """For some splats and all pixels around them: the pixels' numbers, and the squared distances from the rays."""
        offsets = np.arange(-window, window + 1, dtype=np.float32)
        down, right = (grid.reshape(-1) for grid in np.meshgrid(offsets, offsets, indexing="ij"))
        columns, rows = self.column[chosen, None] + right, self.row[chosen, None] + down
        width, height = self.lens.width, self.lens.height
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        distance = self._distances(chosen, columns - np.float32(width / 2), rows - np.float32(height / 2))
        places = rows.clip(0, height - 1).astype(np.int64) * width + columns.clip(0, width - 1).astype(np.int64)
        return places, np.where(inside, np.maximum(distance, 0), np.inf)

    def _distances(self, chosen: Numbers, columns: Points, rows: Points) -> Points:
        inverse = self.inverse[chosen][:, None]
        if self.lens.flat is not None:
            x, y, z = (axis[:, None] for axis in self.seen[chosen].T)
            rays = (columns / self.lens.flat - x, rows / self.lens.flat - y, np.broadcast_to(-z, columns.shape))
            gap = np.stack(rays, axis=-1)
            along = (inverse[..., 2, :] * gap).sum(axis=-1)
            least: Points = _form(inverse, gap) - np.square(along) / np.maximum(inverse[..., 2, 2], np.float32(1e-12))
            return least
        # Differences of large numbers: in the order of ComfyUI's terms, they are rounded as there.
        x, y = columns / self.lens.focus, rows / self.lens.focus
        across = inverse[..., 2, 2] + x * (2 * inverse[..., 0, 2] + inverse[..., 0, 0] * x)
        across = across + y * (2 * inverse[..., 1, 2] + inverse[..., 1, 1] * y) + 2 * inverse[..., 0, 1] * x * y
        first, second, third = (axis[:, None] for axis in self.pull[chosen].T)
        along = third + x * first + y * second
        nearest: Points = self.own[chosen, None] - along * along / np.maximum(across, np.float32(1e-12))
        return nearest


def _form(matrix: Points, vectors: Points) -> Points:
    """The quadratic form of symmetric matrices."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    m = matrix
    mixed = m[..., 0, 1] * x * y + m[..., 0, 2] * x * z + m[..., 1, 2] * y * z
    total: Points = m[..., 0, 0] * x * x + m[..., 1, 1] * y * y + m[..., 2, 2] * z * z + 2 * mixed
    return total


class _Layers:
    """Splats in slabs from near to far; within a slab they are mixed, between slabs the nearer covers the farther."""

    def __init__(self, given: Cloud, projection: _Projection, sharpen: float) -> None:
        self._cloud, self._projection, self._sharpen = given, projection, sharpen
        size = projection.lens.width * projection.lens.height
        self.through = np.ones(size)
        self.colors, self.normals, self.depth = np.zeros((size, 3)), np.zeros((size, 3)), np.zeros(size)

    def groups(self) -> Iterator[tuple[bool, list[tuple[Numbers, int]]]]:
        """The splats of each slab with the windows that they need, and whether progress is checked after it."""
        shape = self._projection.lens
        radius = self._projection.radius
        largest = max(2, math.ceil(float(np.quantile(radius, 0.995))))
        largest = int(min(max(24, min(shape.width, shape.height) // 16), largest))
        windows = [window for window in _WINDOWS if window < largest] + [largest]
        level = np.searchsorted(windows, radius * np.float32(4 / 3)).clip(max=len(windows) - 1)
        count = len(radius)
        slabs = int(min(256, max(1, count // 1000)))
        order = np.argsort(self._projection.seen[:, 2], kind="stable")
        bounds = np.round(np.linspace(0, count, slabs + 1)).astype(int)
        for slab, (start, end) in enumerate(itertools.pairwise(bounds)):
            chosen = order[start:end]
            if len(chosen):
                parted = [(chosen[level[chosen] == place], window) for place, window in enumerate(windows)]
                yield slab % 8 == 7, [group for group in parted if len(group[0])]

    def draw(self) -> None:
        """Draw all slabs, or those until nothing shines through any more."""
        hidden = 0
        for checked, groups in self.groups():
            front = self._slab(groups)
            if checked:
                hidden = hidden + 1 if float(front.max()) < 1e-3 else 0
                if hidden >= 2:
                    return

    def _slab(self, groups: list[tuple[Numbers, int]]) -> Array:
        size = len(self.through)
        total, thickness, weight = np.zeros(size), np.zeros(size), np.zeros(size)
        colors, normals, depth = np.zeros((size, 3)), np.zeros((size, 3)), np.zeros(size)

        def add(target: Any, places: Numbers, values: Any) -> None:
            target += np.bincount(places, weights=values, minlength=size)

        for group, window in groups:
            step = max(1, _CHUNK // (2 * window + 1) ** 2)
            for start in range(0, len(group), step):
                chosen = group[start : start + step]
                places, distance = self._projection.at(chosen, window)
                alpha = (self._cloud.opacity[chosen, None] * np.exp(-distance / 2)).clip(0, 0.999)
                used = alpha > 0
                places, who, alpha = places[used], np.broadcast_to(chosen[:, None], used.shape)[used], alpha[used]
                strong = alpha**self._sharpen
                add(total, places, alpha)
                add(thickness, places, -np.log1p(-alpha))
                add(weight, places, strong)
                add(depth, places, alpha * self._projection.seen[who, 2])
                for axis in range(3):
                    add(colors[:, axis], places, strong * self._cloud.colors[who, axis])
                    add(normals[:, axis], places, alpha * self._projection.normals[who, axis])
        cover = 1 - np.exp(-thickness)
        front: Array = self.through * cover
        mean = front / np.maximum(total, 1e-8)
        self.colors += (front / np.maximum(weight, 1e-8))[:, None] * colors
        self.normals += mean[:, None] * normals
        self.depth += mean * depth
        self.through = self.through * (1 - cover)
        return front


def _blurred(image: Array) -> Array:
    """A Gaussian blur of ``[height, width, channel]`` that takes the outside for nothing."""
    radius = max(1, round(3 * _NORMALS_BLUR))
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / _NORMALS_BLUR))
    kernel /= kernel.sum()
    for axis in (0, 1):
        room = [(radius, radius) if axis == place else (0, 0) for place in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, room), len(kernel), axis=axis)
        image = windows @ kernel
    return image


class Style(NamedTuple):
    """How splats are drawn."""

    kind: str
    scale: float
    sharpen: float
    headlight: float


def draw(given: Cloud, camera: Lens, style: Style, background: Points) -> tuple[Image, Mask]:
    """Draw splats; ``background`` is a colour or a picture."""
    shape = (camera.height, camera.width)
    seen: Points = ((given.places - camera.eye) @ camera.axes.T).astype(np.float32)
    before = seen[:, 2] > np.float32(1e-2)
    if not before.any():
        plain = np.broadcast_to(background, (*shape, 3)) if style.kind == "color" else np.zeros((*shape, 3))
        return plain.astype(np.float32), np.zeros(shape, np.float32)
    given, seen = given.where(before), seen[before]
    colors = {"color": to_light(given.colors), "clay": np.full_like(given.colors, 0.75)}
    given = Cloud(
        given.places,
        colors.get(style.kind, given.colors),
        given.opacity,
        given.scales * np.float32(style.scale),
        given.rotations,
    )
    layers = _Layers(given, _Projection(given, seen, camera), style.sharpen)
    layers.draw()
    return _developed(layers, shape, style, background)


def _developed(layers: _Layers, shape: tuple[int, int], style: Style, background: Points) -> tuple[Image, Mask]:
    cover = (1 - layers.through).reshape(shape)
    solid = cover > 0.5
    if style.kind == "depth":
        image: Array = np.zeros((*shape, 3))
        if solid.any():
            depth = layers.depth.reshape(shape) / np.maximum(cover, 1e-6)
            far, near = depth[solid].max(), depth[solid].min()
            image[solid] = ((far - depth[solid]) / max(far - near, 1e-6)).clip(0, 1)[:, None]
        return image.astype(np.float32), cover.astype(np.float32)
    normals = _blurred(layers.normals.reshape(*shape, 3)) / np.maximum(_blurred(cover[..., None]), 1e-6)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    if style.kind == "normal":
        image = (normals * FLIP * 0.5 + 0.5).clip(0, 1) * solid[..., None]
        return image.astype(np.float32), cover.astype(np.float32)
    image = layers.colors.reshape(*shape, 3) * _shade(normals, style)[..., None]
    behind = to_light(background) if style.kind == "color" else background
    image = image + layers.through.reshape(*shape, 1) * behind
    shown = to_levels(image) if style.kind == "color" else image
    return shown.clip(0, 1).astype(np.float32), cover.clip(0, 1).astype(np.float32)


_KEY = np.array([-0.4, -0.7, -0.6])
"""The direction of the light on clay: from above on the left, to the viewer."""


def _shade(normals: Array, style: Style) -> Array:
    if style.kind == "clay":
        lit = (0.5 * (normals @ (_KEY / np.linalg.norm(_KEY))) + 0.5).clip(0, 1)
        shade: Array = 0.35 + 0.65 * lit * lit
        return shade
    if style.headlight > 0:
        darker: Array = 1 - 0.6 * style.headlight + 0.6 * style.headlight * (-normals[..., 2]).clip(0, 1)
        return darker
    return np.ones(normals.shape[:2])


@node(
    "RenderSplat",
    {
        "splat": link("SPLAT"),
        "width": integer(1024, 64, 2048, step=8),
        "height": integer(1024, 64, 2048, step=8),
        "frames": integer(1, -240, 240),
        "splat_scale": number(1.0, 0.1, 5.0, advanced=True, step=0.05),
        "sharpen": number(2.0, 1.0, 8.0, step=0.5),
        "headlight_shading": number(0.0, 0.0, 3.0, advanced=True, step=0.05),
        "opacity_threshold": number(0.0, 0.0, 1.0, advanced=True, step=0.01),
        "render_style": choice(["color", "clay", "depth", "normal"]),
        "background": ["COLOR", {"default": "#000000", "socketless": True}],
    },
    "IMAGE MASK",
    names="image mask",
    optional={"bg_image": link("IMAGE"), "camera_info": link("LOAD3D_CAMERA")},
    title="Render Splat",
    module="comfy_extras.nodes_gaussian_splat",
    category="3d/splat",
    v3=True,
    touches={"splat": "positions"},
)
def render_splat(
    splat: Splat,
    width: int,
    height: int,
    frames: int,
    background: str,
    opacity_threshold: float,
    camera_info: JsonObject | None = None,
    bg_image: Image | None = None,
    **look: Any,
) -> tuple[Image, Mask]:
    """Draw each item of a batch, once or from all sides; negative ``frames`` go the other way round."""
    style = Style(look["render_style"], look["splat_scale"], look["sharpen"], look["headlight_shading"])
    plates = None if bg_image is None else resize(bg_image[..., :3], width, height, "bicubic").clip(0, 1)
    count, total = abs(frames) or 1, splat.positions.shape[0] * (abs(frames) or 1)
    made: list[tuple[Image, Mask]] = []
    for index in range(splat.positions.shape[0]):
        given = cloud(splat, index)
        if opacity_threshold > 0:
            given = given.where(given.opacity >= np.float32(opacity_threshold))
        camera = framing(given.places) if camera_info is None else camera_info
        for frame in range(count):
            turn = math.copysign(360.0 * frame / count, frames)
            seen = lens(camera if count == 1 else orbited(camera, turn), width, height)
            behind = levels_of(background) if plates is None else plates[len(made) % len(plates)]
            made.append(draw(given, seen, style, behind))
            if total > 1:
                runtime.progress(len(made), total)
    return np.stack([image for image, _ in made]), np.stack([mask for _, mask in made])
