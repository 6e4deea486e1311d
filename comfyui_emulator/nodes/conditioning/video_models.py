"""Nodes that make conditionings for video, upscaling and 3D models, with the latents for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, choice, integer, link, node, number
from comfyui_emulator.nodes.conditioning.combining import PAIR, Conditioning, Pair, both, parts, with_values
from comfyui_emulator.nodes.images.resample import scale
from comfyui_emulator.nodes.latents.resizing import Array, Latent

Triple = tuple[Conditioning, Conditioning, Latent]

_LATENT = link("LATENT")
_TRIPLE: dict[str, Any] = {"names": "positive negative latent"}
_LTXV: dict[str, Any] = {
    "module": "comfy_extras.nodes_lt",
    "category": "model/conditioning/ltxv",
    "title": None,
    "v3": True,
}


@node(
    "LTXVConditioning",
    {**PAIR, "frame_rate": number(25.0, 0.0, 1000.0, step=0.01)},
    "CONDITIONING CONDITIONING",
    names="positive negative",
    **_LTXV,
)
def ltxv(positive: Conditioning, negative: Conditioning, frame_rate: float) -> Pair:
    """Set the frame rate of the video."""
    return both(positive, negative, lambda each: with_values(each, {"frame_rate": frame_rate}))


@node("LTXVCropGuides", {**PAIR, "latent": _LATENT}, "CONDITIONING CONDITIONING LATENT", **_TRIPLE, **_LTXV)
def crop_guides(positive: Conditioning, negative: Conditioning, latent: Latent) -> Triple:
    """Remove the guide frames at the end."""
    samples = latent["samples"]
    _, _, _, _, _ = samples.shape
    mask = latent.get("noise_mask")
    if mask is None:
        mask = np.ones((samples.shape[0], 1, samples.shape[2], 1, 1), dtype=np.float32)
    guides = next((options["keyframe_idxs"] for _, options in parts(positive) if "keyframe_idxs" in options), None)
    # One place for each cell of each guide.
    count = 0 if guides is None else guides.shape[2] // (samples.shape[-2] * samples.shape[-1])
    if count:
        samples, mask = samples[:, :, :-count], mask[:, :, :-count]
        gone = {"keyframe_idxs": None, "guide_attention_entries": None}
        positive, negative = both(positive, negative, lambda each: with_values(each, gone))
    return positive, negative, {"samples": samples.copy(), "noise_mask": mask.copy()}


@node(
    "HunyuanRefinerLatent",
    {**PAIR, "latent": _LATENT, "noise_augmentation": number(0.1, 0.0, 1.0, step=0.01, advanced=True)},
    "CONDITIONING CONDITIONING LATENT",
    module="comfy_extras.nodes_hunyuan",
    category="model/conditioning/hunyuan video",
    title="Hunyuan Latent Refiner",
    v3=True,
    **_TRIPLE,
)
def refiner(positive: Conditioning, negative: Conditioning, latent: Latent, noise_augmentation: float) -> Triple:
    """Set the latent to refine, and return an empty one with 32 channels."""
    samples: Array = latent["samples"]
    values = {"concat_latent_image": samples, "noise_augmentation": noise_augmentation}
    empty = np.zeros((samples.shape[0], 32, *samples.shape[-3:]), dtype=np.float32)
    return *both(positive, negative, lambda each: with_values(each, values)), {"samples": empty}


@node(
    "SD_4XUpscale_Conditioning",
    {
        "images": link("IMAGE"),
        **PAIR,
        "scale_ratio": number(4.0, 0.0, 10.0, step=0.01),
        "noise_augmentation": number(0.0, 0.0, 1.0, step=0.001, advanced=True),
    },
    "CONDITIONING CONDITIONING LATENT",
    module="comfy_extras.nodes_sdupscale",
    category="model/conditioning/stable diffusion upscaler",
    title=None,
    v3=True,
    **_TRIPLE,
)
def upscale_4x(
    images: Image, positive: Conditioning, negative: Conditioning, scale_ratio: float, noise_augmentation: float
) -> Triple:
    """Set the images at a quarter of the new size, with levels from -1 to 1; return an empty latent of that size."""
    width, height = (max(1, round(side * scale_ratio)) for side in (images.shape[2], images.shape[1]))
    pixels = scale(images * np.float32(2) - np.float32(1), width // 4, height // 4, "bilinear", "center")
    values = {"concat_image": np.moveaxis(pixels, -1, 1), "noise_augmentation": noise_augmentation}
    empty = np.zeros((images.shape[0], 4, height // 4, width // 4), dtype=np.float32)
    return *both(positive, negative, lambda each: with_values(each, values)), {"samples": empty}


_HUNYUAN_3D: dict[str, Any] = {
    "module": "comfy_extras.nodes_hunyuan3d",
    "category": "model/conditioning/hunyuan 3d",
    "title": None,
    "v3": True,
    "names": "positive negative",
}
_SEEN = link("CLIP_VISION_OUTPUT")


def _against_nothing(vectors: Array) -> Pair:
    return [[vectors, {}]], [[np.zeros_like(vectors), {}]]


@node("Hunyuan3Dv2Conditioning", {"clip_vision_output": _SEEN}, "CONDITIONING CONDITIONING", **_HUNYUAN_3D)
def one_view(clip_vision_output: Any) -> Pair:
    """A conditioning made from a vision model's output."""
    return _against_nothing(clip_vision_output.last_hidden_state)


