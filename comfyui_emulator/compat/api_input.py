"""``comfy_api.input``, ``comfy_api.input_impl`` and ``comfy_api.util``: types of node values.

Arrays are numpy's here, where ComfyUI has torch's.
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from comfyui_emulator.nodes.media.codecs import Video as VideoInput

ImageInput = MaskInput = np.ndarray


class AudioInput(TypedDict):
    """Sound: ``[batch, channel, sample]``, and samples per second."""

    waveform: Any
    sample_rate: int


class LatentInput(TypedDict, total=False):
    """A latent: ``samples``, and what comes with them."""

    samples: Any
    noise_mask: Any
    batch_index: list[int] | None


class VideoCodec(str, Enum):  # noqa: UP042 - as in ComfyUI: their text is not their value
    """Codecs for video frames."""

    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values, for a choice."""
        return [member.value for member in cls]


class VideoContainer(str, Enum):  # noqa: UP042 - as in ComfyUI: their text is not their value
    """File formats for video."""

    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values, for a choice."""
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        """The file name's extension without its dot."""
        return {cls.AUTO: "mp4", cls.MP4: "mp4"}[cls(value)]


def VideoComponents(  # noqa: N802 - ComfyUI's name, a class there
    images: Any, frame_rate: Fraction, audio: Any = None, metadata: Any = None
) -> VideoInput:
    """A video's images and sound."""
    del metadata
    return VideoInput(None, images, Fraction(frame_rate), audio)


def VideoFromComponents(components: VideoInput) -> VideoInput:  # noqa: N802 - as above
    """A video of images and sound."""
    return components


def VideoFromFile(file: str) -> VideoInput:  # noqa: N802 - as above
    """A video in a file."""
    return VideoInput(Path(file))


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
