"""Nodes that regroup latents, or change length and direction of their channel vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import integer, link, node, number
from comfyui_emulator.nodes.images.filters import gaussian
from comfyui_emulator.nodes.latents.resizing import Array, Latent
from comfyui_emulator.nodes.wording import check_mirror

Operation = Callable[..., Array]

_CELL = 8

_OPERATIONS: dict[str, Any] = {
    "module": "comfy_extras.nodes_latent",
    "category": "model/latent/advanced/operations",
    "title": None,
    "v3": True,
    "EXPERIMENTAL": True,
}


@node(
    "LatentApplyOperation",
    {"samples": link("LATENT"), "operation": link("LATENT_OPERATION")},
    "LATENT",
    **_OPERATIONS,
    touches={"samples": "copy"},
)
def apply(samples: Latent, operation: Operation) -> tuple[Latent]:
    """Apply an operation to the latent."""
    return ({**samples, "samples": operation(latent=samples["samples"])},)


def _length(latent: Array) -> Array:
    length: Array = np.sqrt((latent * latent).sum(axis=1, keepdims=True, dtype=np.float32))
    return length


@node(
    "LatentOperationTonemapReinhard",
    {"multiplier": number(1.0, 0.0, 100.0, step=0.01)},
    "LATENT_OPERATION",
    **_OPERATIONS,
)
def tonemap(multiplier: float) -> Operation:
    """Shorten long vectors by Reinhard's curve, whose top is five standard deviations above the mean."""

    def operation(latent: Array, **_: Any) -> Array:
        length = _length(latent) + np.float32(1e-10)
        axes = tuple(range(1, length.ndim))
        top = length.std(axis=axes, keepdims=True, ddof=1) * np.float32(5) + length.mean(axis=axes, keepdims=True)
        top = (top * np.float32(multiplier)).astype(np.float32)
        scaled = length * (np.float32(1) / top)
        shorter: Array = latent / length * (scaled / (scaled + np.float32(1)) * top)
        return shorter

    return operation


@node(
    "LatentOperationSharpen",
    {
        "sharpen_radius": integer(9, 1, 31, step=1, advanced=True),
        "sigma": number(1.0, 0.1, 10.0, step=0.1, advanced=True),
        "alpha": number(0.1, 0.0, 5.0, step=0.01, advanced=True),
    },
    "LATENT_OPERATION",
    **_OPERATIONS,
)
def sharpen(sharpen_radius: int, sigma: float, alpha: float) -> Operation:
    """Sharpen the directions and keep the lengths."""
    line = gaussian(sharpen_radius, sigma).astype(np.float64)
    kernel = np.outer(line, line) * (alpha * -10)
    kernel[sharpen_radius, sharpen_radius] += 1 - kernel.sum()

    def operation(latent: Array, **_: Any) -> Array:
        length = _length(latent) + np.float32(1e-6)
        check_mirror(latent.shape, sharpen_radius)
        border = [(0, 0), (0, 0), (sharpen_radius, sharpen_radius), (sharpen_radius, sharpen_radius)]
        # torch pads with zeros too, outside the mirrored border; the part that is kept never touches them.
        padded = np.pad(latent / length, border, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(2, 3))
        sharpened: Array = length * np.einsum("bchwij,ij->bchw", windows, kernel).astype(np.float32)
        return sharpened

    return operation


Group = tuple[Array, Array, list[int]]
"""Samples, masks and indices of latents with the same size."""


def _with_mask(latent: Latent, offset: int) -> Group:
    samples = latent["samples"]
    batch, rows, columns = samples.shape[0], samples.shape[2], samples.shape[3]
    mask = latent.get("noise_mask")
    if mask is None:
        mask = np.ones((batch, 1, rows * _CELL, columns * _CELL), dtype=np.float32)
    if mask.shape[0] < batch:
        mask = np.concatenate([mask] * ((batch - 1) // mask.shape[0] + 1))[:batch]
    return samples, mask, list(latent.get("batch_index", range(offset, offset + batch)))


def _part(group: Group, start: int, end: int) -> Latent:
    samples, mask, indices = group[0][start:end], group[1][start:end], group[2][start:end]
    whole = {} if mask.mean() == 1.0 else {"noise_mask": mask}
    return {"samples": samples, **whole, "batch_index": indices}


@node(
    "RebatchLatents",
    {"latents": link("LATENT"), "batch_size": integer(1, 1, 4096)},
    "LATENT",
    lists=(True,),
    module="comfy_extras.nodes_rebatch",
    category="model/latent/batch",
    title="Rebatch Latents",
    v3=True,
    INPUT_IS_LIST=True,
)
def rebatch(latents: list[Latent], batch_size: list[int]) -> tuple[list[Latent]]:
    """Regroup all latents of the list. A change of size ends a group early.

    As in ComfyUI, such a group keeps only its first ``batch_size`` items.
    """
    size, count = batch_size[0], 0
    done: list[Latent] = []
    group: Group | None = None
    for latent in latents:
        following = _with_mask(latent, count)
        count += len(following[2])
        if group is None:
            group = following
        elif group[0].shape[-2:] != following[0].shape[-2:]:
            done.append(_part(group, 0, size))
            group = following
        else:
            samples, mask = (np.concatenate(pair) for pair in zip(group[:2], following[:2], strict=True))
            group = samples, mask, group[2] + following[2]
        if group[0].shape[0] > size:
            whole = group[0].shape[0] // size * size
            done += [_part(group, start, start + size) for start in range(0, whole, size)]
            group = None if whole == group[0].shape[0] else (group[0][whole:], group[1][whole:], group[2][whole:])
    if group is not None:
        done.append(_part(group, 0, size))
    return (done,)
