"""The node that makes a camera for a 3D viewer, and the cameras of rendered pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import branching, choice, node, number
from comfyui_emulator.nodes.solids.quaternions import Array, looking, matrices, product, unit

JsonObject = dict[str, Any]
_AXES = "xyz"
_FAR, _NEAR = number(4.0, -1000.0, 1000.0, step=0.01), number(0.0, -1000.0, 1000.0, step=0.01, advanced=True)
_TURN = number(0.0, -1.0, 1.0, step=0.001)
_POSITION = {f"position_{axis}": _FAR for axis in _AXES}
_MODES = {
    "orbit": {
        "yaw": number(35.0, -360.0, 360.0, step=1.0),
        "pitch": number(30.0, -89.0, 89.0, step=1.0),
        "distance": number(4.0, 0.01, 1000.0, step=0.01),
    },
    "look_at": _POSITION,
    "quaternion": {
        **_POSITION,
        **{f"quat_{axis}": _TURN for axis in _AXES},
        "quat_w": number(1.0, -1.0, 1.0, step=0.001),
    },
}


def _named(vector: Array) -> JsonObject:
    return {axis: float(value) for axis, value in zip(_AXES, vector, strict=True)}


def camera(position: Sequence[float] | Array, target: Sequence[float] | Array, turn: Array, **lens: Any) -> JsonObject:
    """A camera as the viewer describes it; ``turn`` is a quaternion (w, x, y, z)."""
    w, *rest = (float(value) for value in turn)
    quaternion = dict(zip(_AXES, rest, strict=True)) | {"w": w}
    place, aim = (_named(np.asarray(vector, np.float32)) for vector in (position, target))
    return {"position": place, "target": aim, "quaternion": quaternion, **lens}


def aimed(position: Sequence[float] | Array, target: Sequence[float] | Array, roll: float, **lens: Any) -> JsonObject:
    """A camera that looks at a point, turned about its line of sight by ``roll`` degrees."""
    turn = looking(np.asarray(position, np.float32), np.asarray(target, np.float32))
    if roll:
        half = math.radians(roll) / 2
        turn = product(turn, np.array([math.cos(half), 0, 0, math.sin(half)], np.float32))
    return camera(position, target, turn, **lens)


@node(
    "CreateCameraInfo",
    {
        "mode": branching(_MODES),
        **{f"target_{axis}": _NEAR for axis in _AXES},
        "roll": number(0.0, -180.0, 180.0, step=1.0),
        "fov": number(35.0, 1.0, 120.0, step=1.0),
        "zoom": number(1.0, 0.01, 100.0, step=0.01),
        "camera_type": choice(["perspective", "orthographic"]),
    },
    "LOAD3D_CAMERA",
    names="camera_info",
    title="Create Camera Info",
    module="comfy_extras.nodes_gaussian_splat",
    category="3d",
    v3=True,
)
def create_camera(
    mode: Mapping[str, Any], roll: float, fov: float, zoom: float, camera_type: str, **aim: float
) -> tuple[JsonObject]:
    """A camera in the viewer's world (y up): on an orbit, at a place, or with its own rotation."""
    lens = {"fov": float(fov), "cameraType": camera_type, "zoom": float(zoom)}
    target = [aim[f"target_{axis}"] for axis in _AXES]
    if mode["mode"] == "orbit":
        yaw, pitch, distance = math.radians(mode["yaw"]), math.radians(mode["pitch"]), mode["distance"]
        flat = distance * math.cos(pitch)
        offset = (flat * math.sin(yaw), distance * math.sin(pitch), flat * math.cos(yaw))
        position = [start + step for start, step in zip(target, offset, strict=True)]
        return (aimed(position, target, roll, **lens),)
    position = [mode[f"position_{axis}"] for axis in _AXES]
    if mode["mode"] == "look_at":
        return (aimed(position, target, roll, **lens),)
    turn = unit(np.array([mode[f"quat_{axis}"] for axis in "wxyz"], np.float32), 1e-8)
    ahead = np.asarray(position, np.float32) - matrices(turn)[:, 2]
    return (camera(position, ahead, turn, **lens),)
