"""Nodes that combine and weight conditionings, and limit them to areas, masks and time ranges; no model is needed.

A CONDITIONING is a list of ``[vectors, options]``; ``vectors`` is ``[batch, token, channel]``. In ComfyUI the text
encoders make them with a model. Here they come from the user's stand-in nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, Entry, Mask, choice, integer, link, node, number
from comfyui_emulator.nodes.latents.resizing import Latent
from comfyui_emulator.nodes.wording import joined, must_have

Conditioning = list[list[Any]]
Pair = tuple[Conditioning, Conditioning]

log = logging.getLogger("comfyui_emulator")

COND = link("CONDITIONING")
_ONE = {"conditioning": COND}
PAIR: dict[str, Entry] = {"positive": COND, "negative": COND}
_PLAIN: dict[str, Any] = {"module": "nodes", "category": "model/conditioning/transform"}
STRENGTH = number(1.0, 0.0, 10.0, step=0.01)
AREA_CHOICE = choice(["default", "mask bounds"])
_CELL = 8


def parts(conditioning: Conditioning) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The vectors of each item and a copy of its options. Other values fail where ComfyUI would unpack them."""
    for each in conditioning:
        yield each[0], each[1].copy()


def with_values(conditioning: Conditioning, values: Mapping[str, Any], *, append: bool = False) -> Conditioning:
    """The same vectors with added options. With ``append`` a value is added to the existing one."""
    result: Conditioning = []
    for vectors, changed in parts(conditioning):
        for key, value in values.items():
            old = changed.get(key) if append else None
            changed[key] = value if old is None else old + value
        result.append([vectors, changed])
    return result


def masked(conditioning: Conditioning, mask: Mask, set_cond_area: str, strength: float) -> Conditioning:
    """Limit the conditioning to a mask or to the mask's bounds."""
    mask = mask if mask.ndim > 2 else mask[None]
    bounds = set_cond_area != "default"
    return with_values(conditioning, {"mask": mask, "set_area_to_bounds": bounds, "mask_strength": strength})