@node(
    "Hunyuan3Dv2ConditioningMultiView",
    {},
    "CONDITIONING CONDITIONING",
    optional=dict.fromkeys(("front", "left", "back", "right"), _SEEN),
    **_HUNYUAN_3D,
)
def several_views(front: Any = None, left: Any = None, back: Any = None, right: Any = None) -> Pair:
    """A conditioning made from a vision model's output for several views. Raises ``ValueError`` without views."""
    found = []
    for place, seen in enumerate((front, left, back, right)):
        if seen is not None:
            half = seen.last_hidden_state.shape[-1] // 2
            waves = place / 10000 ** (np.arange(half) / half)
            found.append(seen.last_hidden_state + np.concatenate([np.sin(waves), np.cos(waves)]).astype(np.float32))
    if not found:
        raise ValueError("Hunyuan3Dv2ConditioningMultiView needs at least one view")
    return _against_nothing(np.concatenate(found, axis=1))


_MOTIONS: dict[str, tuple[float, tuple[float, float, float]]] = {
    "Static": (0, (0, 0, 0)),
    "Pan Up": (0, (0, -1, 0)),
    "Pan Down": (0, (0, 1, 0)),
    "Pan Left": (0, (-1, 0, 0)),
    "Pan Right": (0, (1, 0, 0)),
    "Zoom In": (0, (0, 0, 2)),
    "Zoom Out": (0, (0, 0, -2)),
    "Anti Clockwise (ACW)": (-1, (0, 0, 0)),
    "ClockWise (CW)": (1, (0, 0, 0)),
}
"""For each motion: the direction in which the camera rolls, and that in which it moves."""

_ROLL, _WAY = np.pi / 3, 1.5
"""Angle in radians and distance of a whole motion at speed 1."""

_POSE_ASPECT = 1280 / 720


def _poses(camera_pose: str, speed: float, length: int) -> Array:
    """Rotation and position of the camera relative to the first frame: ``[frame, 3, 4]``."""
    sense, way = _MOTIONS[camera_pose]
    share = np.arange(length) / length * speed
    angle = share * _ROLL * sense
    poses = np.zeros((length, 3, 4))
    poses[:, 0, 0] = poses[:, 1, 1] = np.cos(angle)
    poses[:, 0, 1], poses[:, 1, 0], poses[:, 2, 2] = -np.sin(angle), np.sin(angle), 1
    poses[:, :, 3] = (share * _WAY)[:, None] * np.array(way)
    return poses.astype(np.float32)


@node(
    "WanCameraEmbedding",
    {
        "camera_pose": choice(list(_MOTIONS), default="Static"),
        "width": integer(832, 16, 16384, step=16),
        "height": integer(480, 16, 16384, step=16),
        "length": integer(81, 1, 16384, step=4),
    },
    "WAN_CAMERA_EMBEDDING INT INT INT",
    names="camera_embedding width height length",
    optional={
        "speed": number(1.0, 0, 10.0, step=0.1),
        "fx": number(0.5, 0, 1, step=1e-09, advanced=True),
        "fy": number(0.5, 0, 1, step=1e-09, advanced=True),
        "cx": number(0.5, 0, 1, step=0.01, advanced=True),
        "cy": number(0.5, 0, 1, step=0.01, advanced=True),
    },
    module="comfy_extras.nodes_camera_trajectory",
    category="model/conditioning/wan/camera",
    title=None,
    v3=True,
)
def camera_embedding(
    camera_pose: str,
    width: int,
    height: int,
    length: int,
    speed: float = 1.0,
    fx: float = 0.5,
    fy: float = 0.5,
    cx: float = 0.5,
    cy: float = 0.5,
) -> tuple[Array, int, int, int]:
    """The ray through every pixel for a moving camera, in Plücker coordinates; four frames share a cell."""
    if width / height < _POSE_ASPECT:
        fx = height * _POSE_ASPECT * fx / width
    else:
        fy = width / _POSE_ASPECT * fy / height
    poses = _poses(camera_pose, speed, length)
    across = (np.arange(width, dtype=np.float32) + np.float32(0.5) - np.float32(cx * width)) / np.float32(fx * width)
    down = (np.arange(height, dtype=np.float32) + np.float32(0.5) - np.float32(cy * height)) / np.float32(fy * height)
    rays = np.ones((height, width, 3), dtype=np.float32)
    rays[..., 0], rays[..., 1] = across[None, :], down[:, None]
    rays /= np.sqrt((rays * rays).sum(axis=-1, keepdims=True))
    directions = np.einsum("hwc,fdc->fhwd", rays, poses[:, :, :3])
    moments = np.cross(np.broadcast_to(poses[:, None, None, :, 3], directions.shape), directions)
    plucker = np.moveaxis(np.concatenate([moments, directions], axis=-1), -1, 1)
    frames = np.concatenate([np.repeat(plucker[:1], 4, axis=0), plucker[1:]])
    cells = frames.reshape(-1, 4, *frames.shape[1:]).swapaxes(1, 2).reshape(-1, 24, height, width)
    return np.ascontiguousarray(cells.swapaxes(0, 1))[None].astype(np.float32), width, height, length
