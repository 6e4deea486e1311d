"""Nodes that move, join and count Gaussian splats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import growing, link, node, number
from comfyui_emulator.nodes.solids.meshes import Counts, Points, filled
from comfyui_emulator.nodes.solids.quaternions import about_axes, matrices, of_matrices, product, unit

_SPLAT: dict[str, Any] = {"module": "comfy_extras.nodes_gaussian_splat", "category": "3d/splat", "v3": True}


@dataclass(slots=True)
class Splat:
    """A SPLAT value; arrays are ``[batch, splat, …]``, filled up with zeros if ``counts`` says so.

    ``scales`` are deviations along the axes of ``rotations`` (quaternions w, x, y, z), ``opacities`` from 0 to 1, and
    ``sh`` the coefficients of spherical harmonics ``[…, coefficient, 3]``, of which the first is the colour.
    """

    positions: Points
    scales: Points
    rotations: Points
    opacities: Points
    sh: Points
    counts: Counts | None = None


FIELDS = ("positions", "scales", "rotations", "opacities", "sh")


def length(splat: Splat, index: int) -> int:
    """The number of splats of one item of a batch."""
    return int(splat.positions.shape[1] if splat.counts is None else splat.counts[index])


def parts(splat: Splat, index: int) -> dict[str, Points]:
    """The arrays of one item of a batch, without the zeros at their ends."""
    return {name: getattr(splat, name)[index, : length(splat, index)] for name in FIELDS}


_MOVE = number(0.0, -100.0, 100.0, step=0.01)
_TURN = number(0.0, -360.0, 360.0, step=1.0)
_SCALE = number(1.0, 0.01, 100.0, step=0.01)


def _stretched(splat: Splat, change: npt.NDArray[np.float32]) -> tuple[Points, Points]:
    """Scales and rotations under any linear map, by the axes of the new covariance."""
    own = matrices(splat.rotations.reshape(-1, 4))
    covariance = (own * np.square(splat.scales.reshape(-1, 3))[:, None, :]) @ np.swapaxes(own, 1, 2)
    values, axes = np.linalg.eigh(change @ covariance @ change.T)
    axes = axes * np.where(np.linalg.det(axes) < 0, -1.0, 1.0)[:, None, None]
    scales = np.sqrt(np.maximum(values, 0)).reshape(splat.scales.shape)
    return scales.astype(np.float32), of_matrices(axes).reshape(splat.rotations.shape).astype(np.float32)


@node(
    "TransformSplat",
    {
        "splat": link("SPLAT"),
        **{f"translate_{axis}": _MOVE for axis in "xyz"},
        **{f"rotate_{axis}": _TURN for axis in "xyz"},
        **{f"scale_{axis}": _SCALE for axis in "xyz"},
    },
    "SPLAT",
    names="splat",
    title="Transform Splat",
    touches={"splat": "positions"},
    **_SPLAT,
)
def transform(splat: Splat, **amounts: float) -> Splat:
    """Turn, then scale, then move."""
    move, angles, factors = ([amounts[f"{kind}_{a}"] for a in "xyz"] for kind in ("translate", "rotate", "scale"))
    turn = about_axes(angles)
    change = np.array(factors, np.float32)[:, None] * matrices(turn)
    positions = splat.positions @ change.T + np.array(move, np.float32)
    if len(set(factors)) == 1:
        scales = splat.scales * np.float32(factors[0])
        rotations = unit(product(np.broadcast_to(turn, splat.rotations.shape), splat.rotations))
    else:
        scales, rotations = _stretched(splat, change)
    return replace(splat, positions=positions, scales=scales, rotations=rotations)


@node(
    "GetSplatCount",
    {"splat": link("SPLAT")},
    "SPLAT INT",
    names="splat count",
    hidden={"unique_id": ["UNIQUE_ID"]},
    title="Get Splat Count",
    touches={"splat": "positions"},
    **_SPLAT,
)
def count_splats(splat: Splat, unique_id: str | None = None) -> tuple[Splat, int]:
    """The number of splats of a whole batch, also shown on the node."""
    count = sum(length(splat, index) for index in range(splat.positions.shape[0]))
    if unique_id:
        runtime.send_text(f"{count:,} splats", unique_id)
    return splat, count


@node(
    "MergeSplat",
    {"splats": growing("splat", link("SPLAT"), prefix="splat", least=2, most=32)},
    "SPLAT",
    names="splat",
    title="Merge Splats",
    **_SPLAT,
)
def merge_splats(splats: Mapping[str, Splat]) -> Splat:
    """All splats together, item by item of their batches. Raises ``ValueError`` for batches of different sizes."""
    given = [splat for splat in splats.values() if splat is not None]
    if not given:
        raise ValueError("MergeSplat: connect at least one splat.")
    size = given[0].positions.shape[0]
    for splat in given:
        if splat.positions.shape[0] != size:
            raise ValueError(f"MergeSplat: batch size mismatch ({size} vs {splat.positions.shape[0]}).")
    most = max(splat.sh.shape[2] for splat in given)
    items = [_joined([parts(splat, index) for splat in given], most) for index in range(size)]
    lengths = [len(item["positions"]) for item in items]
    counts = np.array(lengths) if len(set(lengths)) > 1 else None
    fields: dict[str, Any] = {name: filled([item[name] for item in items]) for name in FIELDS}
    return Splat(**fields, counts=counts)


def _joined(given: Sequence[dict[str, Points]], most: int) -> dict[str, Points]:
    for item in given:
        item["sh"] = np.pad(item["sh"], ((0, 0), (0, most - item["sh"].shape[1]), (0, 0)))
    return {name: np.concatenate([item[name] for item in given]) for name in FIELDS}
