"""One picture from a stack of layers: their places, and what the editor saved about them. No nodes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, Image, Mask
from comfyui_emulator.nodes.images.blending import laid_over
from comfyui_emulator.nodes.images.regions import rgb_of
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.images.srgb import to_levels, to_light

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the stack, where it is put, and how: what the editor shows as a layer.

    ``rotation`` is clockwise in radians. ``opacity``, ``blend`` and ``visible`` are as they were given.
    """

    image: Image
    alpha: Mask | None
    name: str | None
    x: int
    y: int
    width: int
    height: int
    rotation: float
    opacity: Any
    blend: Any
    visible: Any
    flip_h: bool
    flip_v: bool

    def entry(self) -> JsonObject:
        """The frame as a layer of a saved composition."""
        place = {"x": self.x, "y": self.y, "w": self.width, "h": self.height, "rotation": self.rotation}
        flips = {"flipH": self.flip_h, "flipV": self.flip_v}
        shown = {"visible": bool(self.visible), "opacity": self.opacity, "blend": self.blend}
        return {"name": self.name, "transform": place} | shown | flips


@dataclass(frozen=True, slots=True)
class Composition:
    """A composition: the canvas's size, its layers as the editor saves them, and the ground below them."""

    canvas: tuple[int, int]
    layers: Sequence[Any]
    inputs: Sequence[str] | None = None
    ground: JsonObject | None = None
    order: Sequence[int] | None = None


