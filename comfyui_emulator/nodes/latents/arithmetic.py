"""Nodes for arithmetic with latents."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, choice, integer, link, node, number
from comfyui_emulator.nodes.images.resample import repeat_to
from comfyui_emulator.nodes.latents.resizing import Latent, fitted
from comfyui_emulator.nodes.wording import joined

_LATENT = link("LATENT")

_ADVANCED: dict[str, Any] = {
    "module": "comfy_extras.nodes_latent",
    "category": "model/latent/advanced",
    "title": None,
    "v3": True,
}
_DEPRECATED = _ADVANCED | {"category": "model/latent/batch", "title": "Batch Latents (DEPRECATED)"}
_PAIR = {"samples1": _LATENT, "samples2": _LATENT}


@node("LatentAdd", _PAIR, "LATENT", **_ADVANCED, touches={"samples1": "copy"})
def add(samples1: Latent, samples2: Latent) -> tuple[Latent]:
    """The sum of two latents."""
    first = samples1["samples"]
    return ({**samples1, "samples": first + fitted(first, samples2["samples"])},)


@node("LatentSubtract", _PAIR, "LATENT", **_ADVANCED, touches={"samples1": "copy"})
def subtract(samples1: Latent, samples2: Latent) -> tuple[Latent]:
    """The difference of two latents."""
    first = samples1["samples"]
    return ({**samples1, "samples": first - fitted(first, samples2["samples"])},)


@node(
    "LatentMultiply",
    {"samples": _LATENT, "multiplier": number(1.0, -10.0, 10.0, step=0.01)},
    "LATENT",
    **_ADVANCED,
    touches={"samples": "copy"},
)
def multiply(samples: Latent, multiplier: float) -> tuple[Latent]:
    """Multiply by a number."""
    return ({**samples, "samples": samples["samples"] * np.float32(multiplier)},)


@node(
    "LatentInterpolate",
    {**_PAIR, "ratio": number(1.0, 0.0, 1.0, step=0.01)},
    "LATENT",
    **_ADVANCED,
    touches={"samples1": "copy"},
)
def interpolate(samples1: Latent, samples2: Latent, ratio: float) -> tuple[Latent]:
    """Interpolate two latents. The directions and lengths of the channel vectors are mixed separately."""
    first = samples1["samples"]
    second = fitted(first, samples2["samples"])
    share = np.float32(ratio)
    lengths = [np.sqrt((array * array).sum(axis=1, dtype=np.float32)) for array in (first, second)]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = np.nan_to_num(first / lengths[0]), np.nan_to_num(second / lengths[1])
        mixed = one * share + two * np.float32(1.0 - ratio)
        direction = np.nan_to_num(mixed / np.sqrt((mixed * mixed).sum(axis=1, dtype=np.float32)))
    return ({**samples1, "samples": direction * (lengths[0] * share + lengths[1] * np.float32(1.0 - ratio))},)


_AXES = {"x": -1, "y": -2, "t": -3}


@node(
    "LatentConcat",
    {**_PAIR, "dim": choice(["x", "-x", "y", "-y", "t", "-t"])},
    "LATENT",
    **_ADVANCED,
    touches={"samples1": "copy"},
)
def concat(samples1: Latent, samples2: Latent, dim: str) -> tuple[Latent]:
    """Join two latents along an axis. With a minus sign, the second comes first."""
    first = samples1["samples"]
    parts = [first, repeat_to(samples2["samples"], first.shape[0])]
    if dim.startswith("-"):
        parts.reverse()
    return ({**samples1, "samples": joined(parts, _AXES[dim[-1]])},)


@node(
    "LatentCut",
    {
        "samples": _LATENT,
        "dim": choice(["x", "y", "t"]),
        "index": integer(0, -MAX_SIDE, MAX_SIDE, step=1),
        "amount": integer(1, 1, MAX_SIDE, step=1),
    },
    "LATENT",
    **_ADVANCED,
    touches={"samples": "copy"},
)
def cut(samples: Latent, dim: str, index: int, amount: int) -> tuple[Latent]:
    """A part along one axis. A negative index counts from the end."""
    array = samples["samples"]
    axis = array.ndim + _AXES[dim]
    size = array.shape[axis]
    start = min(index, size - 1) if index >= 0 else max(index, -size) + size
    return ({**samples, "samples": np.take(array, range(start, min(start + amount, size)), axis=axis)},)


@node("LatentBatch", _PAIR, "LATENT", touches={"samples1": "copy"}, DEPRECATED=True, **_DEPRECATED)
def batch(samples1: Latent, samples2: Latent) -> tuple[Latent]:
    """Join two batches."""
    first = samples1["samples"]
    second = fitted(first, samples2["samples"], repeat=False)
    indices = [
        list(latent.get("batch_index", range(array.shape[0])))
        for latent, array in ((samples1, first), (samples2, second))
    ]
    return ({**samples1, "samples": joined((first, second)), "batch_index": indices[0] + indices[1]},)


@node(
    "LatentBatchSeedBehavior",
    {"samples": _LATENT, "seed_behavior": choice(["random", "fixed"], default="fixed")},
    "LATENT",
    **_ADVANCED,
    touches={"samples": "copy"},
)
def seed_behavior(samples: Latent, seed_behavior: str) -> tuple[Latent]:
    """Set whether all items of a batch get the same noise."""
    result = dict(samples)
    if seed_behavior == "random":
        result.pop("batch_index", None)
    elif seed_behavior == "fixed":
        result["batch_index"] = [result.get("batch_index", [0])[0]] * samples["samples"].shape[0]
    return (result,)


@node(
    "TrimVideoLatent",
    {"samples": _LATENT, "trim_amount": integer(0, 0, 99999)},
    "LATENT",
    module="comfy_extras.nodes_wan",
    category="model/latent",
    title="Trim Video Latent",
    v3=True,
    touches={"samples": "copy"},
)
def trim_video(samples: Latent, trim_amount: int) -> tuple[Latent]:
    """Remove the first time steps."""
    return ({**samples, "samples": samples["samples"][:, :, trim_amount:]},)
