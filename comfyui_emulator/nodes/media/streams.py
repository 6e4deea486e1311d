"""Streams of video files: their properties, and their frames as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.media.codecs import pyav

COLOR_SPACES = {"sRGB": 13, "HDR": 18, "HDR PQ": 16}
"""FFmpeg's numbers of the transfer functions that are written."""

_READ_SPACES = {1: "sRGB", **{number: name for name, number in COLOR_SPACES.items()}}
_ROUNDED = ("yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8")
"""Pixel formats that ComfyUI decodes to 8 bits; all others become floats."""


def first_pictures(container: Any, source: object) -> Any:
    """The first video stream. Raises ``ValueError`` if there is none."""
    for stream in container.streams.video:
        return stream
    raise ValueError(f"No video stream found in file '{source}'")


def last_sound(container: Any) -> Any:
    """The last sound stream that can be decoded, or ``None``."""
    return next((stream for stream in reversed(container.streams.audio) if stream.codec_context is not None), None)


def color_space(stream: Any) -> str | None:
    """``sRGB``, ``HDR`` or ``HDR PQ``; ``None`` if the stream says nothing that ComfyUI knows."""
    return None if stream is None else _READ_SPACES.get(int(stream.color_trc or 0))


def bits(stream: Any) -> int:
    """Bits of one colour of one pixel."""
    if stream is None or stream.format is None or not stream.format.components:
        return 8
    return max(int(component.bits) for component in stream.format.components)


class FrameReader:
    """Converts decoded frames of one stream to arrays, as ComfyUI since 0.21 does: mostly without rounding to 8 bits.

    If a width is not a multiple of 32, FFmpeg writes random values at the edge, so such frames are padded first.
    """

    def __init__(self) -> None:
        self._format, self._alpha = "", False
        self._padding: tuple[Any, Any, Any] | None = None

    def __call__(self, frame: Any) -> Image:
        """The picture ``[height, width, 3]``, turned as the file says."""
        return np.ascontiguousarray(self.whole(frame)[..., :3])

    def whole(self, frame: Any) -> Image:
        """The same with a fourth channel, if the file has alpha or a palette."""
        if not self._format:
            name = frame.format.name
            self._alpha = name == "pal8" or any(part.is_alpha for part in frame.format.components)
            plain = "rgba" if self._alpha else "rgb24"
            self._format = plain if name in _ROUNDED else "gbrapf32le" if self._alpha else "gbrpf32le"
        if self._format.endswith("f32le"):
            image = self._padded(frame) if frame.width % 32 else frame.to_ndarray(format=self._format)
        else:
            image = from_bytes(frame.to_ndarray(format=self._format))
        turned = np.rot90(image, round(frame.rotation // 90)) if frame.rotation else image
        return np.ascontiguousarray(turned, dtype=np.float32)

    def _padded(self, frame: Any) -> Image:
        if self._padding is None:
            wide, high = -(-frame.width // 32) * 32, -(-frame.height // 32) * 32
            graph = pyav().filter.Graph()
            first = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
            )
            pad = graph.add("pad", f"{wide}:{high}:0:0")
            right, bottom = wide - frame.width, high - frame.height
            fill = graph.add("fillborders", f"left=0:right={right}:top=0:bottom={bottom}:mode=smear")
            last = graph.add("buffersink")
            first.link_to(pad)
            pad.link_to(fill)
            fill.link_to(last)
            graph.configure()
            self._padding = graph, first, last
        self._padding[1].push(frame)
        whole: Image = self._padding[2].pull().to_ndarray(format=self._format)
        return whole[: frame.height, : frame.width]
