"""Nodes that build a stack of layers, and make one picture of it (since ComfyUI 0.31)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import (
    HIDDEN_METADATA_V3,
    MAX_SIDE,
    Entry,
    Image,
    Mask,
    choice,
    integer,
    link,
    node,
    number,
    switch,
    text,
)
from comfyui_emulator.nodes.images.blending import MODES
from comfyui_emulator.nodes.images.boxes import boxes_of
from comfyui_emulator.nodes.images.compositor import (
    Composition,
    Frame,
    composite,
    extent,
    rounded,
    saved_composition,
)
from comfyui_emulator.nodes.images.previews import preview
from comfyui_emulator.nodes.images.resample import scale_mask

JsonObject = dict[str, Any]
Document = dict[str, Any]
"""A stack: ``{"version": 1, "layers": [item, …]}``, perhaps with a ``canvas``."""

_STACK: dict[str, Any] = {
    "module": "comfy_extras.nodes_compositor",
    "category": "image",
    "v3": True,
    "EXPERIMENTAL": True,
}
_MOST_LAYERS = 50
_OPAQUE = 1.0 - 1e-3


def _length(default: int = 0, low: int = 0) -> Entry:
    return integer(default, low, MAX_SIDE)


def _whole(value: Any, default: int = 0) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _canvas(document: Any) -> tuple[int, int] | None:
    canvas = document.get("canvas") if isinstance(document, dict) else None
    if not isinstance(canvas, tuple | list) or len(canvas) != 2:
        return None
    width, height = _whole(canvas[0]), _whole(canvas[1])
    return (width, height) if width > 0 and height > 0 else None


def _known(layers: Any) -> list[JsonObject]:
    """The items of a stack that may be missing."""
    return (layers.get("layers") or []) if isinstance(layers, dict) else []


def _extended(layers: Any, items: Sequence[JsonObject], canvas: tuple[int, int] | None = None) -> Document:
    """The stack with more items."""
    whole: Document = {"version": 1, "layers": [*_known(layers), *items]}
    canvas = canvas or _canvas(layers)
    return whole | ({"canvas": canvas} if canvas else {})


@node(
    "AddLayer",
    {"image": link("IMAGE")},
    "LAYERS",
    optional={
        "layers": link("LAYERS"),
        "mask": link("MASK"),
        "name": text(default="", multiline=False),
        "x": _length(0, -MAX_SIDE),
        "y": _length(0, -MAX_SIDE),
        "opacity": number(1.0, 0.0, 1.0, step=0.01),
        "blend_mode": choice(MODES, default="normal"),
        "rotation": number(0.0, -360.0, 360.0, step=1.0),
        "width": _length(),
        "height": _length(),
        "z_index": integer(0, -1000, 1000),
        "flip_h": switch(False),
        "flip_v": switch(False),
    },
    title="Add Layer",
    **_STACK,
)
def add_layer(
    image: Image,
    layers: Document | None = None,
    mask: Mask | None = None,
    name: str = "",
    x: int = 0,
    y: int = 0,
    opacity: float = 1.0,
    blend_mode: str = "normal",
    rotation: float = 0.0,
    width: int = 0,
    height: int = 0,
    z_index: int = 0,
    flip_h: bool = False,
    flip_v: bool = False,
) -> tuple[Document]:
    """The stack with one item more. Options at their defaults are left out of it."""
    item: JsonObject = {"image": image, "type": "raster", "x": int(x), "y": int(y), "z_index": int(z_index)}
    further: JsonObject = {
        "mask": mask,
        "name": name or None,
        "opacity": None if opacity == 1.0 else float(opacity),
        "blend_mode": None if blend_mode == "normal" else blend_mode,
        "rotation": None if rotation == 0.0 else math.radians(rotation),
        "w": width if width > 0 else None,
        "h": height if height > 0 else None,
        "flip_h": flip_h or None,
        "flip_v": flip_v or None,
    }
    item |= {key: value for key, value in further.items() if value is not None}
    return (_extended(layers, [item]),)


@node(
    "LayersFromBoundingBoxes",
    {"image": link("IMAGE"), "bboxes": link("BOUNDING_BOX,ARRAY,STRING")},
    "LAYERS",
    optional={
        "mask": link("MASK"),
        "layers": link("LAYERS"),
        "crop_to_content": switch(True),
        "canvas_width": _length(),
        "canvas_height": _length(),
    },
    title="Layers From Bounding Boxes",
    **_STACK,
)
def layers_from_boxes(
    image: Image,
    bboxes: Any,
    mask: Mask | None = None,
    layers: Document | None = None,
    crop_to_content: bool = True,
    canvas_width: int = 0,
    canvas_height: int = 0,
) -> tuple[Document]:
    """The stack with each image at its box. Those without a box go to the origin."""
    boxes = _placed(bboxes, canvas_width, canvas_height)
    lowest = max((_whole(item.get("z_index")) for item in _known(layers)), default=-1) + 1
    items = []
    for index in range(image.shape[0]):
        box = boxes[index] if index < len(boxes) else {}
        items.append(_boxed(image[index : index + 1], _mask_of(mask, index), box, lowest + index, crop=crop_to_content))
    canvas = (canvas_width, canvas_height) if canvas_width > 0 and canvas_height > 0 else None
    return (_extended(layers, items, canvas),)


def _placed(bboxes: Any, width: int, height: int) -> list[JsonObject]:
    """The boxes in pixels. Raises ``ValueError`` for places in thousandths of a canvas of unknown size."""
    if isinstance(bboxes, str) and bboxes.strip():
        try:
            bboxes = json.loads(bboxes.strip())
        except ValueError as error:
            raise ValueError(f"bboxes string input is not valid JSON: {error}") from error
    probe = bboxes if isinstance(bboxes, list) else [bboxes]
    probe = probe[0] if probe and isinstance(probe[0], list) else probe
    relative = any(isinstance(box, dict) and isinstance(box.get("bbox"), list | tuple) for box in probe)
    if relative and min(width, height) <= 0:
        raise ValueError("normalized element boxes need canvas_width and canvas_height to resolve to pixels")
    return boxes_of(bboxes, width, height)


def _boxed(frame: Image, mask: Mask | None, box: JsonObject, depth: int, *, crop: bool) -> JsonObject:
    """The item of one image, cut to its content if the box says so, else scaled to the box."""
    known = box.get("metadata")
    known = known if isinstance(known, dict) else {}
    x, y = _whole(box.get("x")), _whole(box.get("y"))
    size = {"w": _whole(box.get("width")), "h": _whole(box.get("height"))}
    content = _content(known.get("content_rect"), frame) if crop else None
    if content is not None:
        left, top, right, bottom = content
        frame = frame[:, top:bottom, left:right]
        mask = None if mask is None else mask[:, top:bottom, left:right]
        x, y, size = x + left, y + top, {}
    item: JsonObject = {"image": frame, "type": "raster", "x": x, "y": y}
    item["z_index"] = _whole(known.get("z_index"), depth)
    item |= {key: length for key, length in size.items() if length > 0}
    names = [name for name in (known.get("name"), known.get("desc")) if isinstance(name, str) and name]
    return item | ({} if mask is None else {"mask": mask}) | ({"name": names[0]} if names else {})


def _content(rect: Any, frame: Image) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a rectangle inside the image; ``None`` if there is none."""
    if not (isinstance(rect, list | tuple) and len(rect) == 4):
        return None
    left = min(max(_whole(rect[0]), 0), frame.shape[2])
    top = min(max(_whole(rect[1]), 0), frame.shape[1])
    right = min(left + max(_whole(rect[2]), 0), frame.shape[2])
    bottom = min(top + max(_whole(rect[3]), 0), frame.shape[1])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _mask_of(mask: Any, index: int) -> Mask | None:
    """The mask of one image of a batch; one mask alone is for all of them."""
    if not isinstance(mask, np.ndarray):
        return None
    index = 0 if mask.shape[0] == 1 else index
    return mask[index : index + 1] if index < mask.shape[0] else None


