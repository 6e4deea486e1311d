"""Types of node values: ``comfy_api.input``, ``comfy_api.input_impl`` and ``comfy_api.util``.

Arrays are numpy arrays here; ComfyUI has torch tensors.
"""

from __future__ import annotations

import io
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from comfyui_emulator.nodes.media.films import Video as VideoInput
from comfyui_emulator.nodes.solids.meshes import File3D as FileOf3D

ImageInput = MaskInput = np.ndarray


class AudioInput(TypedDict):
    """Sound: a waveform ``[batch, channel, sample]`` and its sample rate per second."""

    waveform: Any
    sample_rate: int


class LatentInput(TypedDict, total=False):
    """A latent: ``samples``, and optional keys such as ``noise_mask``."""

    samples: Any
    noise_mask: Any
    batch_index: list[int] | None


class VideoCodec(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """Codecs for video frames."""

    AUTO = "auto"
    H264 = "h264"
    AV1 = "av1"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values, for a choice."""
        return [member.value for member in cls]


class VideoContainer(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """File formats for video."""

    AUTO = "auto"
    MP4 = "mp4"
    MKV = "mkv"
    WEBM = "webm"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values, for a choice."""
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        """The file name's extension, without the dot."""
        return {cls.AUTO: "mp4"}.get(cls(value), cls(value).value)


def VideoComponents(  # noqa: N802 - ComfyUI's name, a class there
    images: Any, frame_rate: Fraction, audio: Any = None, metadata: Any = None
) -> VideoInput:
    """Decoded images and sound of a video."""
    del metadata
    return VideoInput(None, images, Fraction(frame_rate), audio)


def VideoFromComponents(components: VideoInput, bit_depth: int = 8) -> VideoInput:  # noqa: N802 - as above
    """A video made of images and sound; ``bit_depth`` is for its encoding."""
    return replace(components, bit_depth=bit_depth)


def VideoFromFile(  # noqa: N802 - as above
    file: str | io.BytesIO, *, start_time: float = 0, duration: float = 0
) -> VideoInput:
    """A video read from a file, or a part of it in seconds."""
    content = file.getvalue() if isinstance(file, io.BytesIO) else Path(file)
    return VideoInput(content, start=start_time, duration=duration)


def File3D(source: str | io.BytesIO, file_format: str = "") -> FileOf3D:  # noqa: N802 - as above
    """A 3D file: its path, or its content with its format."""
    return FileOf3D(source.getvalue() if isinstance(source, io.BytesIO) else Path(source), file_format)


__all__ = [
    "AudioInput",
    "ImageInput",
    "LatentInput",
    "MaskInput",
    "VideoCodec",
    "VideoComponents",
    "VideoContainer",
    "VideoFromComponents",
    "VideoFromFile",
    "VideoInput",
]
