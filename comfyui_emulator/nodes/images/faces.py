"""Nodes that draw the points of faces that MediaPipe found.

FACE_LANDMARKS comes out of a model, so a stand-in has to make it: a dict with ``image_size`` (height, width),
``frames`` (for each picture its faces, of which each has ``landmarks_xy``, ``[point, 2]``) and ``connection_sets`` (for
each feature of a face the pairs of points that a line joins).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import Image, Mask, branching, integer, link, node, switch
from comfyui_emulator.nodes.images.colours import color_input

Faces = Mapping[str, Any]
Edges = Collection[tuple[int, int]]
_DRAWN = ("face_oval", "lips", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "irises", "nose")
_FILLED = ("face_oval", "lips", "left_eye", "right_eye", "irises")
_PLACE: dict[str, Any] = {"module": "comfy_extras.nodes_mediapipe", "category": "image/detection", "v3": True}


def rings(edges: Edges) -> list[list[int]]:
    """Closed lines, as the points along each."""
    beside: dict[int, set[int]] = {}
    for one, two in edges:
        beside.setdefault(one, set()).add(two)
        beside.setdefault(two, set()).add(one)
    found = []
    while beside:
        ring, following = [], {min(beside)}
        while following:
            ring.append(min(following))
            following = beside.pop(ring[-1]) & beside.keys()
        found.append(ring)
    return found


def _corners(points: npt.NDArray[np.float32], indices: Iterable[int]) -> list[tuple[float, float]]:
    return [(float(points[index][0]), float(points[index][1])) for index in indices]


def _color(text: str) -> tuple[int, ...]:
    """A colour by its name or number; green for what is none."""
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        return (0, 255, 0)


def _lines(draw: Any, points: Any, edges: Edges, color: Any, width: int, size: int) -> None:
    """Lines between the points of a face, and dots on all of them."""
    for pair in edges if width else ():
        if max(pair) < len(points):
            draw.line(_corners(points, pair), fill=color, width=width)
    if size == 1:
        draw.point(_corners(points, range(len(points))), fill=color)
    for x, y in _corners(points, range(len(points))) if size > 1 else ():
        draw.ellipse((x - size / 2, y - size / 2, x + size / 2, y + size / 2), fill=color)


@node(
    "MediaPipeFaceMeshVisualize",
    {
        "face_landmarks": link("FACE_LANDMARKS"),
        "connections": branching(
            {
                "all": {},
                "fill": {},
                "custom": {name: switch(True) for name in _DRAWN} | {"tesselation": switch(False)},
            }
        ),
        "color": color_input("#00ff00"),
        "thickness": integer(1, 0, 8, step=1),
        "point_size": integer(2, 0, 16, step=1),
    },
    "IMAGE",
    optional={"image": link("IMAGE")},
    title="Visualize Face Landmarks (MediaPipe)",
    **_PLACE,
)
def draw_faces(
    face_landmarks: Faces,
    connections: Mapping[str, Any],
    color: str,
    thickness: int,
    point_size: int,
    image: Image | None = None,
) -> Image:
    """Lines and dots, or the filled oval, of each face, over the pictures or on black (since ComfyUI 0.23)."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    sets, frames = face_landmarks["connection_sets"], face_landmarks["frames"]
    kind = connections["connections"]
    names = _DRAWN if kind == "all" else [name for name in (*_DRAWN, "tesselation") if connections.get(name)]
    edges = {pair for name in names for pair in sets[name]} if kind != "fill" else set()
    size = tuple(face_landmarks["image_size"])
    whole = np.zeros((len(frames), *size, 3), np.float32) if image is None else image[..., :3]
    levels = (whole * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    drawn, paint = [], _color(color)
    for index, picture in enumerate(levels):
        canvas = Pillow.fromarray(picture)
        draw = ImageDraw.Draw(canvas)
        for face in frames[index] if index < len(frames) else ():
            points = face["landmarks_xy"]
            for ring in rings(sets["face_oval"]) if kind == "fill" else ():
                draw.polygon(_corners(points, ring), fill=paint)
            if kind != "fill":
                _lines(draw, points, edges, paint, thickness, point_size)
        drawn.append(np.asarray(canvas))
        runtime.progress(index + 1, len(levels))
    return np.stack(drawn).astype(np.float32) / np.float32(255)


@node(
    "MediaPipeFaceMask",
    {
        "face_landmarks": link("FACE_LANDMARKS"),
        "regions": branching({"all": {}, "custom": {name: switch(name == "face_oval") for name in _FILLED}}),
    },
    "MASK",
    title="Draw Face Mask (MediaPipe)",
    **_PLACE,
)
def mask_faces(face_landmarks: Faces, regions: Mapping[str, Any]) -> Mask:
    """The chosen parts of all faces, filled; a mask for each picture (since ComfyUI 0.23)."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    frames: Sequence[Any] = face_landmarks["frames"]
    height, width = face_landmarks["image_size"]
    names = [name for name in _FILLED if regions["regions"] != "custom" or regions.get(name)]
    filled = [ring for name in names for ring in rings(face_landmarks["connection_sets"][name])]
    masks = np.zeros((len(frames), height, width), np.uint8)
    for index, faces in enumerate(frames):
        canvas = Pillow.new("L", (width, height), 0)
        draw = ImageDraw.Draw(canvas)
        for face in faces:
            for ring in filled:
                draw.polygon(_corners(face["landmarks_xy"], ring), fill=255)
        masks[index] = np.asarray(canvas)
        runtime.progress(index + 1, len(frames))
    return masks.astype(np.float32) / np.float32(255)
