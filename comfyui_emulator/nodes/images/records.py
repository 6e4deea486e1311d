"""Nodes for pictures from a camera, vector drawings, and plots of losses."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Image, Mask, link, node, side, switch, text
from comfyui_emulator.nodes.images.files import existing_file, file_digest, load_image, metadata_values
from comfyui_emulator.nodes.images.previews import preview
from comfyui_emulator.nodes.images.resample import from_bytes

JsonObject = dict[str, Any]


@node(
    "WebcamCapture",
    {"image": ["WEBCAM", {}], "width": side(0), "height": side(0), "capture_on_queue": switch(True)},
    "IMAGE",
    module="comfy_extras.nodes_webcam",
    category="image",
    title="Webcam Capture",
    IS_CHANGED=lambda image, width, height, capture_on_queue: file_digest(image),
    VALIDATE_INPUTS=lambda image: existing_file(image, "image"),
)
def webcam(image: str, **_: Any) -> tuple[Image, Mask]:
    """The picture that the frontend took and uploaded."""
    return load_image(image)


@dataclass(frozen=True, slots=True)
class Drawings:
    """An SVG value: ``data`` holds open binary files."""

    data: list[Any]


_TAG = re.compile(r"(<svg[^>]*>)")


@node(
    "SaveSVGNode",
    {"svg": link("SVG"), "filename_prefix": text(default="svg/ComfyUI", multiline=False)},
    "SVG",
    names="svg",
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_images",
    category="image",
    title="Save SVG",
    v3=True,
    OUTPUT_NODE=True,
)
def save_svg(
    svg: Drawings, filename_prefix: str = "svg/ComfyUI", prompt: Any = None, extra_pnginfo: Any = None
) -> JsonObject:
    """Save each drawing as a file. Prompt and workflow are always added as a ``metadata`` element."""
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
    metadata = metadata_values(prompt, extra_pnginfo)
    element = f"\n  <metadata><![CDATA[{json.dumps(metadata, indent=2)}]]></metadata>\n" if metadata else ""
    saved = []
    for index, drawing in enumerate(svg.data):
        drawing.seek(0)
        content = _TAG.sub(lambda found: found[1] + element, drawing.read().decode())
        name = f"{stem.replace('%batch_num%', str(index))}_{counter:05}_.svg"
        (target / name).write_bytes(content.encode())
        saved.append({"filename": name, "subfolder": subfolder, "type": "output"})
        counter += 1
    return {"ui": {"images": saved}, "result": (svg,)}


_WIDTH, _HEIGHT, _MARGIN = 800, 480, 40


@node(
    "LossGraphNode",
    {"loss": link("LOSS_MAP"), "filename_prefix": text(default="loss_graph", multiline=False)},
    "",
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_train",
    category="model/training",
    title="Plot Loss Graph",
    v3=True,
    OUTPUT_NODE=True,
    EXPERIMENTAL=True,
)
def plot_loss(loss: JsonObject, filename_prefix: str, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """Show a plot of 840 x 520 pixels. The prefix is not used. Raises ``ZeroDivisionError`` if all losses are equal."""
    from PIL import Image as Pillow

    del filename_prefix
    values = [float(value) for value in loss["loss"]]
    low, high = min(values), max(values)
    places = [
        (_MARGIN + int(step / len(values) * _WIDTH), _HEIGHT - int((value - low) / (high - low) * _HEIGHT))
        for step, value in enumerate(values)
    ]
    picture = Pillow.new("RGB", (_WIDTH + _MARGIN, _HEIGHT + _MARGIN), "white")
    _draw_curve(picture, places, low, high)
    return {"ui": preview(from_bytes(np.asarray(picture))[None], prompt, extra_pnginfo)}


def _draw_curve(picture: Any, places: list[tuple[int, int]], low: float, high: float) -> None:
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    for start, end in itertools.pairwise(places):
        draw.line([start, end], fill="blue", width=2)
    draw.line([(_MARGIN, 0), (_MARGIN, _HEIGHT)], fill="black", width=2)
    draw.line([(_MARGIN, _HEIGHT), (_WIDTH + _MARGIN, _HEIGHT)], fill="black", width=2)
    try:
        font: Any = ImageFont.truetype("arial.ttf", 12)
    except OSError:
        font = ImageFont.load_default()
    labels = [((5, _HEIGHT // 2), "Loss"), ((_WIDTH // 2, _HEIGHT + 10), "Steps")]
    labels += [((_MARGIN - 30, 0), f"{high:.2f}"), ((_MARGIN - 30, _HEIGHT - 10), f"{low:.2f}")]
    for place, label in labels:
        draw.text(place, label, font=font, fill="black")
