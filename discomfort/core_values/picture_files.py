"""Picture files as arrays in ComfyUI's form, and back: floats from 0 to 1, ``[batch, height, width, channel]``."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort._system.atomic_files import write_atomically

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_log = logging.getLogger("discomfort.tools")

_OPAQUE = frozenset({"JPEG", "PPM"})
"""Formats without transparency."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS_AXES = 4


def read_picture(path: str | os.PathLike[str]) -> Array:
    """The first frame of a picture as float32 ``[1, height, width, 3]``: turned as its EXIF says, transparency dropped.

    Raises FileNotFoundError, and Pillow's errors for files that are not pictures.
    """
    from PIL import Image

    with Image.open(path) as opened:
        return pixels_of(opened)


def pixels_of(picture: Any) -> Array:
    """The pixels of a picture of Pillow, as :func:`read_picture` gives them."""
    import numpy as np
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I"):  # 16 bits, which Pillow's conversion would clip
        grey = np.clip(np.asarray(turned, dtype=np.float32) / np.float32(65535), 0, 1)
        return np.repeat(grey[None, :, :, None], 3, axis=3)
    pixels = np.asarray(turned.convert("RGB"), dtype=np.float32)
    return np.ascontiguousarray(pixels[None] / np.float32(255))


def write_pictures(value: Any, path: str | os.PathLike[str]) -> list[Path]:
    """Write a picture, or all of a batch: the first to ``path``, the others beside it as ``name_2.png`` and so on.

    Takes numpy arrays and torch tensors of any device: ``[B, H, W, C]``, ``[H, W, C]``, masks ``[B, H, W]`` or
    ``[H, W]``, with 1, 3 or 4 channels. Numbers from 0 to 1 become 0 to 255, clamped and cut off, as ComfyUI's
    ``SaveImage`` does; ``uint8`` values are taken as they are. The suffix chooses the format; JPEG has no transparency.
    Missing folders are made. Each file appears complete or not at all.

    Raises TypeError or ValueError for what is not a picture, before anything is written, and OSError.
    """
    file = Path(path)
    batch = _batch(_as_array(value))
    encoded = [_encoded(pixels, file) for pixels in batch]
    files = [file, *(file.with_name(f"{file.stem}_{number}{file.suffix}") for number in range(2, len(encoded) + 1))]
    file.parent.mkdir(parents=True, exist_ok=True)
    for each, data in zip(files, encoded, strict=True):
        write_atomically(each, data)
    if len(files) > 1:
        _log.info("a batch of %d pictures: the first is %s, the last %s", len(files), files[0], files[-1])
    return files


def _as_array(value: Any) -> Array:
    import numpy as np

    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a torch tensor, without importing torch
        plain = value.detach().cpu()
        value = (plain.float() if plain.is_floating_point() else plain).numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a picture is a torch tensor or a numpy array, not {type(value).__name__}")
    if value.dtype == np.uint8:
        return np.asarray(value)
    if not (np.issubdtype(value.dtype, np.floating) or value.dtype == np.bool_):
        raise TypeError(f"a picture has floats from 0 to 1, or uint8 from 0 to 255, not {value.dtype}")
    # 255 * x is exact for what came from 8 bits only in float32.
    scaled = np.float32(255) * value.astype(np.float32)
    clamped: Array = np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255).astype(np.uint8)
    return clamped


def _batch(pixels: Array) -> Array:
    """The pictures as ``[B, H, W, C]``; ``[n, m, 3]`` is one picture, other three-dimensional arrays are masks."""
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[None, :, :, None]
    elif pixels.ndim == 3:
        pixels = pixels[None] if shape[-1] in _MODES else pixels[..., None]
    if pixels.ndim != _CHANNELS_AXES or pixels.shape[-1] not in _MODES:
        raise ValueError(f"a picture has the shape [B, H, W, C] with 1, 3 or 4 channels, or [B, H, W], not {shape}")
    if 0 in pixels.shape:
        raise ValueError(f"there is no picture in an array of shape {shape}")
    return pixels


def _encoded(pixels: Array, file: Path) -> bytes:
    from PIL import Image

    kind = Image.registered_extensions().get(file.suffix.lower())
    if kind is None:
        raise ValueError(f"{file.name}: the suffix names no picture format, such as .png or .jpg")
    channels = pixels.shape[-1]
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    if channels == max(_MODES) and kind in _OPAQUE:
        picture = picture.convert("RGB")
    options: dict[str, Any] = {"PNG": {"compress_level": 4}, "JPEG": {"quality": 95}}.get(kind, {})
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()
