"""Cameras in the world of splats, where y is down and z away from the viewer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from comfyui_emulator.nodes.solids.cameras import aimed
from comfyui_emulator.nodes.solids.meshes import Points
from comfyui_emulator.nodes.solids.quaternions import matrices, product, unit

JsonObject = dict[str, Any]
FLIP = np.array([1, -1, -1], np.float32)
"""From the viewer's world (y up, z to the viewer) to that of splats (y down, z away), and back."""


class Lens(NamedTuple):
    """A camera in the world of splats: its place, its axes as rows, pixels per unit, and the size of the picture."""

    eye: Points
    axes: Points
    focus: float
    flat: float | None
    """Pixels per unit of a camera without perspective."""
    width: int
    height: int


def _place(given: JsonObject) -> Points:
    return np.array([float(given.get(axis, 0.0)) for axis in "xyz"], np.float32)


def _axes(camera: JsonObject, eye: Points, target: Points) -> Points:
    turn = camera.get("quaternion")
    if turn:
        defaults = {"w": 1.0, "x": 0.0, "y": 0.0, "z": 0.0}
        world = matrices(np.array([float(turn.get(key, value)) for key, value in defaults.items()], np.float32))
        return np.stack([unit(axis * FLIP, 1e-8) for axis in (world[:, 0], -world[:, 1], -world[:, 2])])
    ahead = unit(target - eye, 1e-8)
    yaw = math.atan2(-float(ahead[0]), float(ahead[2]))
    pitch = math.asin(max(-1.0, min(1.0, float(ahead[1]))))
    (cy, sy), (cp, sp) = ((math.cos(angle), math.sin(angle)) for angle in (yaw, pitch))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], np.float32)
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]], np.float32)
    turned: Points = about_x @ about_y
    return turned


def lens(camera: JsonObject, width: int, height: int) -> Lens:
    """A viewer's camera."""
    eye, target = _place(camera.get("position", {})) * FLIP, _place(camera.get("target", {})) * FLIP
    angle = float(camera.get("fov", 0) or 0) or 35.0
    zoom = float(camera.get("zoom", 1.0) or 1.0)
    focus = min(width, height) / 2 / math.tan(math.radians(angle) / 2) * zoom
    straight = str(camera.get("cameraType", "")).lower().startswith("ortho")
    flat = focus / max(float(np.linalg.norm(target - eye)), 1e-6) if straight else None
    return Lens(eye, _axes(camera, eye, target), focus, flat, width, height)


def framing(places: Points) -> JsonObject:
    """A camera from the front on the right and above that sees nearly all."""
    center, extent = np.zeros(3, np.float32), 1.0
    if len(places):
        center = places.mean(axis=0)
        extent = max(float(np.quantile(np.linalg.norm(places - center, axis=-1), 0.99)), 1e-4)
    distance = extent / (math.tan(math.radians(35.0) / 2) * 0.9)
    yaw, pitch = math.radians(35.0), math.radians(30.0)
    flat = math.cos(pitch)
    ahead = np.array([-flat * math.sin(yaw), math.sin(pitch), flat * math.cos(yaw)], np.float32)
    eye = (center - np.float32(distance) * ahead) * FLIP
    return aimed(eye, center * FLIP, 0.0, fov=35.0, cameraType="perspective", zoom=1.0)


def orbited(camera: JsonObject, degrees: float) -> JsonObject:
    """The camera, turned about the vertical axis through its target."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)
    eye, target = _place(camera.get("position", {})), _place(camera.get("target", {}))
    moved = target + turn @ (eye - target)
    own = camera.get("quaternion") or {}
    now = np.array([float(own.get("w", 1.0)), *(float(own.get(axis, 0.0)) for axis in "xyz")], np.float32)
    w, x, y, z = product(np.array([math.cos(angle / 2), 0, math.sin(angle / 2), 0], np.float32), now).tolist()
    position = dict(zip("xyz", moved.tolist(), strict=True))
    return {**camera, "position": position, "quaternion": {"x": x, "y": y, "z": z, "w": w}}
