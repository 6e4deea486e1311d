"""Nodes for bounding boxes: one box, the boxes of an editor, boxes drawn on images (since ComfyUI 0.15)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, MAX_SIDE, Entry, Image, integer, link, node
from comfyui_emulator.nodes.images.regions import draw_regions
from comfyui_emulator.nodes.images.resample import from_bytes, to_bytes
from comfyui_emulator.nodes.wording import must_have, stacked

Box = dict[str, Any]
JsonObject = dict[str, Any]


def box_input(**extra: Any) -> Entry:
    """A box, as a widget."""
    whole = {"x": 0, "y": 0, "width": 512, "height": 512}
    return ["BOUNDING_BOX", {"default": whole, "socketless": True} | extra]


@node(
    "PrimitiveBoundingBox",
    {
        "x": integer(0, 0, MAX_SIDE),
        "y": integer(0, 0, MAX_SIDE),
        "width": integer(512, 1, MAX_SIDE),
        "height": integer(512, 1, MAX_SIDE),
    },
    "BOUNDING_BOX",
    module="comfy_extras.nodes_images",
    category="utilities/primitive",
    title="Bounding Box",
    v3=True,
)
def box(x: int, y: int, width: int, height: int) -> tuple[Box]:
    """A box made of four numbers."""
    return ({"x": x, "y": y, "width": width, "height": height},)


def _plain(boxes: Any) -> list[Box]:
    """The boxes of the first frame, with no more than their place and their ``metadata``."""
    if isinstance(boxes, dict):
        boxes = [boxes]
    elif boxes and isinstance(boxes[0], list):
        boxes = boxes[0]
    return [
        {key: item.get(key, 0) for key in ("x", "y", "width", "height")}
        | ({"metadata": item["metadata"]} if isinstance(item.get("metadata"), dict) else {})
        for item in boxes
        if isinstance(item, dict)
    ]


def _of_elements(elements: Sequence[Any], width: int, height: int) -> list[Box]:
    """Boxes of a prompt's elements, whose places are thousandths in the order top, left, bottom, right."""
    found: list[Box] = []
    for element in elements:
        if not isinstance(element, dict):
            continue
        place = element.get("bbox")
        if not (isinstance(place, list | tuple) and len(place) == 4):
            raise ValueError("bboxes element is missing a valid 'bbox' [ymin, xmin, ymax, xmax]")
        try:
            top, left, bottom, right = (float(value) / 1000.0 for value in place)
        except (TypeError, ValueError) as error:
            raise ValueError("bboxes element 'bbox' must contain four numbers") from error
        written = element.get("type") == "text"
        found.append(
            {
                "x": round(min(left, right) * width),
                "y": round(min(top, bottom) * height),
                "width": round(abs(right - left) * width),
                "height": round(abs(bottom - top) * height),
                "metadata": {
                    "type": "text" if written else "obj",
                    "text": element.get("text", "") if written else "",
                    "desc": element.get("desc", ""),
                    "palette": element.get("color_palette", []) or [],
                },
            }
        )
    return found


def _kind(item: Any) -> str | None:
    """What a value, or the first of a list, is: an ``element``, a ``box``, or a ``list``, perhaps empty."""
    if not isinstance(item, dict):
        return "list" if isinstance(item, list) else None
    place = item.get("bbox")
    if isinstance(place, list | tuple) and len(place) == 4:
        return "element"
    return "box" if {"x", "y", "width", "height"} <= item.keys() else None


def boxes_of(value: Any, width: int, height: int) -> list[Box]:
    """Boxes in pixels from boxes, from a prompt's elements, or from the JSON of either. Raises ``ValueError``."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, str):
        try:
            value = json.loads(value.strip())
        except ValueError as error:
            raise ValueError(f"bboxes string input is not valid JSON: {error}") from error
    first = value[0] if isinstance(value, list) and value else value
    kind = _kind(first)
    if kind == "element":
        return _of_elements(value if isinstance(value, list) else [value], width, height)
    if kind is None:
        raise ValueError(_complaint(value, first))
    return _plain(value)


def _complaint(value: Any, first: Any) -> str:
    """ComfyUI's text, which clients may match."""
    if isinstance(value, dict):
        return "bboxes dict must be a bounding box (x, y, width, height) or an element (with a 'bbox')"
    if not isinstance(value, list):
        return f"bboxes input must be bounding boxes, elements, or a JSON string, got {type(value).__name__}"
    if isinstance(first, dict):
        return "bboxes items must be bounding boxes (x, y, width, height) or elements (with a 'bbox')"
    return f"bboxes list must contain bounding boxes or elements, got {type(first).__name__}"


def _regions(boxes: Any, width: int, height: int) -> list[JsonObject]:
    """What the editor knows of each box, with its place in fractions of the canvas."""
    regions = []
    for item in boxes if isinstance(boxes, list) else ():
        if not isinstance(item, dict):
            continue
        known = item.get("metadata")
        known = known if isinstance(known, dict) else {}
        regions.append(
            {
                "x": item.get("x", 0) / (width or 1),
                "y": item.get("y", 0) / (height or 1),
                "w": item.get("width", 0) / (width or 1),
                "h": item.get("height", 0) / (height or 1),
                "type": known.get("type", "obj"),
                "text": known.get("text", ""),
                "desc": known.get("desc", ""),
                "palette": known.get("palette", []),
            }
        )
    return regions


