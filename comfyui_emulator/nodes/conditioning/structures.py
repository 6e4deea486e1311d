"""Nodes between the stages in which a Trellis 2 model makes a shape (since ComfyUI 0.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import link, node
from comfyui_emulator.nodes.conditioning.combining import PAIR, Conditioning, both
from comfyui_emulator.nodes.latents.resizing import Array, Latent
from comfyui_emulator.registry import NeedsComfyUIError

Places = npt.NDArray[np.int32]
"""``[point, (item, x, y, z)]``: the cells of a grid that are filled."""

_TRELLIS: dict[str, Any] = {
    "names": "positive negative LATENT",
    "module": "comfy_extras.nodes_trellis2",
    "category": "model/conditioning/trellis2",
    "title": None,
    "v3": True,
}
_CHANNELS = 32
_COARSE = 32
"""Cells a side up to which the smaller of two models makes the shape."""


def _counts(places: Places) -> npt.NDArray[np.int64]:
    """How many cells each item has."""
    if places.ndim != 2 or places.shape[1] != 4:
        raise ValueError(f"Expected Trellis2 coords with shape [N, 4], got {tuple(places.shape)}")
    if not len(places):
        raise ValueError("Trellis2 coords can't be empty")
    counts = np.bincount(places[:, 0])
    if (counts == 0).any():
        found = np.unique(places[:, 0]).tolist()
        raise ValueError(f"Non-contiguous Trellis2 batch ids in coords: {found}")
    return counts


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) > 1 and isinstance(entry[1], dict)


def _check_plain(positive: Conditioning, class_type: str) -> None:
    first: Any = positive[0] if positive else None
    if _is_pair(first) and first[1].get("proj_feat_pack") is not None:
        raise NeedsComfyUIError(class_type, "with features that a vision model projected")


def _stage(
    pair: tuple[Conditioning, Conditioning],
    counts: npt.NDArray[np.int64],
    values: dict[str, Any],
    extra: dict[str, Any],
) -> tuple[Conditioning, Conditioning, Latent]:
    """Both conditionings with values, and an empty latent, with ``extra``, of as many cells as the largest item has."""
    empty = np.zeros((len(counts), _CHANNELS, int(counts.max()), 1), dtype=np.float32)
    changed = both(*pair, lambda each: [[one[0], one[1] | values] if _is_pair(one) else one for one in each])
    return *changed, {"samples": empty, "type": "trellis2", "coord_counts": counts} | extra


@node("Trellis2ShapeStage", {**PAIR, "voxel": link("VOXEL")}, "CONDITIONING CONDITIONING LATENT", **_TRELLIS)
def shape_stage(
    positive: Conditioning, negative: Conditioning, voxel: Any
) -> tuple[Conditioning, Conditioning, Latent]:
    """The filled cells of a grid, as the model that makes the shape takes them."""
    _check_plain(positive, "Trellis2ShapeStage")
    places: Places = np.argwhere(voxel.data != 0).astype(np.int32)
    counts, side = _counts(places), int(voxel.data.shape[-1])
    values = {
        "trellis2_generation_mode": "shape_generation_512" if side <= _COARSE else "shape_generation",
        "trellis2_coords": places,
        "trellis2_coord_counts": counts,
    }
    extra = {"coords": places, "coord_resolution": side, "model_frame": "z_up"}
    return _stage((positive, negative), counts, values, extra)


def _flat(samples: Array, counts: npt.NDArray[np.int64]) -> Array:
    """The vectors of all cells in one row."""
    if samples.ndim != 4:
        return samples
    each = np.moveaxis(samples[..., 0], 1, 2)
    return np.concatenate([part[:count] for part, count in zip(each, counts, strict=True)])


@node("Trellis2TextureStage", {**PAIR, "shape_latent": link("LATENT")}, "CONDITIONING CONDITIONING LATENT", **_TRELLIS)
def texture_stage(
    positive: Conditioning, negative: Conditioning, shape_latent: Latent
) -> tuple[Conditioning, Conditioning, Latent]:
    """The shape that was made, as the model that makes its colours takes it."""
    _check_plain(positive, "Trellis2TextureStage")
    places = shape_latent["coords"]
    counts, frame = _counts(places), shape_latent.get("model_frame", "z_up")
    values = {
        "trellis2_generation_mode": "texture_generation",
        "trellis2_coords": places,
        "trellis2_coord_counts": counts,
        "trellis2_shape_slat": _flat(shape_latent["samples"], counts),
        "trellis2_model_frame": frame,
    }
    extra = {"coords": places, "model_frame": frame}
    if shape_latent.get("coord_resolution") is not None:
        extra["coord_resolution"] = shape_latent["coord_resolution"]
    return _stage((positive, negative), counts, values, extra)
