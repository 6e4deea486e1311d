"""Schedules of newer models (since ComfyUI 0.4), and one that is written by hand."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import integer, node, number, side, text
from comfyui_emulator.nodes.sampling.sigmas import Sigmas, linspace

_SCHEDULER: dict[str, Any] = {"category": "model/sampling/schedulers", "v3": True}
_NUMBER = re.compile(r"[-+]?\d*\.*\d+")


@node(
    "ManualSigmas",
    {"sigmas": text(default="1, 0.5", multiline=False)},
    "SIGMAS",
    module="comfy_extras.nodes_custom_sampler",
    category="model/sampling/sigmas",
    title=None,
    v3=True,
    EXPERIMENTAL=True,
)
def manual(sigmas: str) -> Sigmas:
    """Every number of the text, in its order."""
    return np.array([float(found) for found in _NUMBER.findall(sigmas)], dtype=np.float32)


_LOWEST, _HIGHEST = -15.0, 18.0
"""Limits of Ideogram's logarithm of signal to noise."""

_SQUARE = 512 * 512


def _noise(share: float, mean: float, deviation: float) -> float:
    """The noise level at a share of the way, whose logits are normally distributed."""
    if share in (0.0, 1.0):
        level = share
    else:
        level = 1.0 / (1.0 + math.exp(-(mean + deviation * statistics.NormalDist().inv_cdf(share))))
    clean = min(max(1.0 - level, 1.0 / (1.0 + math.exp(0.5 * _HIGHEST))), 1.0 / (1.0 + math.exp(0.5 * _LOWEST)))
    return 1.0 - clean


@node(
    "Ideogram4Scheduler",
    {
        "steps": integer(20, 1, 200),
        "width": integer(1024, 256, 8192, step=16),
        "height": integer(1024, 256, 8192, step=16),
        "mu": number(0.0, -10.0, 10.0, step=0.05),
        "std": number(1.75, 0.1, 5.0, step=0.05),
    },
    "SIGMAS",
    module="comfy_extras.nodes_ideogram4",
    title="Ideogram 4 Scheduler",
    **_SCHEDULER,
)
def ideogram(steps: int, width: int, height: int, mu: float, std: float) -> Sigmas:
    """Levels with normally distributed logits, around a mean that grows with the picture; the last is zero."""
    mean = mu + 0.5 * math.log(width * height / _SQUARE)
    levels = [_noise(step / steps, mean, std) for step in range(steps, 0, -1)]
    return np.array([*levels, 0.0], dtype=np.float32)


_FEW_STEPS = (8.73809524e-05, 1.89833333)
_MANY_STEPS = (0.00016927, 0.45666666)
"""Slope and start of the shift by the number of cells, for 10 and for 200 steps, as fitted by the makers of FLUX.2."""

_MOST_CELLS = 4300
"""Above, the number of steps does not count."""


def _flux_shift(cells: int, steps: int) -> float:
    few, many = (slope * cells + start for slope, start in (_FEW_STEPS, _MANY_STEPS))
    if cells > _MOST_CELLS:
        return many
    slope = (many - few) / 190.0
    return slope * steps + (many - 200.0 * slope)


@node(
    "Flux2Scheduler",
    {
        "steps": integer(20, 1, 4096),
        "width": side(1024, 16),
        "height": side(1024, 16),
    },
    "SIGMAS",
    module="comfy_extras.nodes_flux",
    title=None,
    **_SCHEDULER,
)
def flux(steps: int, width: int, height: int) -> Sigmas:
    """Levels from 1 to 0, shifted by the size of the picture and the number of steps."""
    shift = np.float32(math.exp(_flux_shift(round(width * height / 256), steps)))
    one = np.float32(1)
    with np.errstate(divide="ignore"):
        levels: Sigmas = shift / (shift + (one / linspace(1, 0, steps + 1) - one))
    return levels
