"""Nodes that cut, replace and join the frames of latents, and put latents into batches."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, branching, choice, growing, integer, link, node
from comfyui_emulator.nodes.latents.resizing import Array, Latent, fitted
from comfyui_emulator.nodes.wording import check_axis, joined, must_have

log = logging.getLogger("comfyui_emulator")

_LATENT = link("LATENT")
_AXES = {"t": -3, "x": -1, "y": -2}


@node(
    "LatentCutToBatch",
    {"samples": _LATENT, "dim": choice(list(_AXES)), "slice_size": integer(1, 1, MAX_SIDE, step=1)},
    "LATENT",
    module="comfy_extras.nodes_latent",
    category="model/latent/advanced",
    title=None,
    v3=True,
    touches={"samples": "copy"},
)
def cut_to_batch(samples: Latent, dim: str, slice_size: int) -> tuple[Latent]:
    """Pieces of equal length along an axis, as a batch; what is left over is dropped."""
    array = samples["samples"]
    axis = array.ndim + _AXES[dim]
    if axis < 2:
        return (samples,)
    turned = np.moveaxis(array, axis, 1)
    size = min(slice_size, turned.shape[1])
    turned = turned[:, : turned.shape[1] // size * size]
    pieces = turned.reshape(-1, size, *turned.shape[2:])
    return ({**samples, "samples": np.moveaxis(pieces, 1, axis)},)


@node(
    "ReplaceVideoLatentFrames",
    {"destination": _LATENT, "index": integer(0, -MAX_SIDE, MAX_SIDE, step=1)},
    "LATENT",
    optional={"source": _LATENT},
    module="comfy_extras.nodes_latent",
    category="model/latent/batch",
    title="Replace Video Latent Frames",
    v3=True,
)
def replace_frames(destination: Latent, index: int, source: Latent | None = None) -> tuple[Latent]:
    """Put frames into a video. If they do not fit, nothing changes; if they do, the rest is that of ``source``."""
    if source is None:
        return (destination,)
    frames, count = destination["samples"].shape[2], source["samples"].shape[2]
    start = index + frames if index < 0 else index
    if start + count > frames:
        log.warning("ReplaceVideoLatentFrames: %d frames do not fit into %d at %d", count, frames, start)
        return (destination,)
    changed = destination["samples"].copy()
    changed[:, :, start : start + count] = source["samples"]
    return ({**source, "samples": changed},)


@node(
    "BatchLatentsNode",
    {"latents": growing("latent", _LATENT, prefix="latent", most=50)},
    "LATENT",
    module="comfy_extras.nodes_post_processing",
    category="model/latent/batch",
    title="Batch Latents",
    v3=True,
)
def batch_latents(latents: dict[str, Latent]) -> tuple[Latent | None]:
    """All latents as one batch, scaled to the size of the first."""
    each = list(latents.values())
    if not each:
        return (None,)
    must_have(each[0], "copy")
    first = each[0]["samples"]
    indices = [index for one in each for index in one.get("batch_index", range(one["samples"].shape[0]))]
    arrays = [fitted(first, one["samples"], repeat=False) for one in each]
    return ({**each[0], "batch_index": indices, "samples": joined(arrays)},)


_MEAN_RANGE, _DEVIATION_RANGE = (0.3, 0.35), (0.35, 0.5)
"""How far the first frames may move, down and up."""


@node(
    "NormalizeVideoLatentStart",
    {
        "latent": _LATENT,
        "start_frame_count": integer(4, 1, MAX_SIDE, step=1),
        "reference_frame_count": integer(5, 1, MAX_SIDE, step=1),
    },
    "LATENT",
    names="latent",
    module="comfy_extras.nodes_kandinsky5",
    category="model/conditioning",
    title=None,
    v3=True,
)
def normalize_start(latent: Latent, start_frame_count: int, reference_frame_count: int) -> tuple[Latent]:
    """Give the first frames mean and deviation of those that follow, within limits."""
    samples = latent["samples"]
    frames = samples.shape[2]
    if frames <= 1:
        return (latent,)
    for axis in (3, 4):
        check_axis(samples, axis)
    changed = samples.copy()
    start = changed[:, :, :start_frame_count]
    wanted = samples[:, :, start_frame_count : start_frame_count + min(reference_frame_count, frames - 1)]
    mean, deviation = _moments(start, (1, 3, 4))
    target = [
        np.clip(value, own - low, own + high)
        for value, own, (low, high) in zip(
            _moments(wanted, None), (mean, deviation), (_MEAN_RANGE, _DEVIATION_RANGE), strict=True
        )
    ]
    changed[:, :, :start_frame_count] = (start - mean) / (deviation + np.float32(1e-8)) * target[1] + target[0]
    return ({**latent, "samples": changed},)


def _moments(array: Array, axes: tuple[int, ...] | None) -> tuple[Array, Array]:
    """Mean and deviation over the axes; of nothing they are NaN, as in torch."""
    count = array.size if axes is None else int(np.prod([array.shape[axis] for axis in axes]))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = array.sum(axis=axes, keepdims=True, dtype=np.float64) / np.float64(count)
        spread = ((array - mean) ** 2).sum(axis=axes, keepdims=True) / np.float64(count - 1)
    return mean.astype(np.float32), np.sqrt(spread).astype(np.float32)


_CHANNELS = 16
_SEEDVR: dict[str, Any] = {"module": "comfy_extras.nodes_seedvr", "category": "model/latent/batch", "v3": True}


@node(
    "SeedVR2TemporalChunk",
    {
        "latent": _LATENT,
        "temporal_overlap": integer(0, 0, 16384),
        "chunking_mode": branching({"auto": {}, "manual": {"frames_per_chunk": integer(21, 1, 16384, step=4)}}),
    },
    "LATENT INT",
    names="latents temporal_overlap",
    lists=(True, False),
    title="Split SeedVR2 Latent",
    **_SEEDVR,
)
def split(latent: Latent, temporal_overlap: int, chunking_mode: dict[str, Any]) -> tuple[list[Latent], int]:
    """A video in pieces that overlap; ``auto`` makes them as long as the free memory allows."""
    samples = latent["samples"]
    _check_video(samples, "SeedVR2TemporalChunk")
    mode = chunking_mode["chunking_mode"]
    if mode not in ("auto", "manual"):
        raise ValueError(f"SeedVR2TemporalChunk: chunking_mode must be 'auto' or 'manual'; got {mode!r}.")
    frames = samples.shape[2]
    pictures = 4 * (frames - 1) + 1
    wanted = min(_affordable(samples), pictures) if mode == "auto" else chunking_mode["frames_per_chunk"]
    if wanted < 1 or (wanted - 1) % 4:
        raise ValueError(
            "SeedVR2TemporalChunk: frames_per_chunk must be a 4n+1 pixel-frame count (1, 5, 9, 13, 17, 21, ...); "
            f"got {wanted}."
        )
    if pictures <= wanted:
        return [latent], 0
    length = (wanted - 1) // 4 + 1
    overlap = min(temporal_overlap, length - 1)
    starts = range(0, max(frames - overlap, 1), length - overlap)
    return [{**latent, "samples": samples[:, :, start : start + length].copy()} for start in starts], overlap


def _check_video(samples: Array, node_name: str) -> None:
    shape = tuple(samples.shape)
    if samples.ndim != 5:
        raise ValueError(f"{node_name}: expected a 5-D video latent (B, C, T, H, W); got shape {shape}.")
    if shape[1] != _CHANNELS:
        raise ValueError(f"{node_name}: expected {_CHANNELS} latent channels; got shape {shape}.")


_GIB = 1024**3
_RESERVED, _SAFETY, _PER_MEGAPIXEL = 8.5, 4 * 0.55, 0.55
"""GiB that stay free, GiB of doubt, and GiB for a frame of latents per million pixels."""


def _affordable(samples: Array) -> int:
    """How many pictures at once fit into the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    megapixels = samples.shape[0] * samples.shape[3] * samples.shape[4] * 64 / 1e6
    return 4 * max(0, int((free / _GIB - _RESERVED - _SAFETY) / (_PER_MEGAPIXEL * megapixels)) - 1) + 1