@node(
    "ImageCompositor",
    {"layers": link("LAYERS"), "compositor": ["COMPOSITOR", {"default": {}, "socketless": True}]},
    "IMAGE MASK",
    hidden=HIDDEN_METADATA_V3,
    title="Create Layered Image",
    OUTPUT_NODE=True,
    HAS_INTERMEDIATE_OUTPUT=True,
    **_STACK,
)
def compose(layers: Any, compositor: Any = None, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """One picture of the stack: as the editor saved it, if it did so for these layers, else as they are placed."""
    frames = list(_frames(layers))
    if len(frames) > _MOST_LAYERS:
        raise ValueError(f"Compositor supports at most {_MOST_LAYERS} layers, got {len(frames)}")
    metadata = (prompt, extra_pnginfo)
    shown = [saved for frame in frames for saved in preview(_visible(frame), *metadata)["images"]]
    prints = [_fingerprint(frame) for frame in frames]
    state = saved_composition(compositor)
    replayed = state is not None and bool(frames) and state.inputs == prints
    if not frames:
        whole: Image = np.zeros((1, 64, 64, 3), dtype=np.float32)
    elif state is not None and replayed:
        whole = composite(frames, state)
    else:
        whole = composite(frames, Composition(_canvas(layers) or extent(frames), [frame.entry() for frame in frames]))
    whole, mask = _split(whole)
    ui: JsonObject = preview(whole, *metadata) | {"compositor_layers": shown, "compositor_inputs": prints}
    ui["compositor_bboxes"] = [_editor_layer(frame) for frame in frames]
    if not replayed and (compositor not in ("", "{}") if isinstance(compositor, str) else compositor):
        ui["compositor_state_stale"] = [True]
    return {"ui": ui, "result": (whole, mask)}


def _items(document: Any) -> list[JsonObject]:
    """The items of a stack from the lowest to the highest. Raises ``ValueError`` for what later versions may have."""
    if not isinstance(document, dict):
        return []
    if document.get("version") not in (None, 1):
        raise ValueError(f"LAYERS document version {document['version']!r} is not supported")
    items = []
    for item in document.get("layers") or []:
        if not isinstance(item, dict):
            continue
        kind, blend = item.get("type", "raster"), item.get("blend_mode")
        if kind != "raster":
            raise ValueError(f"LAYERS item type {kind!r} is not supported yet")
        if isinstance(item.get("image"), np.ndarray):
            if blend is not None and blend not in MODES:
                raise ValueError(f"LAYERS item blend_mode {blend!r} is not a known blend mode")
            items.append(item)
    return sorted(items, key=lambda item: _whole(item.get("z_index")))


def _frames(document: Any) -> Iterator[Frame]:
    for item in _items(document):
        image, name = item["image"], item.get("name")
        rotation: Any = item.get("rotation")
        width, height = _whole(item.get("w")), _whole(item.get("h"))
        turned = isinstance(rotation, int | float) and not isinstance(rotation, bool)
        for index, frame in enumerate(image):
            yield Frame(
                image=frame,
                alpha=_alpha(frame, _mask_of(item.get("mask"), index)),
                name=name if isinstance(name, str) else None,
                x=_whole(item.get("x")),
                y=_whole(item.get("y")),
                width=width if width > 0 else image.shape[2],
                height=height if height > 0 else image.shape[1],
                rotation=float(rotation) if turned else 0.0,
                opacity=item.get("opacity", 1.0),
                blend=item.get("blend_mode", "normal"),
                visible=item.get("visible", True),
                flip_h=bool(item.get("flip_h", False)),
                flip_v=bool(item.get("flip_v", False)),
            )


def _alpha(frame: Image, mask: Mask | None) -> Mask | None:
    """The opacity of each pixel, from an alpha channel and a mask; ``None`` if there is neither."""
    own = frame[..., 3] if frame.shape[-1] == 4 else None
    if mask is None:
        return own
    if mask.shape[1:] != frame.shape[:2]:
        mask = scale_mask(mask, frame.shape[1], frame.shape[0])[..., 0]
    opaque: Mask = np.clip(1.0 - mask[0], 0.0, 1.0)
    return opaque if own is None else own * opaque


def _visible(frame: Frame) -> Image:
    """The frame's picture as the editor shows it."""
    colours = frame.image[..., :3]
    return (colours if frame.alpha is None else np.dstack([colours, frame.alpha]))[None]


def _fingerprint(frame: Frame) -> str:
    """ComfyUI's digest of a frame and its place, by which the editor knows the layers again."""
    digest = hashlib.sha256(repr((1, *frame.image.shape)).encode())
    digest.update(rounded(frame.image[..., :3]).tobytes())
    if frame.alpha is not None:
        digest.update(rounded(frame.alpha).tobytes())
    place = (frame.x, frame.y, frame.width, frame.height, frame.rotation, frame.opacity, frame.blend)
    digest.update(repr((*place, bool(frame.visible), frame.flip_h, frame.flip_v)).encode())
    return digest.hexdigest()[:16]


def _editor_layer(frame: Frame) -> JsonObject:
    """The frame as the editor gets it."""
    opacity, blend = frame.opacity, frame.blend
    return {
        "x": frame.x,
        "y": frame.y,
        "width": frame.width,
        "height": frame.height,
        "rotation": frame.rotation,
        "name": frame.name,
        "visible": bool(frame.visible),
        "opacity": opacity if isinstance(opacity, int | float) else 1.0,
        "blend": blend if isinstance(blend, str) else "normal",
        "flipH": frame.flip_h,
        "flipV": frame.flip_v,
    }


def _split(picture: Image) -> tuple[Image, Mask]:
    """The picture without its alpha channel if it is opaque, and the mask of what is transparent."""
    if picture.shape[-1] != 4:
        return picture, np.zeros(picture.shape[:3], dtype=np.float32)
    alpha = picture[..., 3]
    if (alpha >= _OPAQUE).all():
        return picture[..., :3], np.zeros_like(alpha)
    return picture, np.clip(1.0 - alpha, 0.0, 1.0)
