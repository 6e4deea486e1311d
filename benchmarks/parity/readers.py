"""Readers of files other than pictures: to arrays of integers, or to texts."""

from __future__ import annotations

import io
import re
from typing import Any

import av
import numpy as np


def read_film(data: bytes) -> Any:
    """All frames, as levels."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_light(data: bytes) -> Any:
    """The values of a picture made of floats, in ten-thousandths; channels as its file orders them."""
    with av.open(io.BytesIO(data), format="exr_pipe") as container:
        frame = next(container.decode(video=0))
    return np.rint(frame.to_ndarray() * 10000).astype(int)


def read_sound(data: bytes) -> Any:
    """All samples, in thousandths of full loudness."""
    with av.open(io.BytesIO(data)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples = np.concatenate(parts, axis=1)
    full = np.iinfo(samples.dtype).max + 1 if np.issubdtype(samples.dtype, np.integer) else 1
    return np.rint(samples.astype(np.float64) / full * 1000).astype(int)


def read_mesh(data: bytes) -> Any:
    """The bytes after the description."""
    start = 12 + 8 + int.from_bytes(data[12:16], "little") + 8
    return np.rint(np.frombuffer(data[start:], dtype="<f4").clip(-9, 9) * 1000).astype(int)


def read_drawing(data: bytes) -> str:
    """The drawing without its metadata and without space between elements."""
    text = re.sub(r"<metadata>.*?</metadata>", "<metadata/>", data.decode(), flags=re.DOTALL)
    return re.sub(r">\s+<", "><", text)


def read_text(data: bytes) -> str:
    """The text."""
    return data.decode()


READERS = {
    ".mp4": read_film,
    ".webm": read_film,
    ".exr": read_light,
    ".flac": read_sound,
    ".mp3": read_sound,
    ".opus": read_sound,
    ".glb": read_mesh,
    ".svg": read_drawing,
    ".txt": read_text,
    ".csv": read_text,
    ".md": read_text,
    ".json": read_text,
}