def _pixels(region: JsonObject, width: int, height: int) -> Box:
    x, y, w, h = (region[key] for key in ("x", "y", "w", "h"))
    x, w = (x + w, -w) if w < 0 else (x, w)
    y, h = (y + h, -h) if h < 0 else (y, h)
    return {"x": round(x * width), "y": round(y * height), "width": round(w * width), "height": round(h * height)}


_MOST_COLORS = 5


def _element(region: JsonObject) -> JsonObject:
    """The region as an element of a prompt."""

    def thousandths(value: float) -> int:
        return max(0, min(1000, round(value * 1000)))

    x, y, w, h = (region[key] for key in ("x", "y", "w", "h"))
    top, bottom = sorted((thousandths(y), thousandths(y + h)))
    left, right = sorted((thousandths(x), thousandths(x + w)))
    written = region["type"] == "text"
    element: JsonObject = {"type": "text" if written else "obj", "bbox": [top, left, bottom, right]}
    if written:
        element["text"] = region["text"]
    element["desc"] = region["desc"]
    palette = region["palette"]
    palette = palette.values() if isinstance(palette, dict) else palette
    colors = [color.upper() for color in palette if isinstance(color, str) and color]
    return element | ({"color_palette": colors[:_MOST_COLORS]} if colors else {})


@node(
    "CreateBoundingBoxes",
    {
        "width": integer(1024, 64, MAX_SIDE, step=16),
        "height": integer(1024, 64, MAX_SIDE, step=16),
        "editor_state": ["BOUNDING_BOXES", {"default": [], "socketless": False}],
    },
    "IMAGE BOUNDING_BOX ARRAY",
    names="preview bboxes elements",
    optional={
        "background": link("IMAGE"),
        "bboxes": link("BOUNDING_BOX,ARRAY,STRING"),
        "last_incoming": ["BOUNDING_BOXES", {"default": [], "socketless": True}],
    },
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_bounding_boxes",
    category="utilities",
    title="Create Bounding Boxes",
    v3=True,
    OUTPUT_NODE=True,
    EXPERIMENTAL=True,
)
def create_boxes(
    width: int,
    height: int,
    editor_state: Any = None,
    last_incoming: Any = None,
    background: Image | None = None,
    bboxes: Any = None,
    **_: Any,
) -> JsonObject:
    """The boxes that the editor holds, or those that arrive, if they are others than those it began with."""
    incoming = boxes_of(bboxes, width, height)
    known = last_incoming if isinstance(last_incoming, list) else []
    chosen = incoming if incoming and incoming != known else editor_state or []
    regions = _regions(chosen, width, height)
    pixels = [_pixels(region, width, height) for region in regions]
    ui: JsonObject = {"dims": [width, height]} | ({"input_bboxes": incoming} if incoming else {})
    shown = draw_regions(regions, width, height, background)
    return {"ui": ui, "result": (shown, [pixels] if pixels else [], [_element(region) for region in regions])}


_INKS = (
    (255, 0, 0),
    (0, 200, 0),
    (0, 0, 255),
    (255, 165, 0),
    (128, 0, 128),
    (0, 255, 255),
    (255, 20, 147),
    (100, 149, 237),
)

# The names of the classes of the COCO data set, in its order: others are not written beside a box.
CLASSES = (  # noqa: SIM905 - a list would take eighty lines
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")


@node(
    "DrawBBoxes",
    {"bboxes": box_input(forceInput=True)},
    "IMAGE",
    names="out_image",
    optional={"image": link("IMAGE")},
    module="comfy_extras.nodes_rtdetr",
    category="image/detection",
    title="Draw BBoxes",
    v3=True,
)
def draw_boxes(bboxes: Any, image: Image | None = None) -> Image:
    """Draw the boxes of each image; without an image on a black one that holds them all."""
    if image is not None:
        must_have(image, "shape")
    frames = _frames(bboxes, 1 if image is None else image.shape[0])
    if image is None:
        every = [item for frame in frames for item in frame]
        width = max((int(item["x"] + item["width"]) for item in every), default=640)
        height = max((int(item["y"] + item["height"]) for item in every), default=640)
        image = np.zeros((1, height, width, 3), dtype=np.float32)
    return stacked([_drawn(item, frame) for item, frame in zip(image, frames, strict=True)])


def _frames(boxes: Any, count: int) -> list[list[Box]]:
    """The boxes of each of ``count`` images, whichever way they are given."""
    if isinstance(boxes, dict):
        frames: list[list[Box]] = [[boxes]]
    elif not isinstance(boxes, list) or not boxes:
        frames = [[]]
    else:
        frames = [boxes] if isinstance(boxes[0], dict) else boxes
    if len(frames) == 1:
        frames = frames * count
    return [*frames, *([[]] * count)][:count]


def _drawn(image: Image, boxes: Sequence[Box]) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.fromarray(to_bytes(image))
    draw = ImageDraw.Draw(picture)
    try:
        font: Any = ImageFont.truetype("arial.ttf", 16)
    except OSError:
        font = ImageFont.load_default()
    for item in sorted(boxes, key=lambda found: found.get("score", 1.0)):
        label = item.get("label") if item.get("label") in CLASSES else None
        ink = _INKS[0 if label is None else CLASSES.index(label) % len(_INKS)]
        left, top = float(item["x"]), float(item["y"])
        draw.rectangle([left, top, left + item["width"], top + item["height"]], outline=ink, width=3)
        if label is not None:
            draw.text((left + 2, top + 2), f"{label} {item.get('score', 1.0):.2f}", fill=ink, font=font)
    return from_bytes(np.asarray(picture))
