"""Nodes that take frames and parts of videos, and shuffle lists of videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfyui_emulator.nodes.base import choice, integer, link, node, text
from comfyui_emulator.nodes.datasets.pictures import SEED, generator, order
from comfyui_emulator.nodes.media.films import Video

_ONE: dict[str, Any] = {
    "module": "comfy_extras.nodes_dataset",
    "names": "video",
    "v3": True,
    "EXPERIMENTAL": True,
    "touches": {"video": "get_frame_count"},
}
_LIST: dict[str, Any] = {
    "module": "comfy_extras.nodes_dataset",
    "v3": True,
    "EXPERIMENTAL": True,
    "INPUT_IS_LIST": True,
}


def _spread(count: int, total: int) -> list[int]:
    """Numbers of frames from the first to the last, at equal distances."""
    if count == 1:
        return [total // 2]
    return [round(index * (total - 1) / (count - 1)) for index in range(count)]


@node(
    "VideoFrameSample",
    {
        "video": link("VIDEO"),
        "num_frames": integer(16, 1, 9999),
        "strategy": choice(["uniform", "head", "tail", "random"], default="uniform"),
        "seed": SEED,
    },
    "VIDEO",
    title="Sample Video Frame",
    category="video",
    **_ONE,
)
def sample(video: Video, num_frames: int, strategy: str, seed: int) -> Video | None:
    """Some frames: the first or last ones as a part of the video, others decoded."""
    total = video.get_frame_count()
    count = min(num_frames, total)
    rate = float(video.get_frame_rate())
    if strategy in ("head", "tail"):
        start = 0.0 if strategy == "head" else (total - count) / rate
        return video.as_trimmed(start, count / rate, strict_duration=False)
    if strategy == "uniform":
        return video.select(_spread(count, total))
    return video.select(sorted(generator(seed).choice(total, size=count, replace=False).tolist()))


@node(
    "VideoTemporalCrop",
    {"video": link("VIDEO"), "start_frame": integer(0, 0, 99999), "length": integer(16, 1, 99999)},
    "VIDEO",
    title="Crop Video (Temporal)",
    category="video/transform",
    **_ONE,
)
def crop(video: Video, start_frame: int, length: int) -> Video | None:
    """A part of the video, counted in frames."""
    total, rate = video.get_frame_count(), float(video.get_frame_rate())
    start = min(start_frame, max(total - 1, 0))
    return video.as_trimmed(start / rate, min(length, total - start) / rate, strict_duration=False)


@node(
    "VideoRandomTemporalCrop",
    {"video": link("VIDEO"), "length": integer(16, 1, 99999), "seed": SEED},
    "VIDEO",
    title="Crop Video (Temporal Random)",
    category="video/transform",
    **_ONE,
)
def crop_anywhere(video: Video, length: int, seed: int) -> Video | None:
    """A part of the video that starts anywhere, counted in frames."""
    total, rate = video.get_frame_count(), float(video.get_frame_rate())
    room = total - min(length, total)
    start = generator(seed).randint(0, room + 1) if room > 0 else 0
    return video.as_trimmed(start / rate, min(length, total) / rate, strict_duration=False)


@node(
    "ShuffleVideoDataset",
    {"videos": link("VIDEO"), "seed": SEED},
    "VIDEO",
    names="videos",
    lists=[True],
    title="Shuffle Videos List",
    category="video/batch",
    **_LIST,
)
def shuffle_films(videos: Sequence[Video], seed: Sequence[int]) -> tuple[list[Video]]:
    """All videos in another order."""
    return ([videos[index] for index in order(len(videos), seed[0])],)


@node(
    "ShuffleVideoTextDataset",
    {"videos": link("VIDEO"), "texts": text(multiline=False), "seed": SEED},
    "VIDEO STRING",
    names="videos texts",
    lists=[True, True],
    title="Shuffle Pairs of Video-Text",
    category="dataset/video",
    **_LIST,
)
def shuffle_film_pairs(
    videos: Sequence[Video], texts: Sequence[str], seed: Sequence[int]
) -> tuple[list[Video], list[str]]:
    """Videos and their texts in another order."""
    places = order(len(videos), seed[0])
    return [videos[index] for index in places], [texts[index] for index in places]