@node(
    "SeedVR2TemporalMerge",
    {"latents": _LATENT, "temporal_overlap": integer(0, 0, 16384, forceInput=True)},
    "LATENT",
    names="latent",
    title="Merge SeedVR2 Latents",
    INPUT_IS_LIST=True,
    **_SEEDVR,
)
def merge(latents: list[Latent], temporal_overlap: list[int]) -> tuple[Latent]:
    """One video of pieces; where they overlap, one fades into the other."""
    pieces = [each["samples"] for each in latents]
    first, name = pieces[0], "SeedVR2TemporalMerge"
    if first.ndim != 5:
        raise ValueError(f"{name}: expected 5-D video latents (B, C, T, H, W); chunk 0 has shape {tuple(first.shape)}.")
    for place, piece in enumerate(pieces[1:], 1):
        if piece.shape[:2] != first.shape[:2] or piece.shape[3:] != first.shape[3:]:
            raise ValueError(
                f"{name}: chunk {place} shape {tuple(piece.shape)} does not match chunk 0 shape {tuple(first.shape)} "
                "outside the temporal axis."
            )
        if place < len(pieces) - 1 and piece.shape[2] != first.shape[2]:
            raise ValueError(
                f"{name}: chunk {place} has {piece.shape[2]} latent frames but chunk 0 has {first.shape[2]}; only the "
                "final chunk may be shorter."
            )
    step = first.shape[2] - min(temporal_overlap[0], first.shape[2] - 1)
    merged = {key: value for key, value in latents[0].items() if key != "noise_mask"}
    return ({**merged, "samples": _faded(pieces, step) if temporal_overlap[0] else np.concatenate(pieces, axis=2)},)


def _faded(pieces: list[Array], step: int) -> Array:
    whole = pieces[0]
    for place, piece in enumerate(pieces[1:], 1):
        start = place * step
        shared = max(0, min(whole.shape[2] - start, piece.shape[2]))
        # A third stays, a third fades along a half cosine, a third is new already.
        share = np.clip(np.linspace(0.0, 1.0, shared) * 3 - 1, 0, 1)
        former = (0.5 + 0.5 * np.cos(np.pi * share)).astype(np.float32).reshape(1, 1, -1, 1, 1)
        mixed = whole[:, :, start : start + shared] * former + piece[:, :, :shared] * (np.float32(1) - former)
        whole = np.concatenate([whole[:, :, :start], mixed, piece[:, :, shared:]], axis=2)
    return whole
