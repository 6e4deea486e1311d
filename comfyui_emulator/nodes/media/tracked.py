"""Nodes that paint the objects that SAM3 tracked: a video to look at, and masks in colours for SCAIL-2.

SAM3_TRACK_DATA comes out of a model, so a stand-in has to make it: a dict with ``packed_masks`` (``[frame, object,
height, width / 8]``, eight pixels to a byte, or ``None``), ``orig_size`` and ``n_frames``, and perhaps ``scores``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Image, Mask, choice, link, node, number, switch, text
from comfyui_emulator.nodes.media.codecs import pyav

Track = Mapping[str, Any]
Color = tuple[float, float, float]
Pixels = npt.NDArray[np.bool_]
"""``[frame, object, height, width]``."""

_COLORS: tuple[Color, ...] = (
    (0.12, 0.47, 0.71), (1.0, 0.5, 0.05), (0.17, 0.63, 0.17), (0.84, 0.15, 0.16), (0.58, 0.4, 0.74), (0.55, 0.34, 0.29),
    (0.89, 0.47, 0.76), (0.5, 0.5, 0.5), (0.74, 0.74, 0.13), (0.09, 0.75, 0.81), (0.94, 0.76, 0.06), (0.42, 0.68, 0.84),
)  # fmt: skip
"""Colours of the objects in the preview, in ComfyUI's order."""

_IDENTITIES: tuple[Color, ...] = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0))
"""The colours that the SCAIL-2 model was trained with."""

_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")
"""Each digit as five rows of three pixels, a row as one octal number."""


def unpacked(packed: npt.NDArray[np.uint8]) -> Pixels:
    """The pixels of packed masks, the first of eight in the lowest bit."""
    return np.unpackbits(packed, axis=-1, bitorder="little").astype(bool)


def _fitted(pixels: Pixels, height: int, width: int) -> Pixels:
    """Masks of another size; of each pixel the one before it, as torch's ``nearest`` takes it."""
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * np.float32(old / new)).astype(int), old - 1)
        for new, old in ((height, pixels.shape[-2]), (width, pixels.shape[-1]))
    )
    return pixels[..., rows[:, None], columns]


def _painted(picture: Image, pixels: Pixels, colors: Sequence[Color], share: float = 1.0) -> Image:
    """A picture with objects over it; where several are, the first is seen."""
    palette = np.array([colors[index % len(colors)] for index in range(len(pixels))], np.float32)
    over = picture * np.float32(1 - share) + palette[pixels.argmax(axis=0)] * np.float32(share)
    seen = np.asarray(pixels.any(axis=0))
    return np.where(seen[..., None], over, picture).astype(np.float32)


def _stamp(picture: Image, shape: Pixels, place: tuple[int, int], color: Color) -> None:
    """Colour the pixels of a shape whose upper left corner is at (row, column), as far as they are in the picture."""
    rows, columns = np.nonzero(shape)
    rows, columns = rows + place[0], columns + place[1]
    seen = (rows >= 0) & (columns >= 0) & (rows < picture.shape[0]) & (columns < picture.shape[1])
    picture[rows[seen], columns[seen]] = color


