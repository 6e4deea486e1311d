"""Nodes that weight conditionings, and give them pictures and sounds to refer to (since ComfyUI 0.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, growing, link, node, number
from comfyui_emulator.nodes.conditioning.combining import COND, PAIR, Conditioning, parts, with_values
from comfyui_emulator.nodes.latents.resizing import Latent


@node(
    "ConditioningMultiply",
    {"conditioning": COND, "multiplier": number(1.0, -100.0, 100.0, step=0.01)},
    "CONDITIONING",
    module="nodes",
    category="model/conditioning/transform",
    title="Conditioning (Multiply)",
)
def multiply(conditioning: Conditioning, multiplier: float) -> tuple[Conditioning]:
    """Multiply the vectors and the pooled output by a number."""
    factor = np.float32(multiplier)
    result: Conditioning = []
    for vectors, options in parts(conditioning):
        pooled = options.get("pooled_output")
        result.append([vectors * factor, options if pooled is None else options | {"pooled_output": pooled * factor}])
    return (result,)


@node(
    "ReferenceTimbreAudio",
    {"conditioning": COND},
    "CONDITIONING",
    optional={"latent": link("LATENT")},
    module="comfy_extras.nodes_ace",
    category="model/conditioning",
    title="Set Reference Audio",
    v3=True,
    EXPERIMENTAL=True,
)
def timbre(conditioning: Conditioning, latent: Latent | None = None) -> tuple[Conditioning]:
    """Add the sound whose timbre the new one shall have."""
    if latent is None:
        return (conditioning,)
    return (with_values(conditioning, {"reference_audio_timbre_latents": [latent["samples"]]}, append=True),)


_MOST_PICTURES = 10
_PICTURES = tuple(f"image_{number}" for number in range(1, _MOST_PICTURES + 1))


@node(
    "HiDreamO1ReferenceImages",
    {**PAIR, "images": growing("image", link("IMAGE"), names=_PICTURES)},
    "CONDITIONING CONDITIONING",
    names="positive negative",
    module="comfy_extras.nodes_hidream_o1",
    category="model/conditioning/hidream",
    title="HiDream-O1 Reference Images",
    v3=True,
)
def pictures(
    positive: Conditioning, negative: Conditioning, images: dict[str, Image]
) -> tuple[Conditioning, Conditioning]:
    """Add pictures, in the order of their numbers, to both conditionings."""
    values: dict[str, Any] = {"reference_latents": [images[name] for name in _PICTURES if name in images]}
    return with_values(positive, values, append=True), with_values(negative, values, append=True)