@node(
    "ConditioningCombine",
    {"conditioning_1": COND, "conditioning_2": COND},
    "CONDITIONING",
    title="Conditioning (Combine)",
    **_PLAIN,
)
def combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Append one conditioning to the other."""
    return conditioning_1 + conditioning_2


def _first(conditioning: Conditioning, node_name: str) -> list[Any]:
    if len(conditioning) > 1:
        log.warning("%s: only the first of %d conditionings is applied", node_name, len(conditioning))
    return conditioning[0]


@node(
    "ConditioningAverage",
    {"conditioning_to": COND, "conditioning_from": COND, "conditioning_to_strength": number(1.0, 0.0, 1.0, step=0.01)},
    "CONDITIONING",
    title="Conditioning (Average)",
    **_PLAIN,
)
def average(
    conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: float
) -> Conditioning:
    """The weighted mean with the first of the others, which is cut or zero-padded to the same number of tokens."""
    share, rest = np.float32(conditioning_to_strength), np.float32(1.0 - conditioning_to_strength)
    first = _first(conditioning_from, "ConditioningAverage")
    other, other_pooled = first[0], first[1].get("pooled_output")
    must_have(conditioning_to, "len")
    result: Conditioning = []
    for vectors, options in parts(conditioning_to):
        fitted = other[:, : vectors.shape[1]]
        missing = vectors.shape[1] - fitted.shape[1]
        if missing > 0:
            zeros = np.zeros((1, missing, vectors.shape[2]), dtype=np.float32)
            fitted = np.concatenate([fitted, zeros], axis=1)
        changed = dict(options)
        if other_pooled is not None:
            changed["pooled_output"] = options.get("pooled_output", other_pooled) * share + other_pooled * rest
        result.append([vectors * share + fitted * rest, changed])
    return result


@node(
    "ConditioningConcat",
    {"conditioning_to": COND, "conditioning_from": COND},
    "CONDITIONING",
    title="Conditioning (Concat)",
    **_PLAIN,
)
def concat(conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """Append the tokens of the first of the others to each item."""
    other = _first(conditioning_from, "ConditioningConcat")[0]
    must_have(conditioning_to, "len")
    return [[joined((each[0], other), 1), each[1].copy()] for each in conditioning_to]


def _cells(default: int, low: int) -> Entry:
    return integer(default, low, MAX_SIDE, step=8)


def _area(area: tuple[Any, ...], strength: float) -> dict[str, Any]:
    return {"area": area, "strength": strength, "set_area_to_bounds": False}


@node(
    "ConditioningSetArea",
    {
        **_ONE,
        "width": _cells(64, 64),
        "height": _cells(64, 64),
        "x": _cells(0, 0),
        "y": _cells(0, 0),
        "strength": STRENGTH,
    },
    "CONDITIONING",
    title="Conditioning (Set Area)",
    **_PLAIN,
)
def set_area(conditioning: Conditioning, width: int, height: int, x: int, y: int, strength: float) -> Conditioning:
    """Limit the conditioning to an area, in cells of 8 pixels."""
    return with_values(conditioning, _area((height // _CELL, width // _CELL, y // _CELL, x // _CELL), strength))


_FULL, _EDGE = number(1.0, 0, 1.0, step=0.01), number(0, 0, 1.0, step=0.01)


@node(
    "ConditioningSetAreaPercentage",
    {**_ONE, "width": _FULL, "height": _FULL, "x": _EDGE, "y": _EDGE, "strength": STRENGTH},
    "CONDITIONING",
    title="Conditioning (Set Area with Percentage)",
    **_PLAIN,
)
def set_area_share(
    conditioning: Conditioning, width: float, height: float, x: float, y: float, strength: float
) -> Conditioning:
    """Limit the conditioning to an area, in fractions of the picture."""
    return with_values(conditioning, _area(("percentage", height, width, y, x), strength))


@node(
    "ConditioningSetAreaPercentageVideo",
    {
        **_ONE,
        **dict.fromkeys(("width", "height", "temporal"), _FULL),
        **dict.fromkeys(("x", "y", "z"), _EDGE),
        "strength": STRENGTH,
    },
    "CONDITIONING",
    title="Conditioning (Set Area with Percentage for Video)",
    **(_PLAIN | {"module": "comfy_extras.nodes_video_model"}),
)
def set_area_video(
    conditioning: Conditioning,
    width: float,
    height: float,
    temporal: float,
    x: float,
    y: float,
    z: float,
    strength: float,
) -> Conditioning:
    """Limit the conditioning to an area and a range of frames, in fractions."""
    return with_values(conditioning, _area(("percentage", temporal, height, width, z, y, x), strength))


@node(
    "ConditioningSetAreaStrength",
    {**_ONE, "strength": STRENGTH},
    "CONDITIONING",
    title="Conditioning (Set Area Strength)",
    **_PLAIN,
)
def set_strength(conditioning: Conditioning, strength: float) -> Conditioning:
    """Set the weight of the conditioning."""
    return with_values(conditioning, {"strength": strength})


@node(
    "ConditioningSetMask",
    {**_ONE, "mask": link("MASK"), "strength": STRENGTH, "set_cond_area": AREA_CHOICE},
    "CONDITIONING",
    title="Conditioning (Set Mask)",
    **_PLAIN,
    touches={"mask": "shape"},
)
def set_mask(conditioning: Conditioning, mask: Mask, strength: float, set_cond_area: str) -> Conditioning:
    """Limit the conditioning to a mask."""
    return masked(conditioning, mask, set_cond_area, strength)


@node("ConditioningZeroOut", _ONE, "CONDITIONING", title="Conditioning Zero Out", **_PLAIN)
def zero_out(conditioning: Conditioning) -> Conditioning:
    """Set all vectors to zero."""
    result: Conditioning = []
    for vectors, changed in parts(conditioning):
        for key in ("pooled_output", "conditioning_lyrics", "conditioning_scale"):
            if changed.get(key) is not None:
                changed[key] = np.zeros_like(changed[key])
        result.append([np.zeros_like(vectors), changed])
    return result


_PART = number(0.0, 0.0, 1.0, step=0.001)


@node(
    "ConditioningSetTimestepRange",
    {**_ONE, "start": _PART, "end": number(1.0, 0.0, 1.0, step=0.001)},
    "CONDITIONING",
    **_PLAIN,
)
def set_times(conditioning: Conditioning, start: float, end: float) -> Conditioning:
    """Limit the conditioning to a part of the sampling steps."""
    return with_values(conditioning, {"start_percent": start, "end_percent": end})


@node(
    "unCLIPConditioning",
    {
        **_ONE,
        "clip_vision_output": link("CLIP_VISION_OUTPUT"),
        "strength": number(1.0, -10.0, 10.0, step=0.01),
        "noise_augmentation": number(0.0, 0.0, 1.0, step=0.01),
    },
    "CONDITIONING",
    **(_PLAIN | {"category": "model/conditioning"}),
)
def unclip(
    conditioning: Conditioning, clip_vision_output: Any, strength: float, noise_augmentation: float
) -> Conditioning:
    """Add a picture that the result is to resemble."""
    if strength == 0:
        return conditioning
    like = {
        "clip_vision_output": clip_vision_output,
        "strength": strength,
        "noise_augmentation": noise_augmentation,
    }
    return with_values(conditioning, {"unclip_conditioning": [like]}, append=True)


def _newer(module: str, family: str = "", title: str | None = None) -> dict[str, Any]:
    category = f"model/conditioning{family}"
    return {"module": f"comfy_extras.nodes_{module}", "category": category, "title": title, "v3": True}


_FLUX = _newer("flux", "/flux")


@node("FluxGuidance", {**_ONE, "guidance": number(3.5, 0.0, 100.0, step=0.1)}, "CONDITIONING", **_FLUX)
def guidance(conditioning: Conditioning, guidance: float) -> Conditioning:
    """Set the guidance, for models that take it as an input."""
    return with_values(conditioning, {"guidance": guidance})


@node("FluxDisableGuidance", _ONE, "CONDITIONING", **_FLUX)
def no_guidance(conditioning: Conditioning) -> Conditioning:
    """Remove the guidance."""
    return with_values(conditioning, {"guidance": None})


@node(
    "FluxKontextMultiReferenceLatentMethod",
    {
        **_ONE,
        "reference_latents_method": choice(["offset", "index", "uxo/uno", "index_timestep_zero"], advanced=True),
    },
    "CONDITIONING",
    EXPERIMENTAL=True,
    **_newer("flux", "/flux", "Edit Model Reference Method"),
)
def reference_method(conditioning: Conditioning, reference_latents_method: str) -> Conditioning:
    """Set how several reference latents are laid out."""
    method = "uxo" if "uxo" in reference_latents_method else reference_latents_method
    return with_values(conditioning, {"reference_latents_method": method})


@node(
    "ReferenceLatent",
    _ONE,
    "CONDITIONING",
    optional={"latent": link("LATENT")},
    **_newer("edit_model", title="Set Reference Latent"),
)
def reference(conditioning: Conditioning, latent: Latent | None = None) -> Conditioning:
    """Add a reference latent."""
    if latent is None:
        return conditioning
    return with_values(conditioning, {"reference_latents": [latent["samples"]]}, append=True)


@node(
    "StableCascade_StageB_Conditioning",
    {**_ONE, "stage_c": link("LATENT")},
    "CONDITIONING",
    **_newer("stable_cascade", "/stable cascade"),
)
def stage_b(conditioning: Conditioning, stage_c: Latent) -> Conditioning:
    """Add the result of the previous stage."""
    return with_values(conditioning, {"stable_cascade_prior": stage_c["samples"]})


def both(positive: Conditioning, negative: Conditioning, change: Callable[[Conditioning], Conditioning]) -> Pair:
    """Apply the same change to the positive and the negative conditioning."""
    return change(positive), change(negative)


@node(
    "ConditioningStableAudio",
    {
        **PAIR,
        "seconds_start": number(0.0, 0.0, 1000.0, step=0.1),
        "seconds_total": number(47.0, 0.0, 1000.0, step=0.1),
    },
    "CONDITIONING CONDITIONING",
    names="positive negative",
    **_newer("audio", "/stable audio"),
)
def stable_audio(positive: Conditioning, negative: Conditioning, seconds_start: float, seconds_total: float) -> Pair:
    """Set which part of a longer sound is made, in seconds."""
    values = {"seconds_start": seconds_start, "seconds_total": seconds_total}
    return both(positive, negative, lambda each: with_values(each, values))
