"""Nodes for noise levels: schedules that need no model, and operations on schedules.

SIGMAS are a float32 vector from the highest level to the lowest. Formulas are evaluated in double precision and rounded
once, so results differ from torch's float32 kernels by the last two bits at most.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Entry, choice, integer, link, node, number, switch
from comfyui_emulator.nodes.wording import must_have

Sigmas = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]

_CUSTOM = "comfy_extras.nodes_custom_sampler"
_NEWER: dict[str, Any] = {"category": "model/sampling/schedulers", "title": None, "v3": True}
_SCHEDULE: dict[str, Any] = _NEWER | {"module": _CUSTOM}
_CHANGE: dict[str, Any] = _SCHEDULE | {"category": "model/sampling/sigmas"}


def _level(default: float, high: float = 5000.0, *, low: float = 0.0, step: float = 0.01, **extra: Any) -> Entry:
    return number(default, low, high, step=step, round=False, **extra)


_bound = functools.partial(_level, advanced=True)


_STEPS = {"steps": integer(20, 1, 10000)}
_RANGE = _STEPS | {"sigma_max": _bound(14.614642), "sigma_min": _bound(0.0291675)}


def linspace(start: float, end: float, count: int) -> Sigmas:
    """torch's ``linspace``: the first half counts from the start, the second from the end; values are rounded once."""
    first, last = np.float32(start), np.float32(end)
    if count == 1:
        return np.array([first])
    step = np.float64(np.float32((last - first) / np.float32(count - 1)))
    index = np.arange(count)
    below, above = np.float64(first) + step * index, np.float64(last) - step * (count - 1 - index)
    values: Sigmas = np.where(index < count // 2, below, above).astype(np.float32)
    return values


def _single(values: Exact | Sequence[float]) -> Sigmas:
    return np.asarray(values, dtype=np.float32)


def _with_zero(values: Exact) -> Sigmas:
    return np.append(_single(values), np.float32(0))


def _ramp(start: float, end: float, count: int) -> Exact:
    return linspace(start, end, count).astype(np.float64)


@node("KarrasScheduler", {**_RANGE, "rho": _bound(7.0, 100.0)}, "SIGMAS", **_SCHEDULE)
def karras(steps: int, sigma_max: float, sigma_min: float, rho: float) -> Sigmas:
    """Levels with evenly spaced ``rho``-th roots (Karras et al., 2022), then zero."""
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return _with_zero((high + _ramp(0, 1, steps) * (low - high)) ** rho)


@node("ExponentialScheduler", _RANGE, "SIGMAS", **_SCHEDULE)
def exponential(steps: int, sigma_max: float, sigma_min: float) -> Sigmas:
    """Levels with evenly spaced logarithms, then zero."""
    return _with_zero(np.exp(_ramp(math.log(sigma_max), math.log(sigma_min), steps)))


@node("PolyexponentialScheduler", {**_RANGE, "rho": _bound(1.0, 100.0)}, "SIGMAS", **_SCHEDULE)
def polyexponential(steps: int, sigma_max: float, sigma_min: float, rho: float) -> Sigmas:
    """Levels with logarithms spaced by a power, then zero."""
    low, high = math.log(sigma_min), math.log(sigma_max)
    return _with_zero(np.exp(_ramp(1, 0, steps) ** rho * (high - low) + low))


_LAPLACE = {"mu": _bound(0.0, 10.0, low=-10.0, step=0.1), "beta": _bound(0.5, 10.0, step=0.1)}


@node("LaplaceScheduler", {**_RANGE, **_LAPLACE}, "SIGMAS", **_SCHEDULE)
def laplace(steps: int, sigma_max: float, sigma_min: float, mu: float, beta: float) -> Sigmas:
    """Quantiles of a Laplace distribution of the logarithm, clamped to the limits, without a zero at the end."""
    place = _ramp(0, 1, steps)
    # As in the published schedule, the small number keeps the logarithm finite at both ends.
    spread = np.sign(0.5 - place) * np.log(1 - 2 * np.abs(0.5 - place) + 1e-5)
    return _single(np.clip(np.exp(mu - beta * spread), sigma_min, sigma_max))


@node(
    "VPScheduler",
    {**_STEPS, "beta_d": _bound(19.9), "beta_min": _bound(0.1), "eps_s": _bound(0.001, 1.0, step=0.0001)},
    "SIGMAS",
    **_SCHEDULE,
)
def variance_preserving(steps: int, beta_d: float, beta_min: float, eps_s: float) -> Sigmas:
    """The continuous variance-preserving schedule, then zero."""
    time = _ramp(1, eps_s, steps)
    return _with_zero(np.sqrt(np.expm1(beta_d * time**2 / 2 + beta_min * time)))


_DENOISE = {"denoise": number(1.0, 0.0, 1.0, step=0.01)}

# Published optimised schedules: Align Your Steps (Sabour et al., 2024) for 10 steps; OptimalSteps (Pei et al., 2025).
_ALIGNED: dict[str, list[float]] = {
    "SD1": [
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092),
        *(0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ],
    "SDXL": [
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141),
        *(0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ],
    "SVD": [700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002],
}
_OPTIMAL: dict[str, list[float]] = {
    "FLUX": [0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001],
    "Wan": [
        *(1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973),
        *(0.968, 0.96, 0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001),
    ],
    "Chroma": [
        *(0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931, 0.917, 0.9),
        *(0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55, 0.501, 0.451, 0.402, 0.355),
        *(0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001),
    ],
}


def _stretched(levels: Exact, count: int) -> Exact:
    """Resample falling levels to ``count``, interpolating their logarithms."""
    old, new = np.linspace(0, 1, len(levels)), np.linspace(0, 1, count)
    wide: Exact = np.exp(np.interp(new, old, np.log(levels[::-1])))[::-1].copy()
    return wide


def from_table(table: Sequence[float], steps: int, denoise: float) -> Sigmas:
    """The last part of a table stretched to ``steps``, with zero at the end. Empty without denoising."""
    if denoise <= 0:
        return _single([])
    levels = np.array(table)
    if steps + 1 != len(levels):
        levels = _stretched(levels, steps + 1)
    levels = levels[-((steps if denoise >= 1 else round(steps * denoise)) + 1) :]
    levels[-1] = 0
    return _single(levels)


@node(
    "AlignYourStepsScheduler",
    {"model_type": choice(list(_ALIGNED)), "steps": integer(10, 1, 10000), **_DENOISE},
    "SIGMAS",
    module="comfy_extras.nodes_align_your_steps",
    **_NEWER,
)
def align_your_steps(model_type: str, steps: int, denoise: float) -> Sigmas:
    """Published levels that are optimised for a family of models."""
    return from_table(_ALIGNED[model_type], steps, denoise)


@node(
    "OptimalStepsScheduler",
    {"model_type": choice(list(_OPTIMAL)), "steps": integer(20, 3, 1000), **_DENOISE},
    "SIGMAS",
    module="comfy_extras.nodes_optimalsteps",
    **_NEWER,
)
def optimal_steps(model_type: str, steps: int, denoise: float) -> Sigmas:
    """Published levels that are optimised for one model."""
    return from_table(_OPTIMAL[model_type], steps, denoise)


_FEW_TOKENS, _MANY_TOKENS = 1024, 4096
"""The numbers of latent cells to which ``base_shift`` and ``max_shift`` apply."""


@node(
    "LTXVScheduler",
    {
        **_STEPS,
        "max_shift": number(2.05, 0.0, 100.0, step=0.01),
        "base_shift": number(0.95, 0.0, 100.0, step=0.01),
        "stretch": switch(True, advanced=True),
        "terminal": number(0.1, 0.0, 0.99, step=0.01, advanced=True),
    },
    "SIGMAS",
    optional={"latent": link("LATENT")},
    module="comfy_extras.nodes_lt",
    **_NEWER,
)
def ltxv(
    steps: int,
    max_shift: float,
    base_shift: float,
    stretch: bool,
    terminal: float,
    latent: dict[str, Any] | None = None,
) -> Sigmas:
    """Levels from 1 to 0, shifted by the size of the latent. With ``stretch`` the last before zero is ``terminal``."""
    tokens = _MANY_TOKENS if latent is None else math.prod(latent["samples"].shape[2:])
    slope = (max_shift - base_shift) / (_MANY_TOKENS - _FEW_TOKENS)
    shift, one = np.float32(math.exp(tokens * slope + base_shift - slope * _FEW_TOKENS)), np.float32(1)
    levels = linspace(1.0, 0.0, steps + 1)
    lit = levels != 0
    # Single precision and the reciprocal, as torch divides a number by a tensor: for a single step the stretch below
    # divides by a difference that consists of rounding only.
    levels[lit] = one / (shift + (one / levels[lit] - one)) * shift
    if stretch:
        rest = one - levels[lit]
        with np.errstate(invalid="ignore"):
            levels[lit] = one - rest / (rest[-1] / np.float32(1.0 - terminal))
    return levels


_SIGMAS = {"sigmas": link("SIGMAS")}
_HALVES: dict[str, Any] = _CHANGE | {"names": "high_sigmas low_sigmas"}


@node("SplitSigmas", {**_SIGMAS, "step": integer(0, 0, 10000)}, "SIGMAS SIGMAS", **_HALVES)
def split(sigmas: Sigmas, step: int) -> tuple[Sigmas, Sigmas]:
    """Split the schedule at a step, which belongs to both parts."""
    return sigmas[: step + 1], sigmas[step:]


@node("SplitSigmasDenoise", {**_SIGMAS, **_DENOISE}, "SIGMAS SIGMAS", **_HALVES)
def split_denoise(sigmas: Sigmas, denoise: float) -> tuple[Sigmas, Sigmas]:
    """Split the schedule so that the second part has a given fraction of the steps."""
    steps = round(max(sigmas.shape[-1] - 1, 0) * denoise)
    return sigmas[:-steps] if steps else sigmas[:0], sigmas[-(steps + 1) :]


@node("FlipSigmas", _SIGMAS, "SIGMAS", **_CHANGE)
def flip(sigmas: Sigmas) -> Sigmas:
    """Reverse the schedule. A leading zero becomes 0.0001."""
    if len(sigmas) == 0:
        return sigmas
    must_have(sigmas, "flip")
    flipped = sigmas[::-1].copy()
    if flipped[0] == 0:
        flipped[0] = 0.0001
    return flipped


@node(
    "SetFirstSigma",
    {**_SIGMAS, "sigma": _level(136.0, 20000.0, step=0.001)},
    "SIGMAS",
    **_CHANGE,
    touches={"sigmas": "clone"},
)
def set_first(sigmas: Sigmas, sigma: float) -> Sigmas:
    """Replace the first level."""
    changed = sigmas.copy()
    changed[0] = sigma
    return changed


_SPACINGS: dict[str, Any] = {
    "linear": lambda x: x,
    "cosine": lambda x: np.sin(x * math.pi / 2),
    "sine": lambda x: 1 - np.cos(x * math.pi / 2),
}


@node(
    "ExtendIntermediateSigmas",
    {
        **_SIGMAS,
        "steps": integer(2, 1, 100),
        "start_at_sigma": _level(-1.0, 20000.0, low=-1.0),
        "end_at_sigma": _level(12.0, 20000.0),
        "spacing": choice(list(_SPACINGS)),
    },
    "SIGMAS",
    **_CHANGE,
    touches={"sigmas": "device"},
)
def extend(sigmas: Sigmas, steps: int, start_at_sigma: float, end_at_sigma: float, spacing: str) -> Sigmas:
    """Insert levels between those in a range. A negative start means no upper limit."""
    start = math.inf if start_at_sigma < 0 else start_at_sigma
    places = _SPACINGS[spacing](linspace(0, 1, steps + 1)[1:-1]).astype(np.float32)
    levels: list[float] = []
    for current, following in itertools.pairwise(sigmas):
        inside = bool(end_at_sigma <= current <= start)
        levels.append(float(current))
        if inside:
            levels += (places * (following - current) + current).tolist()
    return _single([*levels, *sigmas[-1:].tolist()])
