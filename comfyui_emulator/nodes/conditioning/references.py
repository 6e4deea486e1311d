"""Nodes that weight conditionings, and give them pictures and sounds to refer to (since ComfyUI 0.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, choice, growing, link, node, number
from comfyui_emulator.nodes.conditioning.combining import COND, PAIR, Conditioning, parts, with_values
from comfyui_emulator.nodes.latents.resizing import Array, Latent


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


@node(
    "GetICLoRAParameters",
    {"iclora_model": link("MODEL")},
    "IC_LORA_PARAMETERS",
    names="iclora_parameters",
    module="comfy_extras.nodes_lt",
    category="model/conditioning/ltxv",
    title="Get IC-LoRA Parameters",
    v3=True,
)
def lora_parameters(iclora_model: Any) -> tuple[dict[str, int]]:
    """How much smaller the LoRA wants its pictures, as the metadata says that a stand-in for its loader attached."""
    metadata = iclora_model.get_attachment("lora_metadata") or {}
    named = [value for key, value in metadata.items() if key.endswith("reference_downscale_factor")]
    try:
        factor = max(1, round(float(named[0])))
    except (IndexError, TypeError, ValueError):
        factor = 1
    return ({"reference_downscale_factor": factor},)


_SCALES = {"sd3": (0.0609, 1.5305), "sdxl": (0.0, 0.13025), "flux": (0.1159, 0.3611)}
"""What a family of models subtracts from its latents, and multiplies them with."""

_WAN_MEANS = [
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
]
_WAN_DEVIATIONS = [
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
]
"""Of each channel of the latents of Wan 2.1 and Qwen-Image, as published with the models."""

_FLUX_2_CHANNELS = 128


def _normal(samples: Array, family: str) -> Array:
    """Latents as the models take them. Those of FLUX.2 are so already."""
    if family == "qwenimage":
        means, deviations = (
            np.array(each, dtype=np.float32).reshape(1, -1, 1, 1, 1) for each in (_WAN_MEANS, _WAN_DEVIATIONS)
        )
        scaled: Array = (samples - means) / deviations
        return scaled
    if family not in _SCALES:
        raise ValueError(f"Unknown latent_format: {family}")
    if family == "flux" and samples.shape[1] == _FLUX_2_CHANNELS:
        return samples
    shift, factor = (np.float32(value) for value in _SCALES[family])
    return (samples - shift) * factor


@node(
    "PiDConditioning",
    {
        "positive": COND,
        "latent": link("LATENT"),
        "latent_format": choice(["flux", "sd3", "sdxl", "qwenimage"], default="flux"),
        "degrade_sigma": number(0.0, 0.0, 1.0, step=0.01),
    },
    "CONDITIONING",
    module="comfy_extras.nodes_pid",
    category="model/conditioning",
    title="PiD Conditioning",
    v3=True,
)
def pixel_diffusion(
    positive: Conditioning, latent: Latent, latent_format: str, degrade_sigma: float
) -> tuple[Conditioning]:
    """Add the latent to decode, or the first frame of it, and how noisy it is."""
    wanted = _normal(latent["samples"], latent_format)
    values = {
        "lq_latent": wanted[:, :, 0] if wanted.ndim == 5 else wanted,
        "degrade_sigma": np.array([degrade_sigma], dtype=np.float32),
    }
    return (with_values(positive, values),)