def _write(picture: Image, value: int, center: tuple[int, int], color: Color, scale: int) -> None:
    """A number with a black line around it; ``center`` is a row and a column."""
    digits = str(value)
    row = center[0] - 5 * scale // 2
    column = center[1] - (len(digits) * 4 * scale - scale) // 2
    for digit in digits:
        rows = [[int(line) >> shift & 1 for shift in (2, 1, 0)] for line in _DIGITS[int(digit)]]
        shape = np.kron(rows, np.ones((scale, scale))).astype(bool)
        wide = np.pad(shape, 2)
        height, width = (side - 2 for side in wide.shape)
        around = np.any([wide[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
        _stamp(picture, around, (row - 1, column - 1), (0, 0, 0))
        _stamp(picture, shape, (row, column), color)
        column += 4 * scale


def _numbered(picture: Image, pixels: Pixels, scores: Sequence[float]) -> None:
    """Write its number on each object, and below it how sure the model is, in percent."""
    largest = max(3, picture.shape[0] // 240)
    for index, one in enumerate(pixels):
        rows, columns = np.nonzero(one)
        if len(rows) <= 1:
            continue
        center = int(rows.sum()) // len(rows), int(columns.sum()) // len(rows)
        # The number is at most a fifteenth of the object.
        scale = min(largest, int(max(np.sqrt(np.float32(len(rows))) / 15, 1)))
        color = _COLORS[index % len(_COLORS)]
        _write(picture, index, center, color, scale)
        if index < len(scores) and scores[index] < 1:
            below = center[0] + 5 * scale + 3, center[1]
            _write(picture, int(scores[index] * 100), below, color, max(1, scale * 2 // 3))


def _frame(track: Track, images: Image | None, index: int, opacity: float, size: tuple[int, int]) -> Image:
    there = images is not None and index < len(images)
    picture = images[index].copy() if images is not None and there else np.zeros((*size, 3), np.float32)
    packed = track["packed_masks"]
    if packed is not None and packed.shape[1]:
        pixels = _fitted(unpacked(packed[index]), *size)
        picture = _painted(picture, pixels, _COLORS, opacity)
        _numbered(picture, pixels, track.get("scores", []))
    return picture


@node(
    "SAM3_TrackPreview",
    {
        "track_data": link("SAM3_TRACK_DATA", display_name="track_data"),
        "opacity": number(0.5, 0.0, 1.0, step=0.05, display_name="opacity"),
        "fps": number(24.0, 1.0, 120.0, step=1.0, display_name="fps"),
    },
    "",
    optional={"images": link("IMAGE", display_name="images")},
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_sam3",
    category="image/detection",
    title="SAM3 Track Preview",
    v3=True,
    OUTPUT_NODE=True,
)
def track_preview(
    track_data: Track, images: Image | None = None, opacity: float = 0.5, fps: float = 24.0, **_: Any
) -> dict[str, Any]:
    """A video of the tracked objects, each in its colour, over the pictures or on black (since ComfyUI 0.20)."""
    height, width = track_data["orig_size"] if images is None else images.shape[1:3]
    packed = track_data["packed_masks"]
    count = track_data["n_frames"] if packed is None else len(packed)
    name = f"sam3_track_preview_{uuid.uuid4().hex[:8]}.mp4"
    av = pyav()
    with av.open(str(runtime.context().folders.temp / name), mode="w") as container:
        stream = container.add_stream("h264", rate=Fraction(round(fps * 1000), 1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(count):
            picture = _frame(track_data, images, index, opacity, (height, width))
            levels = (picture.clip(0, 1) * 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return {"ui": {"images": [{"filename": name, "subfolder": "", "type": "temp"}], "animated": (True,)}}


def _first_seen(pixels: Pixels) -> list[tuple[int, float, int]]:
    """Of each object: its first frame, and the mean column and the area there."""
    found = []
    for one in pixels.swapaxes(0, 1):
        seen = one.any(axis=(1, 2))
        first = int(seen.argmax()) if seen.any() else len(one)
        columns = np.nonzero(one[min(first, len(one) - 1)])[1]
        found.append((first, float(columns.mean()) if len(columns) else 0.0, len(columns)))
    return found


_ORDERS: dict[str, Callable[[tuple[int, float, int]], tuple[int, float]]] = {
    "left_to_right": lambda seen: (seen[0], seen[1]),
    "area": lambda seen: (seen[0], -seen[2]),
}


def _chosen(track: Track, indices: str, order: str) -> Pixels | None:
    """The masks of the chosen objects in the order of their colours; ``None`` if nothing is known of the frames."""
    packed = track["packed_masks"]
    if packed is None:
        return None
    pixels = unpacked(packed)
    if order != "none" and pixels.shape[1]:
        seen = _first_seen(pixels)
        pixels = pixels[:, sorted(range(len(seen)), key=lambda index: _ORDERS[order](seen[index]))]
    if indices.strip():
        named = [int(part.strip()) for part in indices.split(",") if part.strip().isdigit()]
        kept = [index for index in named if index < pixels.shape[1]]
        # As in ComfyUI, a choice of nothing also forgets how many frames there were.
        return pixels[:, kept] if kept else None
    return pixels


def _colored(track: Track, pixels: Pixels | None, background: int) -> Image:
    height, width = track["orig_size"]
    count = track.get("n_frames", 1) if pixels is None else len(pixels)
    empty = np.full((count, height, width, 3), background, np.float32)
    if pixels is None or not pixels.shape[1]:
        return empty
    fitted = _fitted(pixels, height, width)
    return np.stack([_painted(*pair, _IDENTITIES) for pair in zip(empty, fitted, strict=True)])


@node(
    "SCAIL2ColoredMask",
    {
        "driving_track_data": link("SAM3_TRACK_DATA"),
        "object_indices": text(default="", multiline=False),
        "sort_by": choice(["none", "left_to_right", "area"], default="left_to_right"),
        "replacement_mode": switch(False),
    },
    "IMAGE IMAGE",
    names="pose_video_mask reference_image_mask",
    optional={"ref_track_data": link("SAM3_TRACK_DATA,MASK", display_name="reference_masks")},
    module="comfy_extras.nodes_scail",
    category="model/conditioning/wan/scail",
    title="Create SCAIL-2 Colored Mask",
    v3=True,
    EXPERIMENTAL=True,
)
def identities(
    driving_track_data: Track,
    object_indices: str,
    sort_by: str,
    replacement_mode: bool,
    ref_track_data: Track | Mask | None = None,
) -> tuple[Image, Image]:
    """The objects of a video, and of pictures to refer to, each in its colour (since ComfyUI 0.25)."""
    ground, other = (1, 0) if replacement_mode else (0, 1)
    video = _colored(driving_track_data, _chosen(driving_track_data, object_indices, sort_by), ground)
    if ref_track_data is None:
        return video, np.full((1, *driving_track_data["orig_size"], 3), other, np.float32)
    if isinstance(ref_track_data, np.ndarray):
        masks = ref_track_data.reshape(-1, *ref_track_data.shape[-2:]) > 0.5
        whole = np.full((*masks.shape, 3), other, np.float32)
        one = [_painted(picture, mask[None], _IDENTITIES) for picture, mask in zip(whole, masks, strict=True)]
        return video, np.stack(one)
    return video, _colored(ref_track_data, _chosen(ref_track_data, object_indices, sort_by), other)
