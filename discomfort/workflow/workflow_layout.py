"""Places of nodes on the canvas, and workflows laid out side by side. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.native_reroutes import native_reroutes
from discomfort.workflow.subgraphs import objects

GAP = 120.0
"""Pixels between two workflows."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def box_of(thing: JsonObject) -> Box | None:
    """The place of a node (``pos``, ``size``) or a frame (``bounding``); ``None`` if the file has none."""
    bounding = _numbers(thing.get("bounding"), 4)
    if bounding is not None:
        left, top, width, height = bounding
    else:
        pos = _numbers(thing.get("pos"), 2)
        if pos is None:
            return None
        left, top = pos
        width, height = _numbers(thing.get("size"), 2) or (0.0, 0.0)
    return left, top, left + width, top + height


def centre_of(node: JsonObject) -> tuple[float, float] | None:
    """The middle of a node."""
    box = box_of(node)
    return None if box is None else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def is_inside(point: tuple[float, float], box: Box) -> bool:
    """Whether a point is in a box."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def bounds(graph: JsonObject) -> Box | None:
    """The box around all nodes and frames."""
    return _around(box for thing in _things(graph) if (box := box_of(thing)) is not None)


def lay_side_by_side(graphs: Iterable[JsonObject]) -> None:
    """Move each workflow, in place, to the right of the one before it, their tops in one line."""
    corner: tuple[float, float] | None = None
    for graph in graphs:
        box = bounds(graph)
        if box is None:
            continue
        if corner is not None:
            _move(graph, corner[0] - box[0], corner[1] - box[1])
        left, top = corner or (box[0], box[1])
        corner = left + box[2] - box[0] + GAP, top


def _things(graph: JsonObject) -> Iterable[JsonObject]:
    return [*objects(graph.get("nodes")), *objects(graph.get("groups"))]


def _move(graph: JsonObject, right: float, down: float) -> None:
    for thing in [*_things(graph), *native_reroutes(graph)]:
        for key, count in (("pos", 2), ("bounding", 4)):
            place = _numbers(thing.get(key), count)
            if place is not None:
                thing[key] = [place[0] + right, place[1] + down, *place[2:]]


def _around(boxes: Iterable[Box]) -> Box | None:
    found = list(boxes)
    if not found:
        return None
    return (
        min(box[0] for box in found),
        min(box[1] for box in found),
        max(box[2] for box in found),
        max(box[3] for box in found),
    )


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """The first numbers of a list, or of an object with the keys ``"0"``, ``"1"``: typed arrays were once saved so."""
    if isinstance(value, dict):
        value = [value.get(str(index)) for index in range(count)]
    if not isinstance(value, (list, tuple)) or len(value) < count:
        return None
    is_good = all(isinstance(each, (int, float)) and math.isfinite(each) for each in value[:count])
    return tuple(value[:count]) if is_good else None