def _whole(value: Any) -> int | None:
    try:
        return round(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def saved_composition(saved: Any) -> Composition | None:
    """What the editor saved, as an object or as JSON; ``None`` unless that is a composition with layers."""
    if isinstance(saved, str):
        try:
            saved = json.loads(saved)
        except ValueError:
            return None
    if not isinstance(saved, dict) or saved.get("version") not in (None, 1):
        return None
    canvas, layers, inputs, order = (saved.get(key) for key in ("canvas", "layers", "inputs", "order"))
    if not isinstance(canvas, dict) or not isinstance(layers, list) or not layers:
        return None
    width, height = _whole(canvas.get("w")), _whole(canvas.get("h"))
    if not width or not height or width < 0 or height < 0:
        return None
    if not (isinstance(inputs, list) and len(inputs) == len(layers) and all(isinstance(one, str) for one in inputs)):
        inputs = None
    known = isinstance(order, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in order)
    if not known or sorted(order or ()) != list(range(len(layers))):
        order = None
    return Composition((width, height), layers, inputs, _ground(saved.get("background")), order)


def _ground(entry: Any) -> JsonObject | None:
    if not isinstance(entry, dict):
        return None
    return {
        "color": _colour(entry.get("color")),
        "opacity": min(max(_number(entry, "opacity", 1.0), 0.0), 1.0),
        "visible": bool(entry.get("visible", True)),
    }


def _colour(value: Any) -> str:
    digits = value.strip().lower() if isinstance(value, str) else ""
    digits = digits[1:] if digits.startswith("#") else ""
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    return f"#{digits}" if len(digits) == 6 and set(digits) <= set("0123456789abcdef") else "#ffffff"


def _number(source: Mapping[str, Any], key: str, default: float) -> float:
    value = source.get(key, default)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else float(default)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer as the editor saved it, with usable values for whatever it did not."""

    visible: bool
    opacity: float
    blend: str
    x: float
    y: float
    width: float
    height: float
    rotation: float
    flip_h: bool
    flip_v: bool

    @classmethod
    def of(cls, entry: Any, image: Image) -> _Layer:
        entry = entry if isinstance(entry, dict) else {}
        place = entry.get("transform")
        place = place if isinstance(place, dict) else {}

        def position(key: str) -> float:
            return min(max(_number(place, key, 0.0), -MAX_SIDE), MAX_SIDE)

        def length(key: str, natural: int) -> float:
            given = _number(place, key, natural)
            return float(natural) if given <= 0 else min(given, float(MAX_SIDE))

        blend = entry.get("blend")
        return cls(
            visible=bool(entry.get("visible", True)),
            opacity=min(max(_number(entry, "opacity", 1.0), 0.0), 1.0),
            blend=blend if isinstance(blend, str) else "normal",
            x=position("x"),
            y=position("y"),
            width=length("w", image.shape[1]),
            height=length("h", image.shape[0]),
            rotation=_number(place, "rotation", 0.0),
            flip_h=bool(entry.get("flipH", False)),
            flip_v=bool(entry.get("flipV", False)),
        )

    def picture(self, image: Image, alpha: Mask | None) -> Any:
        """The layer's picture at its size, turned."""
        from PIL import Image as Pillow

        opaque = np.ones(image.shape[:2], np.float32) if alpha is None else alpha
        picture = Pillow.fromarray(rounded(np.dstack([image[..., :3], opaque])))
        if self.flip_h:
            picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        if self.flip_v:
            picture = picture.transpose(Pillow.Transpose.FLIP_TOP_BOTTOM)
        size = max(1, round(self.width)), max(1, round(self.height))
        if picture.size != size:
            picture = picture.resize(size, Pillow.Resampling.LANCZOS)
        if self.rotation == 0:
            return picture
        turn = -math.degrees(self.rotation)
        return picture.rotate(turn, expand=True, resample=Pillow.Resampling.BICUBIC, fillcolor=(0, 0, 0, 0))


def rounded(levels: Any) -> Any:
    """Levels from 0 to 255, to the nearest."""
    return np.clip(np.rint(levels * np.float32(255.0)), 0, 255).astype(np.uint8)


def _bounds(x: float, y: float, width: float, height: float, rotation: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of the upright box around a turned one."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    corners = [(sx * width / 2, sy * height / 2) for sx in (-1, 1) for sy in (-1, 1)]
    xs = [x + width / 2 + dx * cos - dy * sin for dx, dy in corners]
    ys = [y + height / 2 + dx * sin + dy * cos for dx, dy in corners]
    left, top = math.floor(min(xs)), math.floor(min(ys))
    return left, top, max(1, math.ceil(max(xs)) - left), max(1, math.ceil(max(ys)) - top)


def extent(frames: Sequence[Frame]) -> tuple[int, int]:
    """The size of the smallest canvas from the origin that holds all frames."""
    boxes = [_bounds(one.x, one.y, one.width, one.height, one.rotation) for one in frames]
    return max([1, *(box[0] + box[2] for box in boxes)]), max([1, *(box[1] + box[3] for box in boxes)])


def composite(frames: Sequence[Frame], state: Composition) -> Image:
    """The picture of a composition, with alpha. Raises ``ValueError`` if the canvas is too large."""
    width, height = state.canvas
    if max(width, height) > MAX_SIDE:
        raise ValueError(
            f"Compositor canvas {width}x{height} exceeds the maximum supported size of {MAX_SIDE}x{MAX_SIDE}"
        )
    canvas = np.zeros((height, width, 4), dtype=np.float32)
    ground = state.ground
    if ground is not None and ground["visible"] and ground["opacity"] > 0:
        colour = to_light(np.array(rgb_of(ground["color"]), dtype=np.float32) / 255.0)
        whole = np.broadcast_to(np.array([*colour, 1.0], dtype=np.float32), canvas.shape)
        canvas = laid_over("normal", canvas, whole, ground["opacity"])
    for index in state.order or range(len(frames)):
        if index < len(frames):
            entry = state.layers[index] if index < len(state.layers) else None
            _lay(canvas, frames[index], _Layer.of(entry, frames[index].image))
    levels = to_levels(np.clip(canvas[..., :3], 0.0, 1.0))
    return np.concatenate([levels, np.clip(canvas[..., 3:], 0.0, 1.0)], axis=-1)[None]


def _lay(canvas: Image, frame: Frame, layer: _Layer) -> None:
    """Put one layer on the canvas, in place."""
    if not layer.visible:
        return
    left, top, width, height = _bounds(layer.x, layer.y, layer.width, layer.height, layer.rotation)
    x, y = max(left, 0), max(top, 0)
    right, bottom = min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
    if x >= right or y >= bottom:
        return
    levels = from_bytes(np.asarray(layer.picture(frame.image, frame.alpha)))
    light = np.concatenate([to_light(levels[..., :3]), levels[..., 3:]], axis=-1)
    part = _in_middle(light, width, height)[y - top : bottom - top, x - left : right - left]
    canvas[y:bottom, x:right] = laid_over(layer.blend, canvas[y:bottom, x:right], part, layer.opacity)


def _in_middle(picture: Image, width: int, height: int) -> Image:
    """The picture in the middle of a box, cut off where it does not fit."""
    box = np.zeros((height, width, 4), dtype=np.float32)
    x, y = (width - picture.shape[1]) // 2, (height - picture.shape[0]) // 2
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + picture.shape[1], width), min(y + picture.shape[0], height)
    if left < right and top < bottom:
        box[top:bottom, left:right] = picture[top - y : bottom - y, left - x : right - x]
    return box
