"""Tracks: the paths that points take through a video.

A TRACKS value has ``track_path``, ``[frame, track, (x, y)]`` in pixels, and ``track_visibility``, ``[frame, track]``.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, Mask, choice, integer, link, node, number, switch, text
from comfyui_emulator.nodes.sampling.sigmas import linspace
from comfyui_emulator.nodes.wording import joined, stacked

Tracks = dict[str, npt.NDArray[Any]]
Numbers = npt.NDArray[np.float32]

_MOVE: dict[str, Any] = {"module": "comfy_extras.nodes_wanmove", "category": "model/conditioning/wan/move", "v3": True}
_TRACKS = link("TRACKS")
_SHARE = {"low": 0.0, "high": 1.0, "step": 0.01}


def _seen(mask: Mask | None, frames: int, count: int) -> npt.NDArray[np.bool_]:
    """Which frames show the tracks: those in which the mask is not empty, or all."""
    if mask is None:
        return np.ones((frames, count), dtype=bool)
    return np.asarray((mask > 0).any(axis=(1, 2)))[:, None]


def _read(given: str | list[str]) -> list[list[dict[str, float]]]:
    """Tracks from JSON, in which quotes may be single; one track may stand without its list."""
    try:
        if isinstance(given, str):
            found = list(json.loads(given.replace("'", '"')))
        else:
            found = [json.loads(each.replace("'", '"')) for each in given]
    except json.JSONDecodeError:
        return []
    return [found] if found and isinstance(found[0], dict) and "x" in found[0] else found


@node(
    "WanMoveTracksFromCoords",
    {},
    "TRACKS INT",
    names="TRACKS track_length",
    optional={
        "track_coords": text(default="[]", forceInput=True, multiline=False),
        "track_mask": link("MASK"),
    },
    title=None,
    **_MOVE,
)
def from_coordinates(track_coords: str | list[str], track_mask: Mask | None = None) -> tuple[Tracks, int]:
    """Tracks from a text: for each track a list of ``{"x": …, "y": …}``."""
    tracks = _read(track_coords)
    length = len(tracks[0])
    path = [[[track[frame]["x"], track[frame]["y"]] for track in tracks] for frame in range(length)]
    array = np.array(path, dtype=np.float32)
    return {"track_path": array, "track_visibility": _seen(track_mask, length, array.shape[-2])}, length


_EASINGS: dict[str, Any] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t**2,
    "ease_out": lambda t: 1 - (1 - t) ** 2,
    "ease_in_out": lambda t: t * t * (3 - 2 * t),
    "constant": np.zeros_like,
}


@node(
    "GenerateTracks",
    {
        "width": integer(832, 16, 4096, step=16),
        "height": integer(480, 16, 4096, step=16),
        "start_x": number(0.0, **_SHARE),
        "start_y": number(0.0, **_SHARE),
        "end_x": number(1.0, **_SHARE),
        "end_y": number(1.0, **_SHARE),
        "num_frames": integer(81, 1, 1024),
        "num_tracks": integer(5, 1, 100),
        "track_spread": number(0.025, 0.0, 1.0, step=0.001),
        "bezier": switch(False),
        "mid_x": number(0.5, **_SHARE),
        "mid_y": number(0.5, **_SHARE),
        "interpolation": choice(list(_EASINGS)),
    },
    "TRACKS INT",
    names="TRACKS track_length",
    optional={"track_mask": link("MASK")},
    title="Generate Video Tracks",
    **_MOVE,
)
def generate(
    width: int,
    height: int,
    num_frames: int,
    num_tracks: int,
    track_spread: float,
    bezier: bool = False,
    interpolation: str = "linear",
    track_mask: Mask | None = None,
    **places: float,
) -> tuple[Tracks, int]:
    """Parallel tracks from one place to another, straight or bent towards a third, side by side."""
    time = _EASINGS[interpolation](linspace(0, 1, num_frames))
    lines, slopes = zip(
        *(
            _line(time, *(places[f"{point}_{axis}"] * size for point in ("start", "mid", "end")), bent=bezier)
            for axis, size in (("x", width), ("y", height))
        ),
        strict=True,
    )
    across, down = (np.asarray(slope, dtype=np.float64) for slope in slopes)
    length = np.sqrt(across**2 + down**2)
    still = length == 0
    safe = np.where(still, 1.0, length)
    # At right angles to the direction; where nothing moves, side by side.
    aside = np.where(still, 1.0, -down / safe), np.where(still, 0.0, across / safe)
    offsets = (np.arange(num_tracks) - (num_tracks - 1) / 2) * (track_spread * (width + height) / 2)
    path = [line.astype(np.float64)[:, None] + part[:, None] * offsets for line, part in zip(lines, aside, strict=True)]
    tracks = np.stack(path, axis=-1).astype(np.float32)
    return {"track_path": tracks, "track_visibility": _seen(track_mask, num_frames, num_tracks)}, num_frames


def _line(time: Numbers, start: float, mid: float, end: float, *, bent: bool) -> tuple[Numbers, Numbers]:
    """Places and slopes of one coordinate: along a line, or a curve of Bézier with one point between."""
    if not bent:
        return start + np.float32(end - start) * time, np.full_like(time, end - start)
    rest = 1 - time
    places = rest**2 * np.float32(start) + 2 * rest * time * np.float32(mid) + time**2 * np.float32(end)
    return places, 2 * rest * np.float32(mid - start) + 2 * time * np.float32(end - mid)


@node("WanMoveConcatTrack", {"tracks_1": _TRACKS}, "TRACKS", optional={"tracks_2": _TRACKS}, title=None, **_MOVE)
def concat(tracks_1: Tracks, tracks_2: Tracks | None = None) -> tuple[Tracks]:
    """The tracks of both."""
    if tracks_2 is None:
        return (tracks_1,)
    axes = {"track_path": 1, "track_visibility": -1}
    return ({name: joined((tracks_1[name], tracks_2[name]), axis) for name, axis in axes.items()},)


_COLORS = [(102, 153, 255), (0, 255, 255), (255, 255, 0), (255, 102, 204), (0, 255, 0)]


@node(
    "WanMoveVisualizeTracks",
    {
        "images": link("IMAGE"),
        "line_resolution": integer(24, 1, 1024),
        "circle_size": integer(12, 1, 128, advanced=True),
        "opacity": number(0.75, 0.0, 1.0, step=0.01),
        "line_width": integer(16, 1, 128, advanced=True),
    },
    "IMAGE",
    optional={"tracks": _TRACKS},
    title=None,
    **_MOVE,
)
def visualize(
    images: Image,
    line_resolution: int,
    circle_size: int,
    opacity: float,
    line_width: int,
    tracks: Tracks | None = None,
) -> Image:
    """Draw each track into each frame: a disc where it is, and a line that fades towards where it was."""
    if tracks is None:
        return images
    path, seen = tracks["track_path"].astype(np.int64), tracks["track_visibility"]
    video = (images * np.float32(255)).astype(np.int64).astype(np.uint8)
    if len(video) != len(path):
        video = np.concatenate([video] * (len(path) // len(video))) if len(video) <= len(path) else video[:0]
    size = video.shape[2], video.shape[1]
    drawn = []
    for time, frame in enumerate(video):
        shown = [(k, _COLORS[k % len(_COLORS)]) for k in range(path.shape[1]) if seen[time, k]]
        discs = _discs([(path[time, k], color) for k, color in shown], size, circle_size, int(255 * opacity))
        mixed = _over(discs, frame.astype(np.float32))
        tails = [(path[max(time - line_resolution, 0) : time + 1, k], color) for k, color in shown]
        tails = [(tail, color) for tail, color in tails if len(tail) > 1]
        if tails:
            mixed = _over(_tails(tails, size, line_width, opacity), mixed)
        drawn.append(mixed.astype(np.uint8).astype(np.float32) / np.float32(255))
    return stacked(drawn)


def _over(layer: Any, frame: Any) -> Any:
    pixels = np.asarray(layer)
    alpha = pixels[:, :, 3:] / 255.0
    return pixels[:, :, :3] * alpha + frame * (1 - alpha)


def _discs(places: list[Any], size: tuple[int, int], radius: int, alpha: int) -> Any:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    layer = Pillow.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    for (x, y), color in places:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*color, alpha))
    return layer


def _tails(tails: list[Any], size: tuple[int, int], width: int, opacity: float) -> Any:
    """A layer with lines that are thinner and fainter the further back they are. A step covers those before."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    layer = Pillow.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer, "RGBA")
    for tail, color in tails:
        pieces = [(one, two, float(((two - one) ** 2).sum() ** 0.5)) for one, two in itertools.pairwise(tail[::-1])]
        whole = sum(length for *_, length in pieces)
        passed = 0.0
        for one, two, length in pieces if whole else ():
            steps = max(int(length), 1)
            for step in range(steps):
                gone = (passed + (step / steps) * length) / whole
                x, y = (int(a + (b - a) * step / steps) for a, b in zip(one, two, strict=True))
                stroke = max(int(width * (1 - gone)), 1)
                pen.line([(x, y), (x + 1, y)], fill=(*color, int(255 * (1 - gone) * opacity)), width=stroke)
            passed += length
    return layer
