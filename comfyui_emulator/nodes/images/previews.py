"""Pictures for the frontend: previews of results, a comparison of two, and paintings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Image, Mask, integer, link, node, text
from comfyui_emulator.nodes.images.colours import color_input, levels_of
from comfyui_emulator.nodes.images.files import file_digest, input_path, metadata_parts, pictures, temporary_suffix
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.wording import plane_sides, regrouped

JsonObject = dict[str, Any]


def save_pngs(
    images: Image, prefix: str, kind: str, metadata: Sequence[tuple[str, str]] = (), compress_level: int = 1
) -> list[JsonObject]:
    """Save each image as a PNG file in the folder of that kind; references to the files."""
    from PIL.PngImagePlugin import PngInfo

    root = runtime.context().folders.by_type(kind)
    assert root is not None  # noqa: S101 - callers name existing folders
    height, width = images[0].shape[:2]
    target, stem, counter, subfolder = next_save_path(prefix, root, width, height)
    info = PngInfo()
    for key, value in metadata:
        info.add_text(key, value)
    saved = []
    for index, picture in enumerate(pictures(images)):
        name = f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}_.png"
        picture.save(target / name, pnginfo=info, compress_level=compress_level)
        saved.append({"filename": name, "subfolder": subfolder, "type": kind})
    return saved


def preview(images: Image, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """Save images in the temporary folder; the part of a result that shows them on the node."""
    prefix = "ComfyUI" + temporary_suffix()
    saved = save_pngs(images, prefix, "temp", metadata_parts(prompt, extra_pnginfo))
    return {"images": saved, "animated": (False,)}


@node(
    "MaskPreview",
    {"mask": link("MASK")},
    "MASK",
    names="mask",
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_mask",
    category="image/mask",
    title="Preview Mask",
    v3=True,
    OUTPUT_NODE=True,
)
def preview_mask(mask: Mask, **_: Any) -> JsonObject:
    """Show a mask as a grey image, and pass it on."""
    grey = np.repeat(regrouped(mask, 1, *plane_sides(mask))[:, 0, ..., None], 3, axis=-1)
    return {"ui": preview(grey), "result": (mask,)}


@node(
    "ImageCompare",
    {"compare_view": ["IMAGECOMPARE", {"socketless": True}]},
    "",
    optional={"image_a": link("IMAGE"), "image_b": link("IMAGE")},
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_image_compare",
    category="image",
    title="Compare Images",
    v3=True,
    OUTPUT_NODE=True,
    EXPERIMENTAL=True,
)
def compare(image_a: Image | None = None, image_b: Image | None = None, **_: Any) -> JsonObject:
    """Show two images, or batches, with a slider between them (since ComfyUI 0.9)."""
    suffix = temporary_suffix()
    ui: JsonObject = {"a_images": [], "b_images": []}
    for side, images in (("a", image_a), ("b", image_b)):
        if images is not None and len(images):
            ui[f"{side}_images"] = save_pngs(images, f"comfy.compare.{side}{suffix}", "temp")
    return {"ui": ui}


def _painted(mask: str, **_: Any) -> str:
    if mask.strip() and input_path(mask).exists():
        return file_digest(mask)
    return ""


_SIDE: JsonObject = {"step": 64, "hidden": True, "socketless": True}


@node(
    "Painter",
    {
        "mask": text(widgetType="PAINTER", image_upload=True, default="", socketless=True, multiline=False),
        "width": integer(512, 64, 4096, **_SIDE),
        "height": integer(512, 64, 4096, **_SIDE),
        "bg_color": color_input("#000000"),
    },
    "IMAGE MASK",
    optional={"image": link("IMAGE")},
    module="comfy_extras.nodes_painter",
    category="image",
    v3=True,
    HAS_INTERMEDIATE_OUTPUT=True,
    IS_CHANGED=_painted,
)
def paint(mask: str, width: int, height: int, bg_color: str = "#000000", image: Image | None = None) -> JsonObject:
    """The first image, or a coloured ground, with what was painted and uploaded; and the painting's alpha."""
    base = np.full((1, height, width, 3), levels_of(bg_color)) if image is None else image[:1]
    alpha: Mask = np.zeros((1, *base.shape[1:3]), dtype=np.float32)
    if mask.strip():
        painting = _loaded(mask, base.shape[2], base.shape[1])
        alpha = painting[None, ..., 3]
        opaque = painting[..., 3:]
        base = (painting[..., :3] * opaque + base[0] * (np.float32(1.0) - opaque))[None]
    return {"ui": preview(base), "result": (base, alpha)}


def _loaded(name: str, width: int, height: int) -> Image:
    from PIL import Image as Pillow

    with Pillow.open(input_path(name)) as opened:
        picture = opened.convert("RGBA")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Pillow.Resampling.LANCZOS)
    return from_bytes(np.asarray(picture))
