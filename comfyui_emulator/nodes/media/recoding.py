"""Writing of videos: images are encoded, packets of files copied where possible, and encoded again where not."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.media.codecs import Audio, pyav, rgb_levels
from comfyui_emulator.nodes.media.streams import COLOR_SPACES, bits, color_space, first_pictures, last_sound

_FORMATS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}
_ENCODERS = {"h264": "h264", "av1": "libsvtav1"}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_IN_WEBM = {"video": ("av1", "vp8", "vp9"), "audio": ("opus", "vorbis"), "subtitle": ("webvtt",)}
_HDR = ("HDR", "HDR PQ")
_BT709, _BT2020_PRIMARIES, _BT2020_MATRIX, _LIMITED, _FULL = 1, 9, 9, 1, 2
"""FFmpeg's numbers of primaries, matrices and ranges."""

_WEBM_RATE = 48000


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to write a video. ``auto`` and ``None`` keep what a file has."""

    container: str = "auto"
    codec: str = "auto"
    tags: dict[str, Any] | None = None
    bit_depth: int | None = None
    crf: float | None = None
    color_space: str | None = None

    def settled(self, target: Any) -> Wanted:
        """With a container and a codec. Raises ``ValueError`` if they do not go together."""
        container, codec = self.container, self.codec
        if container == "auto":
            ending = "" if isinstance(target, io.BytesIO) else Path(target).suffix.lower()
            container = {".mkv": "mkv", ".webm": "webm"}.get(ending, "mp4")
        if codec == "auto":
            codec = "av1" if container == "webm" else "h264"
        if container == "webm" and codec != "av1":
            raise ValueError("WebM output requires the AV1 codec")
        return replace(self, container=container, codec=codec)

    def encoder_options(self) -> dict[str, str]:
        """The quality, as the encoder takes it."""
        if self.crf is None:
            return {}
        return {"svtav1-params": "lossless=1"} if self.codec == "av1" and self.crf == 0 else {"crf": str(self.crf)}


class Source(NamedTuple):
    """A video file that is open, and the part of it that is wanted: start and duration (0: to the end) in seconds."""

    container: Any
    name: object
    part: tuple[float, float] | None


def _check_space(wanted: Wanted) -> None:
    if wanted.color_space is not None and wanted.color_space not in COLOR_SPACES:
        raise ValueError(f"Unsupported video color space: {wanted.color_space}")


def rewrite(source: Source, target: Any, wanted: Wanted) -> None:
    """Write a file or a part of it: copied if nothing changes, else encoded again. Raises ``ValueError``."""
    _check_space(wanted)
    settled = wanted.settled(target)
    stream = next(iter(source.container.streams.video), None)
    present = color_space(stream)
    if None not in (present, wanted.color_space) and present != wanted.color_space:
        raise ValueError(
            f"Cannot save {present} video as {wanted.color_space} without color conversion; use auto or {present}"
        )
    if source.part is None and _is_as_wanted(source.container, stream, wanted, settled):
        _copy(source.container, target, settled, wanted.tags)
    else:
        depth = bits(stream) if wanted.bit_depth is None else wanted.bit_depth
        _Transcoding(source, replace(settled, bit_depth=depth)).write(target)


def _is_as_wanted(source: Any, stream: Any, wanted: Wanted, settled: Wanted) -> bool:
    if wanted.container != "auto" and _FORMATS[wanted.container] not in source.format.name.split(","):
        return False
    if settled.container == "webm":
        for each in source.streams:
            known = _IN_WEBM.get(each.type)
            if known is not None and each.codec_context is not None and each.codec.canonical_name not in known:
                return False
    if stream is not None and wanted.codec not in ("auto", stream.codec.canonical_name):
        return False
    if stream is not None and wanted.bit_depth not in (None, bits(stream)):
        return False
    return wanted.crf is None and wanted.color_space is None


def _output(target: Any, container: str) -> Any:
    options = {}
    if container == "mp4":
        # Without the first flag MP4 drops tags with non-standard names; the second needs a file of its own.
        options = {"movflags": "use_metadata_tags" + ("" if isinstance(target, io.BytesIO) else "+faststart")}
    place = target if isinstance(target, io.BytesIO) else str(target)
    return pyav().open(place, mode="w", format=_FORMATS[container], options=options)


def _colored(target: Any, space: str) -> None:
    hdr = space in _HDR
    target.color_primaries = _BT2020_PRIMARIES if hdr else _BT709
    target.color_trc = COLOR_SPACES[space]
    target.colorspace = _BT2020_MATRIX if hdr else _BT709
    target.color_range = _LIMITED


def _colored_as(target: Any, source: Any) -> None:
    for name in ("color_primaries", "color_trc", "colorspace", "color_range"):
        setattr(target, name, getattr(source, name))


def _frame(image: Image, pixels: str, space: str) -> Any:
    av = pyav()
    if pixels == "yuv420p10le":
        levels = np.clip(image * np.float32(65535), 0, 65535).astype(np.uint16)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(levels), format="rgb48le")
    else:
        frame = av.VideoFrame.from_ndarray(rgb_levels(image), format="rgb24")
    frame = frame.reformat(format=pixels, dst_colorspace=_BT2020_MATRIX if space in _HDR else _BT709)
    _colored(frame, space)
    return frame


def encode(images: Image, frame_rate: Fraction, audio: Audio | None, target: Any, wanted: Wanted) -> None:
    """Encode images, and their sound cut to the length of the pictures. Raises ``ValueError``."""
    _check_space(wanted)
    wanted = wanted.settled(target)
    space = wanted.color_space or "sRGB"
    pixels = "yuv420p10le" if (wanted.bit_depth or 8) >= 10 or space in _HDR else "yuv420p"
    rate = Fraction(round(frame_rate * 1000), 1000)
    with _output(target, wanted.container) as output:
        for key, value in (wanted.tags or {}).items():
            output.metadata[key] = json.dumps(value)
        stream = output.add_stream(_ENCODERS[wanted.codec], rate=rate)
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], pixels
        stream.options = wanted.encoder_options()
        _colored(stream.codec_context, space)
        sound = _Sound(output, audio, wanted.container, images.shape[0] / rate) if audio else None
        for image in images:
            output.mux(stream.encode(_frame(image, pixels, space)))
        output.mux(stream.encode(None))
        if sound is not None:
            sound.write()


class _Sound:
    """The sound track of encoded images."""

    def __init__(self, output: Any, audio: Audio, container: str, seconds: Fraction) -> None:
        self._output, self._rate = output, int(audio["sample_rate"])
        waveform = audio["waveform"]
        self._waveform = waveform[0, :, : math.ceil(seconds * self._rate)]
        self._layout = _LAYOUTS.get(self._waveform.shape[0], "stereo")
        self._own = _WEBM_RATE if container == "webm" else self._rate
        codec = "libopus" if container == "webm" else "aac"
        self._track = output.add_stream(codec, rate=self._own, layout=self._layout)

    def write(self) -> None:
        """Encode all of it."""
        av = pyav()
        planes = np.ascontiguousarray(self._waveform, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, 0
        frames = [frame]
        if self._own != self._rate:
            resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._own)
            frames = [*resampler.resample(frame), *resampler.resample(None)]
        for each in frames:
            self._output.mux(self._track.encode(each))
        self._output.mux(self._track.encode(None))


def _tag(output: Any, source: Any, tags: dict[str, Any] | None) -> None:
    for key, value in source.metadata.items():
        if key not in (tags or {}):
            output.metadata[key] = value
    for key, value in (tags or {}).items():
        output.metadata[key] = value if isinstance(value, str) else json.dumps(value)


def _copy(source: Any, target: Any, settled: Wanted, tags: dict[str, Any] | None) -> None:
    with _output(target, settled.container) as output:
        _tag(output, source, tags)
        tracks = {
            stream: output.add_stream_from_template(template=stream, opaque=True)
            for stream in source.streams
            if stream.type in ("video", "audio", "subtitle") and stream.codec_context is not None
        }
        for packet in source.demux():
            if packet.stream in tracks and packet.dts is not None:
                packet.stream = tracks[packet.stream]
                output.mux(packet)


class _Transcoding:
    """Encodes the selected part of a file again. The times of its frames are kept, so that they may be irregular."""

    def __init__(self, source: Source, wanted: Wanted) -> None:
        self._wanted, self._source, self._name = wanted, source.container, source.name
        self._stream = stream = first_pictures(source.container, source.name)
        self._start, self._duration = source.part or (0.0, 0.0)
        self._first = int(self._start / stream.time_base)
        self._end = int((self._start + self._duration) / stream.time_base) if self._duration else None
        self._rate = Fraction(stream.average_rate or 1)
        self._step = max(1, round((1 / self._rate) / stream.time_base))
        self._own_space = color_space(stream)
        hdr = wanted.color_space in _HDR or self._own_space in _HDR
        self._pixels = "yuv420p10le" if hdr or (wanted.bit_depth or 8) >= 10 else "yuv420p"
        self._sound = last_sound(source.container)
        self._goes_on = False

    def write(self, target: Any) -> None:
        """Decode, and encode. Raises ``ValueError`` if there is no frame, or sides are odd."""
        pictures, packets = self._decoded()
        if not pictures:
            raise ValueError(f"No decodable video frames found in file '{self._name}'")
        frames = self._timed(pictures)
        width, height = frames[0][0].width, frames[0][0].height
        if width % 2 or height % 2:
            raise ValueError(f"{self._wanted.codec.upper()} output requires even dimensions, got {width}x{height}")
        with _output(target, self._wanted.container) as output:
            _tag(output, self._source, self._wanted.tags)
            stream = self._added(output, width, height)
            track = self._track(output) if self._sound is not None else None
            lengths = {frame.pts: length for frame, length in frames}
            for frame in (*(frame for frame, _ in frames), None):
                for packet in stream.encode(frame):
                    packet.duration = lengths.get(packet.pts, 0)
                    output.mux(packet)
            if track is not None:
                end = (frames[-1][0].pts + frames[-1][1]) * self._stream.time_base
                for part in self._heard(packets, track, end):
                    output.mux(track.encode(part))
                output.mux(track.encode(None))

    def _decoded(self) -> tuple[list[Any], list[Any]]:
        pictures: list[Any] = []
        sounds: list[Any] = []
        if self._first:
            self._source.seek(self._first, stream=self._stream)
        streams = [self._stream] if self._sound is None else [self._stream, self._sound]
        for packet in self._source.demux(*streams):
            if packet.stream != self._stream:
                sounds += packet.decode()
                continue
            for frame in [] if self._goes_on else packet.decode():
                if self._end is not None and frame.pts is not None and frame.pts >= self._end:
                    self._goes_on = True
                    break
                if frame.pts is None or frame.pts >= self._first:
                    pictures.append(frame)
        return pictures, sounds

    def _timed(self, pictures: list[Any]) -> list[tuple[Any, int]]:
        """Converted frames from time 0, each with its length."""
        start = next((frame.pts for frame in pictures if frame.pts is not None), 0)
        limit = self._limit()
        found: list[tuple[Any, int]] = []
        for frame in pictures:
            length = frame.duration or self._step
            time = None if frame.pts is None else frame.pts - start
            ready = self._converted(frame)
            if time is not None and limit is not None and time + length > limit - start:
                length = max(limit - start - time, 1)
            if time is None or (found and time <= found[-1][0].pts):
                time = found[-1][0].pts + self._step if found else 0
            ready.pts = time
            ready.pict_type = 0
            found.append((ready, length))
        if self._goes_on and self._end is not None:
            last, length = found[-1]
            found[-1] = last, max(length, self._end - start - last.pts)
        return found

    def _limit(self) -> int | None:
        if self._stream.duration is None:
            return self._end
        whole = int((self._stream.start_time or 0) + self._stream.duration)
        return whole if self._end is None else min(whole, self._end)

    def _converted(self, frame: Any) -> Any:
        turns = round(frame.rotation // 90) % 4 if frame.rotation else 0
        if turns:
            frame = _turned(frame, self._stream.time_base, turns)
        if frame.color_range == _FULL and self._own_space is None:
            ready = frame.reformat(format=self._pixels, src_color_range="JPEG", dst_color_range="MPEG")
        else:
            ready = frame.reformat(format=self._pixels)
        if self._own_space is not None:
            _colored_as(ready, self._stream)
        elif self._wanted.color_space is not None:
            _colored(ready, self._wanted.color_space)
        return ready

    def _added(self, output: Any, width: int, height: int) -> Any:
        stream = output.add_stream(_ENCODERS[self._wanted.codec], rate=self._rate)
        # With reordered frames MP4 would give irregular frames the lengths of others.
        stream.codec_context.max_b_frames = 0
        stream.width, stream.height, stream.pix_fmt = width, height, self._pixels
        stream.options = self._wanted.encoder_options()
        if self._own_space is not None:
            _colored_as(stream.codec_context, self._stream)
        elif self._wanted.color_space is not None:
            _colored(stream.codec_context, self._wanted.color_space)
        stream.codec_context.time_base = self._stream.time_base
        return stream

    def _track(self, output: Any) -> Any:
        context = self._sound.codec_context
        webm = self._wanted.container == "webm"
        rate = _WEBM_RATE if webm else context.sample_rate
        layout = _LAYOUTS.get(context.channels, "stereo")
        return output.add_stream("libopus" if webm else "aac", rate=rate, layout=layout)

    def _heard(self, decoded: list[Any], track: Any, end: Fraction) -> Iterator[Any]:
        """The sound of the part as frames from time 0, no longer than the pictures."""
        rate, layout = track.codec_context.sample_rate, track.codec_context.layout.name
        resampler = pyav().AudioResampler(format="fltp", layout=layout, rate=rate)
        most = math.ceil(end * rate)
        if self._duration:
            most = min(most, math.ceil(self._duration * rate))
        written = 0
        for frame in itertools.chain.from_iterable(map(resampler.resample, decoded)):
            begin = 0.0 if frame.pts is None else float(frame.pts * (frame.time_base or Fraction(1, rate)))
            skipped = 0
            if not written:
                skipped = max(0, int((self._start - begin) * rate))
                if self._duration and begin > self._start:
                    most = min(most, math.ceil((self._start + self._duration - begin) * rate))
            if skipped >= frame.samples:
                continue
            part = frame.to_ndarray()[..., skipped : skipped + most - written]
            if not part.shape[-1]:
                break
            made = pyav().AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
            made.sample_rate, made.pts, made.time_base = rate, written, Fraction(1, rate)
            written += part.shape[-1]
            yield made


def _turned(frame: Any, time_base: Fraction, turns: int) -> Any:
    ways: dict[int, list[tuple[str, str | None]]] = {
        1: [("transpose", "cclock")],
        2: [("hflip", None), ("vflip", None)],
        3: [("transpose", "clock")],
    }
    graph = pyav().filter.Graph()
    first = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=time_base)
    last = first
    for name, options in ways[turns]:
        step = graph.add(name, options)
        last.link_to(step)
        last = step
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    first.push(frame)
    return sink.pull()
