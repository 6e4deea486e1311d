"""Files with more than eight bits for each value: PNG of 8 or 16 bits, EXR of floats (since ComfyUI 0.23)."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Image, branching, choice, link, node, text
from comfyui_emulator.nodes.images.files import metadata_values
from comfyui_emulator.nodes.images.srgb import to_light

JsonObject = dict[str, Any]


def _fixed(options: list[str], default: str) -> Any:
    return choice(options, default=default, advanced=True)


@node(
    "SaveImageAdvanced",
    {
        "images": link("IMAGE"),
        "filename_prefix": text(default="ComfyUI", multiline=False),
        "format": branching(
            {
                "png": {
                    "bit_depth": _fixed(["8-bit", "16-bit"], "8-bit"),
                    "input_color_space": _fixed(["sRGB"], "sRGB"),
                },
                "exr": {
                    "bit_depth": _fixed(["32-bit float"], "32-bit float"),
                    "input_color_space": _fixed(["sRGB", "HDR", "linear"], "sRGB"),
                },
            }
        ),
    },
    "IMAGE",
    names="images",
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_images",
    category="image",
    title="Save Image (Advanced)",
    v3=True,
    OUTPUT_NODE=True,
)
def save_advanced(
    images: Image,
    filename_prefix: str,
    format: JsonObject,  # noqa: A002 - the input's name
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save each image, with prompt and workflow. Raises ``ValueError`` for other than 1, 3 or 4 channels."""
    ending, depth = format["format"], format["bit_depth"]
    height, width = images[0].shape[:2]
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, width, height)
    metadata = metadata_values(prompt, extra_pnginfo) if runtime.context().metadata else {}
    saved = []
    for index, picture in enumerate(images):
        # Some nodes make grey images without an axis of channels.
        image = picture[..., None] if picture.ndim == 2 else picture
        if image.shape[-1] not in (1, 3, 4):
            raise ValueError(
                f"No {ending}/{depth} encoder for {image.shape[-1]}-channel images: supported channel counts are 1 "
                "(grayscale), 3 (RGB) and 4 (RGBA)."
            )
        if ending == "png":
            content = png_bytes(image, 16 if depth == "16-bit" else 8, metadata)
        else:
            content = exr_bytes(image, format.get("input_color_space", "sRGB"), metadata)
        name = f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}.{ending}"
        (target / name).write_bytes(content)
        saved.append({"filename": name, "subfolder": subfolder, "type": "output"})
    return {"ui": {"images": saved}, "result": (images,)}


_PNG_COLOURS = {1: 0, 3: 2, 4: 6}
"""The colour types of PNG, by channels."""


def png_bytes(image: Image, bits: int, metadata: JsonObject) -> bytes:
    """A PNG file. Pillow cannot write colours of 16 bits."""
    height, width, channels = image.shape
    highest = np.float32((1 << bits) - 1)
    levels = np.clip(image * highest, 0, highest).astype(">u2" if bits == 16 else "u1")
    rows = levels.reshape(height, -1).view(np.uint8)
    # Each row begins with the number of its filter: none.
    plain = np.pad(rows, ((0, 0), (1, 0))).tobytes()
    parts = [(b"IHDR", struct.pack(">2I5B", width, height, bits, _PNG_COLOURS[channels], 0, 0, 0))]
    parts += [
        (b"tEXt", key.encode("latin-1") + b"\0" + json.dumps(value).encode("latin-1"))
        for key, value in metadata.items()
    ]
    parts += [(b"IDAT", zlib.compress(plain)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


# The red, green and blue of a colour space, and its white, as places in the diagram of CIE 1931.
_NARROW = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_WIDE = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)


def _light(levels: Image, space: str) -> Image:
    if space == "sRGB":
        return to_light(levels)
    return _from_hlg(levels) if space == "HDR" else levels


# The constants of hybrid log-gamma in BT.2100.
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991072928


def _from_hlg(levels: Image) -> Image:
    bright = (np.exp((np.maximum(levels, 0.5) - _HLG_C) / _HLG_A) + _HLG_B) / 12.0
    return np.where(levels <= 0.5, levels**2 / 3.0, bright).astype(np.float32)


def exr_bytes(image: Image, space: str, metadata: JsonObject) -> bytes:
    """An EXR file of amounts of light, row by row and not compressed. Alpha stays as it is."""
    height, width, channels = image.shape
    light = np.concatenate([_light(image[..., :3], space), image[..., 3:]], axis=-1).astype("<f4")
    names = "Y" if channels == 1 else "RGBA"[:channels]
    listed = b"".join(name.encode() + b"\0" + struct.pack("<IIII", 2, 0, 1, 1) for name in sorted(names)) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = [
        ("channels", "chlist", listed),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
        *((key, "string", json.dumps(value).encode()) for key, value in metadata.items()),
        ("chromaticities", "chromaticities", struct.pack("<8f", *(_WIDE if space == "HDR" else _NARROW))),
    ]
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    for name, kind, value in attributes:
        head += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    head += b"\0"
    # A row holds its channels one after another, in the order of their names.
    rows = light[..., [names.index(name) for name in sorted(names)]].transpose(0, 2, 1)
    length = 8 + 4 * width * channels
    start = len(head) + 8 * height
    offsets = struct.pack(f"<{height}Q", *(start + length * row for row in range(height)))
    body = (struct.pack("<2i", row, length - 8) + rows[row].tobytes() for row in range(height))
    return head + offsets + b"".join(body)
