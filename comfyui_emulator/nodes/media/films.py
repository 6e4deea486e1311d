"""VIDEO values: a file, a part of one, or images; what they are made of, and how they are cut."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.media import recoding
from comfyui_emulator.nodes.media.codecs import Audio, pyav
from comfyui_emulator.nodes.media.streams import FrameReader, bits, color_space, first_pictures, last_sound

log = logging.getLogger("comfyui_emulator")


@dataclass(frozen=True, slots=True)
class Video:
    """A VIDEO value: a file (its path or content), or images with a frame rate per second and optional sound.

    Of a file, ``start`` (negative: from the end) and ``duration`` (0: to the end) select a part, in seconds. The
    methods have the names by which node packs call them.
    """

    path: Path | bytes | None = None
    images: Image | None = None
    frame_rate: Fraction = field(default_factory=lambda: Fraction(1))
    audio: Audio | None = None
    bit_depth: int = 8
    start: float = 0.0
    duration: float = 0.0

    @property
    def name(self) -> str:
        """The file's path."""
        return "<bytes>" if isinstance(self.path, bytes) else str(self.path)

    def open(self) -> Any:
        """The file, to be read."""
        return pyav().open(io.BytesIO(self.path) if isinstance(self.path, bytes) else str(self.path))

    def _pictures(self) -> Image:
        # A constant in place of images fails where it is used, as in ComfyUI.
        return cast("Image", self.images)

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height in pixels. Raises ``ValueError`` for a file without pictures."""
        if self.path is None:
            return self._pictures().shape[2], self._pictures().shape[1]
        with self.open() as container:
            stream = first_pictures(container, self.name)
            return stream.width, stream.height

    def get_bit_depth(self) -> int:
        """Bits of one colour of one pixel, for images as they will be encoded."""
        if self.path is None:
            return self.bit_depth
        with self.open() as container:
            return bits(next(iter(container.streams.video), None))

    def get_color_space(self) -> str:
        """``sRGB``, ``HDR`` or ``HDR PQ``."""
        if self.path is None:
            return "sRGB"
        with self.open() as container:
            return color_space(next(iter(container.streams.video), None)) or "sRGB"

    def get_frame_rate(self) -> Fraction:
        """Images per second."""
        if self.path is None:
            return self.frame_rate
        with self.open() as container:
            return Fraction(first_pictures(container, self.name).average_rate or 1)

    def get_duration(self) -> float:
        """Seconds, of the part that is selected."""
        if self.path is None:
            return float(self._pictures().shape[0] / self.frame_rate)
        whole = self._whole_duration()
        left = min(whole, -self.start) if self.start < 0 else whole - self.start
        return min(self.duration, left) if self.duration else left

    def _whole_duration(self) -> float:
        with self.open() as container:
            if container.duration is not None:
                return float(container.duration / pyav().time_base)
            stream = first_pictures(container, self.name)
            count = stream.frames or sum(1 for _ in _units(container, stream))
            if stream.average_rate and count:
                return float(count / stream.average_rate)
        raise ValueError(f"Could not determine duration for file '{self.name}'")

    def window(self) -> tuple[float, float]:
        """Start and duration of the selected part; the start is never negative."""
        start = max(self._whole_duration() + self.start, 0.0) if self.start < 0 else self.start
        return float(start), float(self.duration)

    def get_active_trim_window(self) -> tuple[float, float]:
        """:meth:`window`, by the name that packs use."""
        return self.window()

    def get_frame_count(self) -> int:
        """The number of images, mostly from what the file says about itself.

        As in ComfyUI 0.33, a part without duration, and a whole file that does not state its frames, count as 1.
        """
        if self.path is None:
            return int(self._pictures().shape[0])
        with self.open() as container:
            stream = first_pictures(container, self.name)
            if stream.frames > 0 and not self.start and not self.duration:
                return int(stream.frames)
            if stream.duration is not None and stream.time_base is not None and stream.average_rate:
                whole = float(stream.duration * stream.time_base)
                left = min(whole, -self.start) if self.start < 0 else whole - self.start
                estimate = round(min(self.duration, left) * float(stream.average_rate))
                if estimate > 0:
                    return int(estimate)
            return self._counted(container, stream)

    def _counted(self, container: Any, stream: Any) -> int:
        start, duration = self.window()
        first, end = int(start / stream.time_base), int((start + duration) / stream.time_base)
        container.seek(first, stream=stream)
        units = _units(container, stream)
        if not any(unit.pts >= first for unit in units):
            raise ValueError(
                f"Could not determine frame count for file '{self.name}'\nNo frames exist for start_time {self.start}"
            )
        count = 1
        for unit in units:
            if unit.pts >= end:
                break
            count += 1
        return count

    def get_stream_source(self) -> Any:
        """The file's path, or its content as a stream; images are encoded first."""
        content = self.path if self.path is not None else self.encoded().path
        return io.BytesIO(content) if isinstance(content, bytes) else str(content)

    def encoded(self) -> Video:
        """The video as a file: images become an MP4 file in memory."""
        if self.path is not None:
            return self
        buffer = io.BytesIO()
        self.save_to(buffer)
        return Video(buffer.getvalue())

    def as_trimmed(self, start_time: float = 0, duration: float = 0, strict_duration: bool = True) -> Video | None:
        """A part. ``None`` if images are too short, or a file is and ``strict_duration`` is set."""
        if self.path is None:
            too_short = self.get_duration() < start_time + duration
            return None if too_short else replace(self.encoded(), start=start_time, duration=duration)
        part = replace(self, start=start_time + self.start, duration=duration)
        return None if strict_duration and part.get_duration() < duration else part

    def get_components(self) -> Video:
        """The video with all its images and its sound decoded."""
        return self if self.path is None else _decoded(self)

    def save_to(
        self,
        path: Any,
        format: str = "auto",  # noqa: A002 - ComfyUI's name
        codec: str = "auto",
        metadata: dict[str, Any] | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
        color_space: str | None = None,
    ) -> None:
        """Write the video to a path or a stream, see :mod:`.recoding`."""
        wanted = recoding.Wanted(_word(format), _word(codec), metadata, bit_depth, crf, color_space)
        if self.path is None:
            depth = self.bit_depth if bit_depth is None else bit_depth
            recoding.encode(self._pictures(), self.frame_rate, self.audio, path, replace(wanted, bit_depth=depth))
            return
        with self.open() as source:
            part = self.window() if self.start or self.duration else None
            recoding.rewrite(recoding.Source(source, self.name, part), path, wanted)

    def select(self, indices: list[int]) -> Video:
        """Only these images, decoded; without sound."""
        source = self.encoded()
        found: dict[int, Image] = {}
        with source.open() as container:
            for index, frame in enumerate(container.decode(first_pictures(container, source.name))):
                if index in indices:
                    found[index] = from_bytes(frame.to_ndarray(format="rgb24"))
                if index >= max(indices):
                    break
        return Video(None, np.stack([found[index] for index in indices]), self.get_frame_rate())


