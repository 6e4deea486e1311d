"""Nodes that make samplers and noise. A sampler only names the method that ComfyUI would run; noise can be drawn.

A stand-in for a sampling node can read ``sampler.name``, ``sampler.options``, ``noise.seed`` and
``noise.generate_noise(latent)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import SEED_MAX, Entry, choice, integer, node, number
from comfyui_emulator.nodes.images.filters import torch_randn_parts
from comfyui_emulator.nodes.stubs import SAMPLERS

_MODULE = "comfy_extras.nodes_custom_sampler"
_CATEGORY = "sampling/custom_sampling/samplers"


@dataclass(frozen=True, slots=True)
class Sampler:
    """A SAMPLER value: the method's name in ComfyUI, and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Noise:
    """A NOISE value. Without a ``seed`` there is no noise."""

    seed: int | None

    def generate_noise(self, latent: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Noise in the shape of the latent, with the numbers that torch's CPU generator draws for the seed.

        Items with a ``batch_index`` get the noise that they had in their original batch.
        """
        shape = latent["samples"].shape
        if self.seed is None:
            return np.zeros(shape, dtype=np.float32)
        size = int(np.prod(shape))
        indices = latent.get("batch_index")
        if indices is None:
            return torch_randn_parts(1, size, self.seed).reshape(shape)
        single = size // shape[0]
        parts = torch_randn_parts(max(indices) + 1, single, self.seed)
        return parts[list(indices)].reshape(len(indices), *shape[1:])


@node("DisableNoise", {}, "NOISE", module=_MODULE, category="sampling/custom_sampling/noise")
def disable_noise() -> Noise:
    """A NOISE value that draws zeros."""
    return Noise(None)


@node(
    "RandomNoise",
    {"noise_seed": integer(0, 0, SEED_MAX, control_after_generate=True)},
    "NOISE",
    module=_MODULE,
    category="sampling/custom_sampling/noise",
)
def random_noise(noise_seed: int) -> Noise:
    """Normal noise from a seed."""
    return Noise(noise_seed)


@node("KSamplerSelect", {"sampler_name": choice(SAMPLERS)}, "SAMPLER", module=_MODULE, category=_CATEGORY)
def select(sampler_name: str) -> Sampler:
    """A sampler with the given name."""
    return Sampler(sampler_name)


def _free(default: float, high: float = 100.0) -> Entry:
    return number(default, 0.0, high, step=0.01, round=False)


_ETA = {"eta": _free(1.0), "s_noise": _free(1.0)}
_DEVICE = {"noise_device": choice(["gpu", "cpu"])}

_TITLES = {"SamplerEulerAncestralCFGPP": "SamplerEulerAncestralCFG++"}

# node, sampler, inputs
_FIXED: list[tuple[str, str, dict[str, Entry]]] = [
    ("SamplerDPMPP_3M_SDE", "dpmpp_3m_sde", {**_ETA, **_DEVICE}),
    ("SamplerDPMPP_2M_SDE", "dpmpp_2m_sde", {"solver_type": choice(["midpoint", "heun"]), **_ETA, **_DEVICE}),
    ("SamplerDPMPP_SDE", "dpmpp_sde", {**_ETA, "r": _free(0.5), **_DEVICE}),
    ("SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral", _ETA),
    ("SamplerEulerAncestral", "euler_ancestral", _ETA),
    ("SamplerEulerAncestralCFGPP", "euler_ancestral_cfg_pp", {"eta": _free(1.0, 1.0), "s_noise": _free(1.0, 10.0)}),
    ("SamplerLMS", "lms", {"order": integer(4, 1, 100)}),
    (
        "SamplerDPMAdaptative",
        "dpm_adaptive",
        {
            "order": integer(3, 2, 3),
            "rtol": _free(0.05),
            "atol": _free(0.0078),
            "h_init": _free(0.05),
            "pcoeff": _free(0.0),
            "icoeff": _free(1.0),
            "dcoeff": _free(0.0),
            "accept_safety": _free(0.81),
            "eta": _free(0.0),
            "s_noise": _free(1.0),
        },
    ),
]


def _add_sampler(name: str, sampler: str, inputs: dict[str, Entry]) -> None:
    @node(name, inputs, "SAMPLER", module=_MODULE, category=_CATEGORY, title=_TITLES.get(name, ""))
    def build(**options: Any) -> Sampler:
        """A sampler with its options. Samplers that draw noise on the GPU have their own names."""
        on_gpu = options.pop("noise_device", "cpu") == "gpu"
        return Sampler(sampler + "_gpu" * on_gpu, options)


for _sampler in _FIXED:
    _add_sampler(*_sampler)


@node(
    "SamplerER_SDE",
    {
        "solver_type": ["COMBO", {"options": ["ER-SDE", "Reverse-time SDE", "ODE"]}],
        "max_stage": integer(3, 1, 3),
        **_ETA,
    },
    "SAMPLER",
    module=_MODULE,
    category=_CATEGORY,
)
def er_sde(solver_type: str, max_stage: int, eta: float, s_noise: float) -> Sampler:
    """Extended reverse-time SDE. As an ODE it has no noise."""
    if solver_type == "ODE" or (solver_type == "Reverse-time SDE" and eta == 0):
        eta = s_noise = 0
    # ER-SDE has its own noise scaling, so ComfyUI sets none.
    scaler = None if solver_type == "ER-SDE" else lambda noise: noise ** (eta + 1)
    return Sampler("er_sde", {"s_noise": s_noise, "noise_scaler": scaler, "max_stage": max_stage})


_ADVANCED: dict[str, Any] = {"module": "comfy_extras.nodes_advanced_samplers", "v3": True}


@node(
    "SamplerLCMUpscale",
    {
        "scale_ratio": number(1.0, 0.1, 20.0, step=0.01),
        "scale_steps": integer(-1, -1, 1000, step=1),
        "upscale_method": choice(["bislerp", "nearest-exact", "bilinear", "area", "bicubic"]),
    },
    "SAMPLER",
    category=_CATEGORY,
    title=None,
    **_ADVANCED,
)
def lcm_upscale(scale_ratio: float, scale_steps: int, upscale_method: str) -> Sampler:
    """An LCM sampler that enlarges the latent while it runs."""
    steps = None if scale_steps < 0 else scale_steps
    options = {"total_upscale": scale_ratio, "upscale_steps": steps, "upscale_method": upscale_method}
    return Sampler("lcm_upscale", options)


@node(
    "SamplerEulerCFGpp",
    {"version": choice(["regular", "alternative"])},
    "SAMPLER",
    category="_for_testing",
    title="SamplerEulerCFG++",
    EXPERIMENTAL=True,
    **_ADVANCED,
)
def euler_cfg_pp(version: str) -> Sampler:
    """Euler sampling with CFG++, in one of two versions."""
    return Sampler("euler_pp" if version == "alternative" else "euler_cfg_pp")


_NEW: dict[str, Any] = {"category": "model/sampling/samplers", "v3": True}


def _extra(default: float, low: float, high: float) -> Entry:
    return number(default, low, high, step=0.01, round=False, advanced=True)


@node(
    "SamplerSEEDS2",
    {
        "solver_type": choice(["phi_1", "phi_2"]),
        "eta": _extra(1.0, 0.0, 100.0),
        "s_noise": _extra(1.0, 0.0, 100.0),
        "r": _extra(0.5, 0.01, 1.0),
    },
    "SAMPLER",
    module=_MODULE,
    title=None,
    **_NEW,
)
def seeds_2(solver_type: str, eta: float, s_noise: float, r: float) -> Sampler:
    """SEEDS of second order, or Heun's method, by its options (since 0.4)."""
    return Sampler("seeds_2", {"eta": eta, "s_noise": s_noise, "r": r, "solver_type": solver_type})


@node(
    "SamplerLCM",
    {
        "s_noise": number(1.0, 0.0, 64.0, step=0.01),
        "s_noise_end": number(1.0, 0.0, 64.0, step=0.01),
        "noise_clip_std": number(0.0, 0.0, 10.0, step=0.01),
    },
    "SAMPLER",
    module="comfy_extras.nodes_advanced_samplers",
    title=None,
    **_NEW,
)
def lcm(s_noise: float, s_noise_end: float, noise_clip_std: float) -> Sampler:
    """LCM with a factor for the noise, from the first step to the last."""
    given = {"s_noise": s_noise, "s_noise_end": s_noise_end, "noise_clip_std": noise_clip_std}
    return Sampler("lcm", {name: float(value) for name, value in given.items()})


@node(
    "SamplerARVideo",
    {"num_frame_per_block": integer(1, 1, 64)},
    "SAMPLER",
    module="comfy_extras.nodes_ar_video",
    title="Sampler AR Video",
    **_NEW,
)
def ar_video(num_frame_per_block: int) -> Sampler:
    """Sampling of a video block by block."""
    return Sampler("ar_video", {"num_frame_per_block": num_frame_per_block})


@node("VOIDSampler", {}, "SAMPLER", module="comfy_extras.nodes_void", title=None, **_NEW)
def void() -> Sampler:
    """DDIM as the VOID models were trained with."""
    return Sampler("VOID_DDIM")


@dataclass(frozen=True, slots=True)
class MadeNoise:
    """A NOISE value that was drawn before: a latent is the noise."""

    samples: npt.NDArray[np.float32]
    seed: int = 0

    def generate_noise(self, latent: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """The noise, whatever the latent is."""
        return self.samples.copy()


@node(
    "VOIDWarpedNoiseSource",
    {"warped_noise": ["LATENT"]},
    "NOISE",
    module="comfy_extras.nodes_void",
    category="model/latent/void",
    title=None,
    v3=True,
)
def warped_noise(warped_noise: Mapping[str, Any]) -> MadeNoise:
    """A latent as noise."""
    return MadeNoise(warped_noise["samples"])
