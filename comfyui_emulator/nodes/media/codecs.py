"""Sound and video codecs from PyAV, an optional dependency that is only imported when a node needs it."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.images.resample import from_bytes

Waveform = npt.NDArray[np.float32]
"""``[batch, channel, sample]``, -1 to 1."""

Audio = dict[str, Any]
"""``{"waveform": Waveform, "sample_rate": int}``; the rate is per second."""


class NeedsPyAVError(ImportError):
    """Raised when a node for sound or video is executed but PyAV is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "This node reads or writes sound or video, for which the discomfort emulator needs PyAV: "
            "pip install 'discomfort[media]'. Or run this prompt on a real ComfyUI."
        )


def pyav() -> Any:
    """The ``av`` module. Raises :class:`NeedsPyAVError`."""
    try:
        import av
    except ImportError as error:
        raise NeedsPyAVError from error
    return av


_INTEGER_LEVELS = {np.dtype(np.int16): 2**15, np.dtype(np.int32): 2**31}


def _levels(samples: npt.NDArray[Any]) -> Waveform:
    """Samples of any format as floats. Integers are divided by the largest value of their type plus one."""
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32, copy=False)
    if samples.dtype not in _INTEGER_LEVELS:
        raise ValueError(f"sound in samples of type {samples.dtype} is not supported")
    return samples.astype(np.float32) / np.float32(_INTEGER_LEVELS[samples.dtype])


def read_audio(path: Path) -> Audio:
    """Decode the first sound track of a file. Raises ``ValueError`` if there is none."""
    with pyav().open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError("No audio stream found in the file.")
        stream = container.streams.audio[0]
        rate, channels = stream.codec_context.sample_rate, stream.channels
        parts = []
        for frame in container.decode(stream):
            part = frame.to_ndarray()
            # In a packed format the channels are interleaved in one row.
            parts.append(part if part.shape[0] == channels else part.reshape(-1, channels).T)
    if not parts:
        raise ValueError("No audio frames decoded.")
    return {"waveform": _levels(np.concatenate(parts, axis=1))[None], "sample_rate": rate}


def audio_frame(channels: Waveform, rate: int) -> Any:
    """``[channel, sample]`` as one frame, mono or stereo."""
    layout = "mono" if channels.shape[0] == 1 else "stereo"
    interleaved = np.ascontiguousarray(channels.T.reshape(1, -1), dtype=np.float32)
    frame = pyav().AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    return frame