_CAN_BE_COUNTED = 0x100
"""The codec capability by which ComfyUI chooses between counting frames and counting packets."""


def _word(value: str) -> str:
    return str(getattr(value, "value", value))


def _units(container: Any, stream: Any) -> Iterator[Any]:
    units: Iterator[Any]
    units = container.decode(stream) if stream.codec.capabilities & _CAN_BE_COUNTED else container.demux(stream)
    return units


def _readable(packet: Any) -> list[Any]:
    """A packet's frames; none where they cannot be decoded, which ComfyUI only logs."""
    try:
        return list(packet.decode())
    except pyav().error.InvalidDataError:
        log.info("A packet of the video cannot be decoded")
        return []


def _decoded(video: Video) -> Video:
    start, duration = video.window()
    with video.open() as container:
        stream = first_pictures(container, video.name)
        first, end = int(start / stream.time_base), int((start + duration) / stream.time_base)
        if first:
            container.seek(first, stream=stream)
        sound = last_sound(container)
        read, samples = FrameReader(), _Samples(start, duration)
        images: list[Image] = []
        done = False
        for packet in container.demux(stream, *([] if sound is None else [sound])):
            if done and (sound is None or samples.done):
                break
            if packet.stream.type == "audio":
                samples.take(packet)
                continue
            for frame in [] if done else _readable(packet):
                if duration and frame.pts >= end:
                    done = True
                    break
                if frame.pts >= first:
                    images.append(read(frame))
        shown = np.stack(images) if images else np.zeros((0, 0, 0, 3), dtype=np.float32)
        return Video(None, shown, Fraction(stream.average_rate or 1), samples.joined(sound))


class _Samples:
    """Collects the sound of a part of a file."""

    def __init__(self, start: float, duration: float) -> None:
        self._start, self._duration = start, duration
        self._parts: list[Any] = []
        self._resampler = pyav().AudioResampler(format="fltp")
        self.done = False

    def take(self, packet: Any) -> None:
        """Decode a packet."""
        if self.done:
            return
        for decoded in packet.decode():
            for frame in self._resampler.resample(decoded):
                if self._duration and frame.time > self._start + self._duration:
                    self.done = True
                    return
                skipped = 0
                if not self._parts:
                    late = self._start - frame.pts * packet.stream.time_base
                    skipped = max(0, int(late * packet.stream.sample_rate))
                if skipped < frame.samples:
                    self._parts.append(frame.to_ndarray()[..., skipped:])

    def joined(self, stream: Any) -> Audio | None:
        """All of it, ``None`` if there is none."""
        if not self._parts:
            return None
        rate = int(stream.sample_rate or 1)
        waveform = np.concatenate(self._parts, axis=1)
        cut = waveform[..., : int(self._duration * rate)] if self._duration else waveform
        return {"waveform": cut[None].astype(np.float32), "sample_rate": rate}
