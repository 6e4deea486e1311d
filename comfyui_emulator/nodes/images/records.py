"""Nodes for pictures from a camera, vector drawings, and plots of losses."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from dataclasses import dataclass
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.folders import contained, next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA, Image, Mask, link, node, side, switch, text
from comfyui_emulator.nodes.images.files import existing_file, file_digest, load_image, metadata_parts

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
    {"svg": link("SVG"), "filename_prefix": text(default="svg/ComfyUI")},
    "",
    hidden=HIDDEN_METADATA,
    module="comfy_extras.nodes_images",
    category="image/save",
    OUTPUT_NODE=True,
)
def save_svg(
    svg: Drawings, filename_prefix: str = "svg/ComfyUI", prompt: Any = None, extra_pnginfo: Any = None
) -> JsonObject:
    """Save each drawing as a file. Prompt and workflow are always added as a ``metadata`` element."""
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
    told = ({} if prompt is None else {"prompt": prompt}) | (extra_pnginfo or {})
    element = f"\n  <metadata><![CDATA[{json.dumps(told, indent=2)}]]></metadata>\n" if told else ""
    saved = []
    for index, drawing in enumerate(svg.data):
        drawing.seek(0)
        content = _TAG.sub(lambda found: found[1] + element, drawing.read().decode())
        name = f"{stem.replace('%batch_num%', str(index))}_{counter:05}_.svg"
        (target / name).write_bytes(content.encode())
        saved.append({"filename": name, "subfolder": subfolder, "type": "output"})
        counter += 1
    return {"ui": {"images": saved}}


_WIDTH, _HEIGHT, _MARGIN = 800, 480, 40


@node(
    "LossGraphNode",
    {"loss": ["LOSS_MAP", {"default": {}}], "filename_prefix": text(default="loss_graph")},
    "",
    hidden=HIDDEN_METADATA,
    module="comfy_extras.nodes_train",
    category="training",
    title="Plot Loss Graph",
    OUTPUT_NODE=True,
    EXPERIMENTAL=True,
)
def plot_loss(loss: JsonObject, filename_prefix: str, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """Save a plot of 840 x 520 pixels in the temporary folder. Raises ``ZeroDivisionError`` if all losses are equal."""
    from PIL import Image as Pillow
    from PIL.PngImagePlugin import PngInfo

    values = [float(value) for value in loss["loss"]]
    low, high = min(values), max(values)
    places = [
        (_MARGIN + int(step / len(values) * _WIDTH), _HEIGHT - int((value - low) / (high - low) * _HEIGHT))
        for step, value in enumerate(values)
    ]
    picture = Pillow.new("RGB", (_WIDTH + _MARGIN, _HEIGHT + _MARGIN), "white")
    _draw_curve(picture, places, low, high)
    info: PngInfo | None = None
    if runtime.context().metadata:
        info = PngInfo()
        for key, value in metadata_parts(prompt, extra_pnginfo):
            info.add_text(key, value)
    folder = runtime.context().folders.temp
    name = f"{filename_prefix}_{time.strftime('%Y%m%d_%H%M%S')}.png"
    if contained(folder, name) is None and "\0" not in name:
        raise ValueError(f"{filename_prefix!r} is outside the temporary folder")
    picture.save(os.path.join(folder, name), pnginfo=info)  # noqa: PTH118 - unchanged, for the error's text
    return {"ui": {"images": [{"filename": name, "subfolder": "", "type": "temp"}]}}


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
