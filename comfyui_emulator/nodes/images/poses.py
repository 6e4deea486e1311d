"""The node that draws the poses a model found, as pose models are trained on them."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, integer, link, node, number, switch

Canvas = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
Place = tuple[int, int]
"""A column and a row."""

_BODY, _FEET, _FACE, _HAND = 18, 6, 68, 21
_DOT = 4
"""The radius of most dots."""

_LIMBS = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13))
_HEAD_LIMBS = ((1, 0), (0, 14), (14, 16), (0, 15), (15, 17))
"""Pairs of points of OpenPose's body: 0 the nose, 1 the neck."""

_NECK, _HEAD = 1, (0, 14, 15, 16, 17)
_FINGERS = tuple(
    (0 if joint == 1 else first + joint - 1, first + joint) for first in (0, 4, 8, 12, 16) for joint in (1, 2, 3, 4)
)
"""Pairs of points of a hand: from the wrist along each finger."""


def _rainbow(count: int, rounded: Callable[[float], int]) -> tuple[Color, ...]:
    shares = (colorsys.hsv_to_rgb(index / count, 1, 1) for index in range(count))
    return tuple((rounded(red * 255), rounded(green * 255), rounded(blue * 255)) for red, green, blue in shares)


_COLORS, _FINGER_COLORS = _rainbow(_BODY, round), _rainbow(len(_FINGERS), int)
_BLUE, _WHITE = (0, 0, 255), (255, 255, 255)


class Points(NamedTuple):
    """The points of one part of a person, and how sure the model is of each."""

    places: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def known(self, threshold: float, *indices: int) -> bool:
        """Whether the model is sure enough of all these points."""
        return bool(np.all(self.scores[list(indices)] >= threshold))

    def pixel(self, index: int) -> Place:
        """The pixel of a point."""
        return int(self.places[index][0]), int(self.places[index][1])


def _points(flat: Sequence[float] | None, count: int, kept: int | None = None) -> Points:
    numbers = np.array(flat or [0.0] * count * 3, dtype=np.float32).reshape(count, 3)[:kept]
    return Points(numbers[:, :2], numbers[:, 2])


def _inside(canvas: Canvas, place: Place) -> bool:
    height, width, _ = canvas.shape
    return bool(0 <= place[0] < width and 0 <= place[1] < height)


def _dot(canvas: Canvas, place: Place, radius: float, color: Color) -> None:
    reach = math.ceil(radius)
    left, top = max(0, place[0] - reach), max(0, place[1] - reach)
    part = canvas[top : max(0, place[1] + reach + 1), left : max(0, place[0] + reach + 1)]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part[(columns - place[0]) ** 2 + (rows - place[1]) ** 2 <= radius**2] = color


def _path(start: Place, end: Place) -> Iterator[Place]:
    """The pixels of a line (Bresenham)."""
    (x, y), across, down = start, abs(end[0] - start[0]), abs(end[1] - start[1])
    right, below = 1 if start[0] < end[0] else -1, 1 if start[1] < end[1] else -1
    error = across - down
    yield x, y
    while (x, y) != end:
        twice = 2 * error
        if twice > -down:
            error, x = error - down, x + right
        if twice < across:
            error, y = error + across, y + below
        yield x, y


def _oval(center: Place, reach: tuple[int, int], angle: int) -> list[Place]:
    """The corners of an ellipse, one for each degree, without repetitions."""
    cosine, sine = math.cos(math.radians(angle % 360)), math.sin(math.radians(angle % 360))
    corners: list[Place] = []
    for degree in range(361):
        # Half a pixel more comes nearer to what OpenCV draws.
        x = (reach[0] + 0.5) * math.cos(math.radians(degree))
        y = (reach[1] + 0.5) * math.sin(math.radians(degree))
        corner = round(center[0] + x * cosine - y * sine), round(center[1] + x * sine + y * cosine)
        if not corners or corners[-1] != corner:
            corners.append(corner)
    return corners


