"""Pictures from files, with the values that ComfyUI gives them since 0.21: those of FFmpeg.

FFmpeg converts some kinds of pictures by way of other colour spaces, so that they lose up to two levels of 255. Without
PyAV, which is optional, these keep the levels that are in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, Mask
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.media.codecs import NeedsPyAVError, pyav
from comfyui_emulator.nodes.media.streams import FrameReader, first_pictures

Frames = tuple[Image, "Mask | None"]
"""All frames, and their alpha, if they have one."""


def tolerantly_opened(path: Path) -> Any:
    """The file in Pillow. As in ComfyUI, the readable part of a truncated one is loaded."""
    from PIL import Image as Pillow
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True
    return Pillow.open(path)


def decoded(path: Path) -> Frames:
    """The frames of a file. Raises Pillow's or PyAV's errors for what neither can read."""
    found = _plain(path)
    if found is None:
        try:
            found = _by_ffmpeg(path)
        except NeedsPyAVError:
            return _by_pillow(path)
    # FFmpeg finds no frames in some files, such as animated WebP.
    return found if len(found[0]) else _by_pillow(path)


_EXACT = ("RGB", "RGBA", "P", "P;1", "P;2", "P;4")
"""How PNG files store colours of 8 bits and palettes, which FFmpeg reads as they are."""


def _plain(path: Path) -> Frames | None:
    """The most usual pictures, which need no FFmpeg; ``None`` for others."""
    try:
        picture = tolerantly_opened(path)
    except OSError:
        return None
    with picture:
        if picture.format != "PNG" or getattr(picture, "n_frames", 1) > 1 or picture.tile[0][3] not in _EXACT:
            return None
        indexed = picture.mode == "P"
        pixels = np.asarray(picture.convert("RGBA"))
        # Known only now: it may stand behind the pixels. FFmpeg turns such a picture.
        if "exif" in picture.info:
            return None
        # For a palette, FFmpeg always reports an alpha channel.
        transparent = indexed or picture.mode == "RGBA" or "transparency" in picture.info
    levels = from_bytes(pixels)[None]
    return levels[..., :3], levels[..., 3] if transparent else None


def _by_ffmpeg(path: Path) -> Frames:
    av = pyav()
    reader = FrameReader()
    frames = []
    with av.open(str(path)) as container:
        for packet in container.demux(first_pictures(container, path)):
            try:
                frames += [reader.whole(frame) for frame in packet.decode()]
            except av.error.InvalidDataError:
                # ComfyUI leaves out what cannot be decoded.
                continue
    if not frames:
        return np.zeros((0, 0, 0, 3), dtype=np.float32), None
    whole = np.stack(frames)
    return whole[..., :3], whole[..., 3] if whole.shape[-1] == 4 else None


def _by_pillow(path: Path) -> Frames:
    """All frames of the size of the first."""
    with tolerantly_opened(path) as opened:
        frames = list(_frames(opened))
    fitting = [frame for frame in frames if frame[0].shape == frames[0][0].shape]
    alphas = [frame[1] for frame in fitting]
    known = [alpha for alpha in alphas if alpha is not None]
    return np.stack([frame[0] for frame in fitting]), np.stack(known) if len(known) == len(alphas) else None


def _frames(opened: Any) -> Iterator[Frames]:
    from PIL import ImageOps, ImageSequence

    for frame in ImageSequence.Iterator(opened):
        picture = ImageOps.exif_transpose(frame)
        if picture.mode.startswith("I"):
            deep = np.asarray(picture).astype(np.float32) / np.float32(65535.0)
            yield np.repeat(deep[..., None], 3, axis=-1), None
            continue
        alpha = from_bytes(np.asarray(picture.getchannel("A"))) if "A" in picture.getbands() else None
        yield from_bytes(np.asarray(picture.convert("RGB"))), alpha
