"""Nodes that make boxes and masks of what a model found: faces of poses, tracked objects.

Their inputs come out of models, so a stand-in for the model has to make them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Mask, link, node, number, switch, text
from comfyui_emulator.nodes.images.boxes import Box
from comfyui_emulator.nodes.images.resample import resize

_DETECTION: dict[str, Any] = {"category": "image/detection", "v3": True}
Span = tuple[int, int]


@node(
    "SDPoseFaceBBoxes",
    {
        "keypoints": link("POSE_KEYPOINT"),
        "scale": number(1.5, 1.0, 10.0, step=0.1),
        "force_square": switch(True),
    },
    "BOUNDING_BOX",
    names="bboxes",
    module="comfy_extras.nodes_sdpose",
    title="SDPose Face Bounding Boxes",
    **_DETECTION,
)
def face_boxes(keypoints: Sequence[Mapping[str, Any]], scale: float, force_square: bool) -> tuple[list[list[Box]]]:
    """A box for each face of each frame, enlarged to ``scale`` times its area (since ComfyUI 0.16)."""
    frames = []
    for frame in keypoints:
        size = frame["canvas_width"], frame["canvas_height"]
        faces = [person.get("face_keypoints_2d") for person in frame["people"]]
        boxes = [_face_box(points, size, scale, square=force_square) for points in faces if points]
        frames.append([box for box in boxes if box is not None])
    return (frames,)


def _face_box(points: Sequence[float], size: Span, scale: float, *, square: bool) -> Box | None:
    """The box around points, larger upwards than downwards; ``None`` if it has no area."""
    marks = np.array(points, dtype=np.float32).reshape(-1, 3)[:, :2]
    whole = np.array(size, dtype=np.float32)
    # ComfyUI divides by the size in float32, and multiplies by it again in double precision.
    places = (marks / whole).astype(np.float64) * size
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    if right <= left or bottom <= top:
        return None
    across, down = ((scale**0.5 - 1) * length / 2 for length in (right - left, bottom - top))
    columns = int(max(left - across, 0)), int(min(right + across, size[0]))
    rows = int(max(top - down * 1.5, 0)), int(min(bottom + down * 0.5, size[1]))
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return None
    side = max(columns[1] - columns[0], rows[1] - rows[0])
    if square and columns[1] - columns[0] != rows[1] - rows[0]:
        columns, rows = _widened(columns, side, size[0]), _widened(rows, side, size[1])
    return {"x": columns[0], "y": rows[0], "width": columns[1] - columns[0], "height": rows[1] - rows[0]}


def _widened(span: Span, side: int, limit: int) -> Span:
    """A span of that length around the middle of another, moved to where it fits."""
    start = max(0, (span[0] + span[1]) // 2 - side // 2)
    end = min(limit, start + side)
    return max(0, end - side), end


@node(
    "SAM3_TrackToMask",
    {
        "track_data": link("SAM3_TRACK_DATA", display_name="track_data"),
        "object_indices": text(default="", multiline=False, display_name="object_indices"),
    },
    "MASK",
    names="masks",
    module="comfy_extras.nodes_sam3",
    title="SAM3 Track to Mask",
    **_DETECTION,
)
def tracked_mask(track_data: Mapping[str, Any], object_indices: str = "") -> Mask:
    """The chosen objects of each frame, or all, as one mask of the video's size (since ComfyUI 0.20)."""
    packed = track_data["packed_masks"]
    height, width = track_data["orig_size"]
    if packed is None:
        return np.zeros((track_data["n_frames"], height, width), dtype=np.float32)
    chosen = list(range(packed.shape[1]))
    if object_indices.strip():
        named = [int(part) for part in object_indices.split(",") if part.strip().isdigit()]
        chosen = [index for index in named if index < packed.shape[1]]
    if not chosen:
        return np.zeros((packed.shape[0], height, width), dtype=np.float32)
    # Eight pixels to a byte, the first in the lowest bit.
    pixels = np.unpackbits(np.bitwise_or.reduce(packed[:, chosen], axis=1), axis=-1, bitorder="little")
    return resize(pixels[..., None].astype(np.float32), width, height, "bilinear")[..., 0]
