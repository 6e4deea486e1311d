"""Sound and video codecs from PyAV, an optional dependency that is only imported when a node needs it."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image

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


def rgb_levels(image: Image) -> npt.NDArray[np.uint8]:
    """One image ``[height, width, channel]`` as levels from 0 to 255, truncated and contiguous."""
    return np.ascontiguousarray(np.clip(image * np.float32(255), 0, 255).astype(np.uint8))