def encode_audio(channels: Waveform, rate: int, container_format: str, quality: str, tags: dict[str, str]) -> bytes:
    """Encode as ``flac``, ``mp3`` or ``opus``. ``quality`` is a bit rate such as ``128k``, or ``V0``."""
    buffer = io.BytesIO()
    codec = {"opus": "libopus", "mp3": "libmp3lame"}.get(container_format, "flac")
    with pyav().open(buffer, mode="w", format=container_format) as container:
        for key, value in tags.items():
            container.metadata[key] = value
        layout = "mono" if channels.shape[0] == 1 else "stereo"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "libmp3lame" and quality == "V0":
            stream.codec_context.qscale = 1
        elif codec != "flac" and quality.endswith("k"):
            stream.bit_rate = int(quality[:-1]) * 1000
        container.mux(stream.encode(audio_frame(channels, rate)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


_HALF_WIDTH, _ROLLOFF = 6, 0.99
"""Zero crossings on each side of the windowed sinc, and its cut-off relative to the lower Nyquist frequency."""


def resample_audio(waveform: Waveform, rate: int, target: int) -> Waveform:
    """Resample with a Hann-windowed sinc, the default of torchaudio's ``resample``."""
    if rate == target:
        return waveform
    common = math.gcd(rate, target)
    old, new = rate // common, target // common
    base = min(old, new) * _ROLLOFF
    width = math.ceil(_HALF_WIDTH * old / base)
    # Single precision throughout, as in torchaudio's kernel for float32 samples.
    taps = np.arange(-width, width + old, dtype=np.float32) / np.float32(old)
    phases = np.arange(0, -new, -1, dtype=np.float32) / np.float32(new)
    time = np.clip((phases[:, None] + taps) * np.float32(base), -_HALF_WIDTH, _HALF_WIDTH)
    window = np.cos(time * np.float32(math.pi) / np.float32(_HALF_WIDTH) / np.float32(2)) ** 2
    angle = time * np.float32(math.pi)
    wave = np.divide(np.sin(angle), angle, out=np.ones_like(angle), where=angle != 0)
    kernel = wave * (window * np.float32(base / old))
    flat = waveform.reshape(-1, waveform.shape[-1])
    padded = np.pad(flat, ((0, 0), (width, width + old)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1], axis=1)[:, ::old]
    resampled = (windows @ kernel.T).reshape(flat.shape[0], -1)
    length = math.ceil(new * waveform.shape[-1] / old)
    cut: Waveform = resampled[:, :length].reshape(*waveform.shape[:-1], -1).astype(np.float32)
    return cut


@dataclass(slots=True)
class Video:
    """A VIDEO value: a file, or images with a frame rate per second and optional sound."""

    path: Path | None = None
    images: Image | None = None
    frame_rate: Fraction = field(default_factory=lambda: Fraction(1))
    audio: Audio | None = None

    def size(self) -> tuple[int, int]:
        """Width and height in pixels. Raises ``ValueError`` for a file without pictures."""
        if self.path is None:
            assert self.images is not None  # noqa: S101 - one of the two is given
            return self.images.shape[2], self.images.shape[1]
        with pyav().open(str(self.path)) as container:
            for stream in container.streams.video:
                return stream.width, stream.height
        raise ValueError(f"No video stream found in file '{self.path}'")

    def get_components(self) -> Video:
        """Decode all pictures and the sound."""
        return self if self.path is None else _decode(self.path)

    def save(self, target: Path, container_format: str, codec: str, tags: dict[str, Any]) -> None:
        """Write the video. A file's packets are copied if container and codec match; all else becomes H.264 in MP4."""
        if self.path is None:
            _encode(self, target, tags)
            return
        with pyav().open(str(self.path)) as source:
            tracks = {stream.codec.name for stream in source.streams.video[:1]} or {codec}
            if container_format in ("auto", *source.format.name.split(",")) and codec in ("auto", *tracks):
                _copy(source, target, tags)
                return
        _encode(self.get_components(), target, tags)


def _decode(path: Path) -> Video:
    with pyav().open(str(path)) as container:
        frames = [from_bytes(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        images = np.stack(frames) if frames else np.zeros((0, 3, 0, 0), dtype=np.float32)
        rate = container.streams.video[0].average_rate
        container.seek(0)
        audio = None
        for stream in container.streams.audio:
            parts = [frame.to_ndarray() for packet in container.demux(stream) for frame in packet.decode()]
            if parts:
                audio = {"waveform": np.concatenate(parts, axis=1)[None], "sample_rate": int(stream.sample_rate or 1)}
    return Video(None, images, Fraction(rate) if rate else Fraction(1), audio)


_KEEP_TAGS = {"movflags": "use_metadata_tags"}
"""Without this option MP4 drops tags with non-standard names."""


def _encode(video: Video, target: Path, tags: dict[str, Any]) -> None:
    """Encode images as H.264 in MP4. The sound becomes AAC, cut to the length of the pictures."""
    images, audio = video.images, video.audio
    assert images is not None  # noqa: S101 - the caller decoded
    av = pyav()
    rate = Fraction(round(video.frame_rate * 1000), 1000)
    with av.open(str(target), mode="w", options=_KEEP_TAGS) as output:
        for key, value in tags.items():
            output.metadata[key] = json.dumps(value)
        stream = output.add_stream("h264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], "yuv420p"
        sound = output.add_stream("aac", rate=int(audio["sample_rate"])) if audio else None
        for image in images:
            frame = av.VideoFrame.from_ndarray(rgb_levels(image), format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
        if sound is not None and audio is not None:
            samples = math.ceil((int(audio["sample_rate"]) / rate) * images.shape[0])
            output.mux(sound.encode(audio_frame(audio["waveform"][0, :, :samples], int(audio["sample_rate"]))))
            output.mux(sound.encode(None))


def rgb_levels(image: Image) -> npt.NDArray[np.uint8]:
    """One image ``[height, width, channel]`` as levels from 0 to 255, truncated and contiguous."""
    return np.ascontiguousarray(np.clip(image * np.float32(255), 0, 255).astype(np.uint8))


def _copy(source: Any, target: Path, tags: dict[str, Any]) -> None:
    with pyav().open(str(target), mode="w", options=_KEEP_TAGS) as output:
        for key, value in source.metadata.items():
            if key not in tags:
                output.metadata[key] = value
        for key, value in tags.items():
            output.metadata[key] = value if isinstance(value, str) else json.dumps(value)
        kinds = ("video", "audio", "subtitle")
        tracks = {
            stream: output.add_stream_from_template(template=stream, opaque=True)
            for stream in source.streams
            if stream.type in kinds
        }
        for packet in source.demux():
            if packet.stream in tracks and packet.dts is not None:
                packet.stream = tracks[packet.stream]
                output.mux(packet)
