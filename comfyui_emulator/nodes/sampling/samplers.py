"""Nodes that make samplers and noise. A sampler only names the method that ComfyUI would run; noise can be drawn.

A stand-in for a sampling node can read ``sampler.name``, ``sampler.options``, ``noise.seed`` and
``noise.generate_noise(latent)``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import SEED_MAX, Entry, choice, integer, node, number
from comfyui_emulator.nodes.images.filters import torch_randn_parts
from comfyui_emulator.nodes.stubs import SAMPLERS

_MODULE = "comfy_extras.nodes_custom_sampler"
_NEWER: dict[str, Any] = {"module": _MODULE, "title": None, "v3": True}
_SAMPLER: dict[str, Any] = _NEWER | {"category": "model/sampling/samplers"}
_NOISE: dict[str, Any] = _NEWER | {"category": "model/sampling/noise"}


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


@node("DisableNoise", {}, "NOISE", **_NOISE)
def disable_noise() -> Noise:
    """A NOISE value that draws zeros."""
    return Noise(None)


@node(
    "RandomNoise",
    {"noise_seed": integer(0, 0, SEED_MAX, control_after_generate=True)},
    "NOISE",
    **_NOISE,
)
def random_noise(noise_seed: int) -> Noise:
    """Normal noise from a seed."""
    return Noise(noise_seed)


@node("KSamplerSelect", {"sampler_name": choice(SAMPLERS)}, "SAMPLER", **_SAMPLER)
def select(sampler_name: str) -> Sampler:
    """A sampler with the given name."""
    return Sampler(sampler_name)


def _free(default: float, high: float = 100.0, low: float = 0.0, **extra: Any) -> Entry:
    return number(default, low, high, step=0.01, round=False, **extra)


_extra = functools.partial(_free, advanced=True)


_ETA = {"eta": _extra(1.0), "s_noise": _extra(1.0)}
_DEVICE = {"noise_device": choice(["gpu", "cpu"], advanced=True)}

_TITLES = {"SamplerEulerAncestralCFGPP": "SamplerEulerAncestralCFG++"}

# node, sampler, inputs
_FIXED: list[tuple[str, str, dict[str, Entry]]] = [
    ("SamplerDPMPP_3M_SDE", "dpmpp_3m_sde", {**_ETA, **_DEVICE}),
    ("SamplerDPMPP_2M_SDE", "dpmpp_2m_sde", {"solver_type": choice(["midpoint", "heun"]), **_ETA, **_DEVICE}),
    ("SamplerDPMPP_SDE", "dpmpp_sde", {**_ETA, "r": _extra(0.5), **_DEVICE}),
    ("SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral", {"eta": _free(1.0), "s_noise": _free(1.0)}),
    ("SamplerEulerAncestral", "euler_ancestral", _ETA),
    ("SamplerEulerAncestralCFGPP", "euler_ancestral_cfg_pp", {"eta": _free(1.0, 1.0), "s_noise": _free(1.0, 10.0)}),
    ("SamplerLMS", "lms", {"order": integer(4, 1, 100, advanced=True)}),
    (
        "SamplerDPMAdaptative",
        "dpm_adaptive",
        {
            "order": integer(3, 2, 3, advanced=True),
            "rtol": _extra(0.05),
            "atol": _extra(0.0078),
            "h_init": _extra(0.05),
            "pcoeff": _extra(0.0),
            "icoeff": _extra(1.0),
            "dcoeff": _extra(0.0),
            "accept_safety": _extra(0.81),
            "eta": _extra(0.0),
            "s_noise": _extra(1.0),
        },
    ),
]


def _add_sampler(name: str, sampler: str, inputs: dict[str, Entry]) -> None:
    @node(name, inputs, "SAMPLER", **(_SAMPLER | {"title": _TITLES.get(name)}))
    def build(**options: Any) -> Sampler:
        """A sampler with its options. Samplers that draw noise on the GPU have their own names."""
        on_gpu = options.pop("noise_device", "cpu") == "gpu"
        return Sampler(sampler + "_gpu" * on_gpu, options)


for _sampler in _FIXED:
    _add_sampler(*_sampler)


@node(
    "SamplerER_SDE",
    {
        "solver_type": choice(["ER-SDE", "Reverse-time SDE", "ODE"]),
        "max_stage": integer(3, 1, 3, advanced=True),
        "eta": _extra(1.0, 10.0),
        "s_noise": _extra(1.0),
    },
    "SAMPLER",
    **_SAMPLER,
)
def er_sde(solver_type: str, max_stage: int, eta: float, s_noise: float) -> Sampler:
    """Extended reverse-time SDE. As an ODE, or without ``eta``, it has no noise."""
    scalers: dict[str, Any] = {
        "ER-SDE": lambda noise: noise * (np.exp(noise**0.3) + 10.0) ** eta,
        "Reverse-time SDE": lambda noise: noise ** (eta + 1),
        "ODE": lambda noise: noise,
    }
    if solver_type == "ODE" or eta == 0:
        solver_type, s_noise = "ODE", 0.0
    return Sampler("er_sde", {"s_noise": s_noise, "noise_scaler": scalers[solver_type], "max_stage": max_stage})


_ADVANCED: dict[str, Any] = _SAMPLER | {"module": "comfy_extras.nodes_advanced_samplers"}


@node(
    "SamplerLCMUpscale",
    {
        "scale_ratio": number(1.0, 0.1, 20.0, step=0.01, advanced=True),
        "scale_steps": integer(-1, -1, 1000, step=1, advanced=True),
        "upscale_method": choice(["bislerp", "nearest-exact", "bilinear", "area", "bicubic"]),
    },
    "SAMPLER",
    **_ADVANCED,
)
def lcm_upscale(scale_ratio: float, scale_steps: int, upscale_method: str) -> Sampler:
    """An LCM sampler that enlarges the latent while it runs."""
    steps = None if scale_steps < 0 else scale_steps
    options = {"total_upscale": scale_ratio, "upscale_steps": steps, "upscale_method": upscale_method}
    return Sampler("lcm_upscale", options)


@node(
    "SamplerEulerCFGpp",
    {"version": choice(["regular", "alternative"], advanced=True)},
    "SAMPLER",
    EXPERIMENTAL=True,
    **(_ADVANCED | {"category": "experimental", "title": "SamplerEulerCFG++"}),
)
def euler_cfg_pp(version: str) -> Sampler:
    """Euler sampling with CFG++, in one of two versions."""
    return Sampler("euler_pp" if version == "alternative" else "euler_cfg_pp")


@node(
    "SamplerSEEDS2",
    {
        "solver_type": choice(["phi_1", "phi_2"]),
        **_ETA,
        "r": _extra(0.5, 1.0, 0.01),
    },
    "SAMPLER",
    **_SAMPLER,
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
    **_ADVANCED,
)
def lcm(s_noise: float, s_noise_end: float, noise_clip_std: float) -> Sampler:
    """LCM with a factor for the noise, from the first step to the last."""
    given = {"s_noise": s_noise, "s_noise_end": s_noise_end, "noise_clip_std": noise_clip_std}
    return Sampler("lcm", {name: float(value) for name, value in given.items()})


@node(
    "SamplerARVideo",
    {"num_frame_per_block": integer(1, 1, 64)},
    "SAMPLER",
    **(_SAMPLER | {"module": "comfy_extras.nodes_ar_video", "title": "Sampler AR Video"}),
)
def ar_video(num_frame_per_block: int) -> Sampler:
    """Sampling of a video block by block."""
    return Sampler("ar_video", {"num_frame_per_block": num_frame_per_block})


@node("VOIDSampler", {}, "SAMPLER", **(_SAMPLER | {"module": "comfy_extras.nodes_void"}))
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
    **(_NOISE | {"module": "comfy_extras.nodes_void", "category": "model/latent/void"}),
)
def warped_noise(warped_noise: Mapping[str, Any]) -> MadeNoise:
    """A latent as noise."""
    return MadeNoise(warped_noise["samples"])
