"""Nodes that read their numbers from the user's own ComfyUI, see :mod:`comfyui_emulator.literals`."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.literals import NeedsInstallationError, is_vector, literal
from comfyui_emulator.nodes.base import integer, node, number
from comfyui_emulator.nodes.sampling.sigmas import Sigmas, from_table
from comfyui_emulator.runtime import context

_GITS, _LOTUS = "comfy_extras/nodes_gits.py", "comfy_extras/nodes_lotus.py"
_FEWEST, _MOST = 2, 20
"""The smallest and largest number of steps for which the table has a schedule."""


def _schedules() -> dict[float, list[list[float]]]:
    """The schedules of each coefficient, by number of steps. Raises :class:`NeedsInstallationError`."""
    root = context().comfyui
    found = literal(root, _GITS, "NOISE_LEVELS", "GITSScheduler")
    whole = isinstance(found, dict) and bool(found)
    for key, rows in found.items() if whole else ():
        whole = whole and isinstance(key, float) and isinstance(rows, list) and len(rows) == _MOST - _FEWEST + 1
        whole = whole and all(is_vector(row, steps + 1) for steps, row in enumerate(rows, _FEWEST))
        whole = whole and all(level > 0 for row in rows for level in row)
    if not whole:
        raise NeedsInstallationError(
            "GITSScheduler", f"{_GITS} in {root} does not have the table of ComfyUI 0.3.64 to 0.33.0"
        )
    return dict(found)


@node(
    "GITSScheduler",
    {
        "coeff": number(1.2, 0.8, 1.5, step=0.05, advanced=True),
        "steps": integer(10, 2, 1000),
        "denoise": number(1.0, 0.0, 1.0, step=0.01),
    },
    "SIGMAS",
    module="comfy_extras.nodes_gits",
    category="model/sampling/schedulers",
    title=None,
    v3=True,
)
def gits(coeff: float, steps: int, denoise: float) -> Sigmas:
    """A schedule found by search (Chen et al., 2024). It is interpolated for more steps than the table has.

    Raises :class:`~comfyui_emulator.literals.NeedsInstallationError` if no ComfyUI is configured, ``KeyError`` for a
    coefficient that is not in the table, as in ComfyUI.
    """
    if denoise <= 0:
        # This needs no table, so no installation.
        return np.zeros(0, dtype=np.float32)
    rows = _schedules()[round(coeff, 2)]
    return from_table(rows[min(steps, _MOST) - _FEWEST], steps, denoise)


@node(
    "LotusConditioning",
    {},
    "CONDITIONING",
    names="conditioning",
    module="comfy_extras.nodes_lotus",
    category="model/conditioning/lotus",
    title=None,
    v3=True,
)
def lotus() -> list[list[Any]]:
    """The Lotus model's encoding of the empty string.

    Raises :class:`~comfyui_emulator.literals.NeedsInstallationError` if no ComfyUI is configured.
    """
    root = context().comfyui
    found = literal(root, _LOTUS, "prompt_embeds", "LotusConditioning")
    rows = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not (isinstance(rows, list) and rows and isinstance(rows[0], list) and rows[0]) or not all(
        is_vector(row, len(rows[0])) for row in rows
    ):
        raise NeedsInstallationError(
            "LotusConditioning", f"{_LOTUS} in {root} has no vectors as in ComfyUI 0.3.64 to 0.33.0"
        )
    return [[np.array(found, dtype=np.float32), {}]]