def _fill(canvas: Canvas, corners: Sequence[Place], color: Color) -> None:
    """Fill a polygon: a pixel is inside if an odd number of sides is to its left."""
    if len(corners) < 3:
        return
    columns = [corner[0] for corner in corners]
    rows = [corner[1] for corner in corners]
    left, top = max(0, min(columns)), max(0, min(rows))
    part = canvas[top : max(0, max(rows) + 1), left : max(0, max(columns) + 1)]
    y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
    inside = np.zeros(part.shape[:2], dtype=bool)
    for one, two in zip(corners, (*corners[1:], corners[0]), strict=True):
        (x1, y1), (x2, y2) = (one, two) if one[1] <= two[1] else (two, one)
        if y1 != y2:
            inside ^= (y >= y1) & (y < y2) & (x >= x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    part[inside] = color


class Look(NamedTuple):
    """What is drawn of a person, and how."""

    body: bool
    head: bool
    feet: bool
    face: bool
    hands: bool
    width: int
    point: int
    threshold: float


def _limbs(canvas: Canvas, body: Points, look: Look) -> None:
    numbered = list(enumerate((*_LIMBS, *_HEAD_LIMBS)))
    kept = (numbered[: len(_LIMBS)] if look.body else []) + (numbered[len(_LIMBS) :] if look.head else [])
    for index, pair in kept:
        if not body.known(look.threshold, *pair):
            continue
        (x1, y1), (x2, y2) = (body.places[point] for point in pair)
        length = math.sqrt((y1 - y2) ** 2 + (x1 - x2) ** 2)
        if length >= 1:
            angle = int(math.degrees(math.atan2(y1 - y2, x1 - x2)))
            middle = int((x1 + x2) / 2), int((y1 + y2) / 2)
            _fill(canvas, _oval(middle, (int(length / 2), look.width), angle), _COLORS[index % _BODY])


def _body_dots(canvas: Canvas, body: Points, look: Look) -> None:
    for index in range(_BODY):
        wanted = look.head if index in _HEAD else look.body or index == _NECK
        if wanted and body.known(look.threshold, index) and _inside(canvas, body.pixel(index)):
            _dot(canvas, body.pixel(index), _DOT, _COLORS[index])


def _dots(canvas: Canvas, points: Points, look: Look, color: Color, radius: int = _DOT) -> None:
    """Dots of one colour, but none in the first row and column, where points are that were not found."""
    for index in range(len(points.scores)):
        place = points.pixel(index)
        if points.known(look.threshold, index) and min(place) > 0 and _inside(canvas, place):
            _dot(canvas, place, radius, color)


def _hand(canvas: Canvas, hand: Points, look: Look) -> None:
    for index, pair in enumerate(_FINGERS):
        ends = [hand.pixel(point) for point in pair]
        seen = all(min(end) > 0 and _inside(canvas, end) for end in ends)
        if seen and hand.known(look.threshold, *pair):
            for place in _path(*ends):
                _dot(canvas, place, 1.5, _FINGER_COLORS[index])
    _dots(canvas, hand, look, _BLUE)


def _person(canvas: Canvas, person: Mapping[str, Any], look: Look) -> None:
    body = _points(person["pose_keypoints_2d"], _BODY)
    feet = _points(person.get("foot_keypoints_2d"), _FEET)
    # After the face come the eyes, which belong to the body.
    face = _points(person["face_keypoints_2d"], _FACE + 2, _FACE)
    hands = [_points(person[f"hand_{side}_keypoints_2d"], _HAND) for side in ("right", "left")]
    if look.body or look.head:
        _limbs(canvas, body, look)
        _body_dots(canvas, body, look)
    if look.feet:
        for index in range(_FEET):
            if feet.known(look.threshold, index) and _inside(canvas, feet.pixel(index)):
                _dot(canvas, feet.pixel(index), _DOT, _COLORS[index])
    if look.hands:
        for hand in hands:
            _hand(canvas, hand, look)
    if look.face:
        _dots(canvas, face, look, _WHITE, look.point)


@node(
    "SDPoseDrawKeypoints",
    {
        "keypoints": link("POSE_KEYPOINT"),
        "draw_body": switch(True),
        "draw_hands": switch(True),
        "draw_face": switch(True),
        "draw_feet": switch(False),
        "stick_width": integer(4, 1, 10, step=1),
        "face_point_size": integer(3, 1, 10, step=1),
        "score_threshold": number(0.3, 0.0, 1.0, step=0.01),
        "draw_head": switch(True),
    },
    "IMAGE",
    module="comfy_extras.nodes_sdpose",
    category="image/detection",
    title="SDPose Draw Keypoints",
    v3=True,
)
def draw_poses(
    keypoints: Sequence[Mapping[str, Any]],
    draw_body: bool,
    draw_hands: bool,
    draw_face: bool,
    draw_feet: bool,
    stick_width: int,
    face_point_size: int,
    score_threshold: float,
    draw_head: bool,
) -> Image:
    """The people of each frame on black, of the first frame's size (since ComfyUI 0.16).

    ComfyUI draws the same unless OpenCV is installed, which rounds edges its own way.
    """
    if not keypoints:
        return np.zeros((1, 64, 64, 3), np.float32)
    look = Look(draw_body, draw_head, draw_feet, draw_face, draw_hands, stick_width, face_point_size, score_threshold)
    size = keypoints[0]["canvas_height"], keypoints[0]["canvas_width"]
    canvases = np.zeros((len(keypoints), *size, 3), np.uint8)
    for canvas, frame in zip(canvases, keypoints, strict=True):
        for person in frame["people"]:
            _person(canvas, person, look)
    return canvases.astype(np.float32) / np.float32(255)
