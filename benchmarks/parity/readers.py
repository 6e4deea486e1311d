"""Readers of files other than pictures: to arrays of integers, or to texts."""

from __future__ import annotations

import gzip
import io
import json
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
    """The letters of the description, without the prompt, and the numbers after it."""
    if data[:4] != b"glTF":
        return read_bytes(data)
    start = 12 + 8 + int.from_bytes(data[12:16], "little") + 8
    described = json.loads(data[20 : start - 8], parse_float=lambda text: round(float(text), 3))
    described["asset"].pop("extras", None)
    letters = read_bytes(json.dumps(described, sort_keys=True).encode())
    return np.concatenate([letters, thousandths(np.frombuffer(data[start:], dtype="<f4"))])


def read_bytes(data: bytes) -> Any:
    """The bytes as they are."""
    return np.frombuffer(data, np.uint8).astype(int)


def thousandths(numbers: Any) -> Any:
    """Numbers as integers; none is too large or missing."""
    return np.rint(np.nan_to_num(numbers.astype(np.float64)).clip(-999, 999) * 1000).astype(int)


def read_ply(data: bytes) -> Any:
    """The letters of the description, and the numbers after it."""
    start = data.index(b"end_header") + 11
    letters = np.frombuffer(data[:start], np.uint8).astype(int)
    return np.concatenate([letters, thousandths(np.frombuffer(data[start:], dtype="<f4"))])


def read_ksplat(data: bytes) -> Any:
    """The bytes of the description and the colours, and the other numbers."""
    letters = np.frombuffer(data[:5120], np.uint8).astype(int)
    table = np.frombuffer(data[5120:], np.dtype([("numbers", "<f4", 10), ("levels", "u1", 4)]))
    levels = table["levels"].reshape(-1).astype(int)
    return np.concatenate([letters, levels, thousandths(table["numbers"].reshape(-1))])


def read_spz(data: bytes) -> Any:
    """The bytes inside."""
    return np.frombuffer(gzip.decompress(data), np.uint8).astype(int)


def read_drawing(data: bytes) -> str:
    """The drawing without its metadata and without space between elements."""
    text = re.sub(r"<metadata>.*?</metadata>", "<metadata/>", data.decode(), flags=re.DOTALL)
    return re.sub(r">\s+<", "><", text)


def read_text(data: bytes) -> str:
    """The text."""
    return data.decode()


READERS = {
    ".mp4": read_film,
    ".mkv": read_film,
    ".webm": read_film,
    ".exr": read_light,
    ".flac": read_sound,
    ".mp3": read_sound,
    ".opus": read_sound,
    ".glb": read_mesh,
    ".ply": read_ply,
    ".splat": read_bytes,
    ".ksplat": read_ksplat,
    ".spz": read_spz,
    ".svg": read_drawing,
    ".txt": read_text,
    ".csv": read_text,
    ".md": read_text,
    ".json": read_text,
}
