"""Nodes that place pictures at equal distances in a film as long as a sound, for WanDancer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, Mask, integer, link, node
from comfyui_emulator.nodes.media.codecs import Audio

Segment = tuple[Image, Mask, Audio]
_FRAMES_PER_SECOND = 30
_SPARE = 0.2
"""Seconds of sound that do not begin a segment of their own."""

_DANCER: dict[str, Any] = {
    "module": "comfy_extras.nodes_wandancer",
    "category": "image/video",
    "names": "keyframes_sequence keyframes_mask audio_segment",
    "title": None,
    "v3": True,
    "touches": {"images": "shape"},
}


def _segments(seconds: float, length: int) -> int:
    return int((seconds - _SPARE) / (length / _FRAMES_PER_SECOND)) + 1 if seconds > _SPARE else 0


def _places(pictures: int, segments: int, length: int, number: int) -> list[tuple[int, int]]:
    """The frames of a segment at which pictures stand, and which pictures. The last of each stands at its end."""
    step = segments * length / pictures
    end = length - 1
    count = 0
    while count * step < end - step:
        count += 1
    before = number * count
    found = [(math.ceil(step * index), before + index) for index in range(count)]
    return [(place, index) for place, index in [*found, (end, before + count)] if index < pictures and place < length]


def segment(images: Image, length: int, number: int, audio: Audio) -> Segment:
    """One segment of the film: its pictures among black frames, where they are, and its sound."""
    count, height, width, channels = images.shape
    rate = audio["sample_rate"]
    seconds = audio["waveform"].shape[-1] / rate
    frames = np.zeros((length, height, width, channels), np.float32)
    mask = np.zeros((length, height, width), np.float32)
    segments = _segments(seconds, length)
    if segments and count:
        for place, index in _places(count, segments, length, number):
            frames[place], mask[place] = images[index], 1
    start = number * (length / _FRAMES_PER_SECOND)
    end = min(start + length / _FRAMES_PER_SECOND, seconds)
    cut = audio["waveform"][:, :, int(start * rate) : int(end * rate)]
    return frames, mask, {"waveform": cut, "sample_rate": rate}


_LENGTH = {"images": link("IMAGE"), "segment_length": integer(149, 1, 10000)}


@node(
    "WanDancerPadKeyframes",
    {**_LENGTH, "segment_index": integer(0, 0, 100), "audio": link("AUDIO")},
    "IMAGE MASK AUDIO",
    **_DANCER,
)
def pad_keyframes(images: Image, segment_length: int, segment_index: int, audio: Audio) -> Segment:
    """One segment."""
    return segment(images, segment_length, segment_index, audio)


@node(
    "WanDancerPadKeyframesList",
    {**_LENGTH, "num_segments": integer(1, 1, 100), "audio": link("AUDIO")},
    "IMAGE MASK AUDIO",
    lists=[True, True, True],
    **_DANCER,
)
def pad_keyframes_list(
    images: Image, segment_length: int, num_segments: int, audio: Audio
) -> tuple[list[Image], list[Mask], list[Audio]]:
    """The first segments as lists."""
    made = [segment(images, segment_length, number, audio) for number in range(num_segments)]
    return [one[0] for one in made], [one[1] for one in made], [one[2] for one in made]
