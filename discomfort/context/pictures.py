"""Pictures of Pillow as parts of a stored value: their pixels as they are, with mode, size and palette."""

from __future__ import annotations

import base64
import sys
from typing import Any

import numpy as np

from ..exceptions import DamagedDataError, UnsupportedValueError
from .arrays import Array

_PIXEL_BYTES = {
    "L": 1, "P": 1, "LA": 2, "PA": 2, "I;16": 2, "RGB": 3, "YCbCr": 3, "LAB": 3, "HSV": 3,
    "RGBA": 4, "RGBX": 4, "RGBa": 4, "CMYK": 4, "I": 4, "F": 4,
}  # fmt: skip
"""Bytes of one pixel by mode; ``1`` has eight pixels in a byte, and each line begins with a new one."""
_MAX_PALETTE = 1024
_MAX_SIDE = 1 << 20
"""Pillow allocates something for each line, even if the lines are empty."""


def is_picture(value: object) -> bool:
    """Whether a value is a picture. Does not import Pillow: without it there is none."""
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return isinstance(kind, type) and isinstance(value, kind)


def pixels(picture: Any, place: str) -> tuple[Array, dict[str, Any]]:
    """The bytes of the pixels, and the JSON facts to make the picture again. Raises UnsupportedValueError."""
    if picture.mode != "1" and picture.mode not in _PIXEL_BYTES:
        raise UnsupportedValueError(
            f"a picture of mode {picture.mode!r} cannot be stored", place=place, remedy="Convert it to RGB or RGBA"
        )
    if max(picture.size) > _MAX_SIDE:
        raise UnsupportedValueError(f"a picture of size {picture.size} cannot be stored", place=place)
    facts: dict[str, Any] = {"mode": picture.mode, "size": list(picture.size)}
    data = picture.tobytes()  # reads the file of one that was only opened
    if picture.mode in ("P", "PA") and picture.palette is not None:
        mode = picture.palette.mode
        facts["palette"] = [mode, base64.b64encode(bytes(picture.getpalette(mode) or ())).decode()]
    transparency = picture.info.get("transparency")
    if isinstance(transparency, bytes):
        facts["transparency"] = base64.b64encode(transparency).decode()
    elif type(transparency) is int:
        facts["transparency"] = transparency
    return np.frombuffer(data, np.uint8), facts


def picture_of(data: Array, facts: dict[str, Any]) -> Any:
    """The picture with these pixels. Raises DamagedDataError, before anything is allocated; TypeError, ValueError."""
    from PIL import Image

    mode, (width, height) = facts["mode"], facts["size"]
    if not all(type(each) is int and 0 <= each <= _MAX_SIDE for each in (width, height)):
        raise DamagedDataError("a picture has no valid size")
    line = (width + 7) // 8 if mode == "1" else width * _PIXEL_BYTES.get(mode, -1)
    if line * height != data.size or line < 0:
        raise DamagedDataError(f"a picture of mode {mode!r} and size {width}x{height} has {data.size} bytes")
    picture = Image.frombytes(mode, (width, height), data.tobytes()) if data.size else Image.new(mode, (width, height))
    if "palette" in facts:
        palette_mode, palette = facts["palette"]
        if palette_mode not in ("RGB", "RGBA") or len(palette) > 2 * _MAX_PALETTE:
            raise DamagedDataError("a picture has no valid palette")
        picture.putpalette(base64.b64decode(palette, validate=True), palette_mode)
    if "transparency" in facts:
        found = facts["transparency"]
        picture.info["transparency"] = found if type(found) is int else base64.b64decode(found, validate=True)
    return picture
