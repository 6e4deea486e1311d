"""Nodes for hooks: model changes attached to a conditioning, and their timing.

Nodes that make hooks load weights, so they have definitions only. The nodes here combine, time and attach hooks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Entry, Mask, choice, integer, link, node, number, switch
from comfyui_emulator.nodes.conditioning.combining import (
    AREA_CHOICE,
    COND,
    PAIR,
    STRENGTH,
    Conditioning,
    Pair,
    masked,
    with_values,
)
from comfyui_emulator.nodes.sampling.sigmas import linspace
from comfyui_emulator.nodes.wording import must_have

log = logging.getLogger("comfyui_emulator")


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A change of a hook's strength at a fraction of the run."""

    strength: float
    start_percent: float
    guarantee_steps: int = 1


Keyframes = tuple[Keyframe, ...]
"""A HOOK_KEYFRAMES value: keyframes in the order of their start."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """A HOOKS value: hooks of any kind, and their keyframes."""

    hooks: tuple[Any, ...] = ()
    keyframes: Keyframes | None = None

    def joined(self, other: Hooks) -> Hooks:
        """The hooks of both; a hook that is in both counts once."""
        return replace(self, hooks=self.hooks + tuple(hook for hook in other.hooks if hook not in self.hooks))


Times = tuple[float, float]

_MODULE = "comfy_extras.nodes_hooks"
_HOOKS, _FRAMES = link("HOOKS"), link("HOOK_KEYFRAMES")
_LIMITS: dict[str, Entry] = {"mask": link("MASK"), "hooks": _HOOKS, "timesteps": link("TIMESTEPS_RANGE")}
_PROPERTIES: dict[str, Entry] = {"strength": STRENGTH, "set_cond_area": AREA_CHOICE}


def _kind(folder: str, title: str) -> dict[str, Any]:
    return {"module": _MODULE, "category": f"advanced/hooks{folder}", "title": title, "EXPERIMENTAL": True}


def _single(title: str) -> dict[str, Any]:
    return _kind("/cond single", title)


def _pair(title: str) -> dict[str, Any]:
    return _kind("/cond pair", title) | {"names": "positive negative"}


def joint(first: Conditioning, second: Conditioning) -> Conditioning:
    """Append one conditioning to the other."""
    result: Conditioning = []
    result.extend(first)
    result.extend(second)
    return result


def _hooked(conditioning: Conditioning, hooks: Hooks | None) -> Conditioning:
    if hooks is None:
        return conditioning
    return [
        [vectors, {**options, "hooks": options["hooks"].joined(hooks) if options.get("hooks") else hooks}]
        for vectors, options in conditioning
    ]


@node(
    "ConditioningSetProperties",
    {"cond_NEW": COND, **_PROPERTIES},
    "CONDITIONING",
    optional=_LIMITS,
    **_single("Cond Set Props"),
)
def set_properties(
    cond_NEW: Conditioning,  # noqa: N803 - the input's name
    strength: float,
    set_cond_area: str,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Times | None = None,
) -> Conditioning:
    """Attach hooks, a mask and a time range if given. The strength is that of the mask."""
    result = _hooked(cond_NEW, hooks)
    if mask is not None:
        result = masked(result, mask, set_cond_area, strength)
    if timesteps is not None:
        result = with_values(result, {"start_percent": timesteps[0], "end_percent": timesteps[1]})
    return result


@node(
    "ConditioningSetPropertiesAndCombine",
    {"cond": COND, "cond_NEW": COND, **_PROPERTIES},
    "CONDITIONING",
    optional=_LIMITS,
    **_single("Cond Set Props Combine"),
)
def set_and_combine(cond: Conditioning, cond_NEW: Conditioning, **properties: Any) -> Conditioning:  # noqa: N803
    """Set the properties, and append the result to another conditioning."""
    return joint(cond, set_properties(cond_NEW, **properties))


_NEW: dict[str, Entry] = {"positive_NEW": COND, "negative_NEW": COND}


@node(
    "PairConditioningSetProperties",
    {**_NEW, **_PROPERTIES},
    "CONDITIONING CONDITIONING",
    optional=_LIMITS,
    **_pair("Cond Pair Set Props"),
)
def pair_set(positive_NEW: Conditioning, negative_NEW: Conditioning, **properties: Any) -> Pair:  # noqa: N803
    """Set the properties of a pair."""
    return set_properties(positive_NEW, **properties), set_properties(negative_NEW, **properties)


@node(
    "PairConditioningSetPropertiesAndCombine",
    {**PAIR, **_NEW, **_PROPERTIES},
    "CONDITIONING CONDITIONING",
    optional=_LIMITS,
    **_pair("Cond Pair Set Props Combine"),
)
def pair_set_and_combine(
    positive: Conditioning,
    negative: Conditioning,
    positive_NEW: Conditioning,  # noqa: N803 - the input's name
    negative_NEW: Conditioning,  # noqa: N803
    **properties: Any,
) -> Pair:
    """Set the properties of a pair, and append it to another pair."""
    first, second = pair_set(positive_NEW, negative_NEW, **properties)
    return joint(positive, first), joint(negative, second)


@node(
    "PairConditioningCombine",
    dict.fromkeys(("positive_A", "negative_A", "positive_B", "negative_B"), COND),
    "CONDITIONING CONDITIONING",
    **_pair("Cond Pair Combine"),
)
def pair_combine(
    positive_A: Conditioning,  # noqa: N803 - the input's name
    negative_A: Conditioning,  # noqa: N803
    positive_B: Conditioning,  # noqa: N803
    negative_B: Conditioning,  # noqa: N803
) -> Pair:
    """Append one pair to the other."""
    return joint(positive_A, positive_B), joint(negative_A, negative_B)


@node(
    "ConditioningSetDefaultCombine",
    {"cond": COND, "cond_DEFAULT": COND},
    "CONDITIONING",
    optional={"hooks": _HOOKS},
    **_single("Cond Set Default Combine"),
)
def combine_default(cond: Conditioning, cond_DEFAULT: Conditioning, hooks: Hooks | None = None) -> Conditioning:  # noqa: N803
    """Add a conditioning for the part that no area or mask covers."""
    return joint(cond, with_values(_hooked(cond_DEFAULT, hooks), {"default": True}))


@node(
    "PairConditioningSetDefaultCombine",
    {**PAIR, "positive_DEFAULT": COND, "negative_DEFAULT": COND},
    "CONDITIONING CONDITIONING",
    optional={"hooks": _HOOKS},
    **_pair("Cond Pair Set Default Combine"),
)
def pair_combine_default(
    positive: Conditioning,
    negative: Conditioning,
    positive_DEFAULT: Conditioning,  # noqa: N803 - the input's name
    negative_DEFAULT: Conditioning,  # noqa: N803
    hooks: Hooks | None = None,
) -> Pair:
    """Add a pair for the part that no area or mask covers."""
    first = combine_default(positive, positive_DEFAULT, hooks)
    return first, combine_default(negative, negative_DEFAULT, hooks)


_PART, _WHOLE = number(0.0, 0.0, 1.0, step=0.001), number(1.0, 0.0, 1.0, step=0.001)


@node(
    "ConditioningTimestepsRange",
    {"start_percent": _PART, "end_percent": _WHOLE},
    "TIMESTEPS_RANGE TIMESTEPS_RANGE TIMESTEPS_RANGE",
    names="TIMESTEPS_RANGE BEFORE_RANGE AFTER_RANGE",
    **_kind("", "Timesteps Range"),
)
def times(start_percent: float, end_percent: float) -> tuple[Times, Times, Times]:
    """The given part of the run, and the parts before and after it."""
    return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)


def _combiner(count: int) -> None:
    names = [f"hooks_{letter}" for letter in "ABCDEFGH"[:count]]

    @node(
        f"CombineHooks{count}",
        {},
        "HOOKS",
        optional=dict.fromkeys(names, _HOOKS),
        **_kind("/combine", f"Combine Hooks [{count}]"),
    )
    def combine(**given: Hooks | None) -> Hooks | None:
        """Combine all hooks; ``None`` if there are none."""
        result: Hooks | None = None
        for name in names:
            hooks = given.get(name)
            if hooks is not None:
                result = hooks if result is None else result.joined(hooks)
        return result


for _count in (2, 4, 8):
    _combiner(_count)

_TIMED: dict[str, Any] = {"names": "HOOK_KF", "optional": {"prev_hook_kf": _FRAMES}}


@node(
    "SetHookKeyframes",
    {"hooks": _HOOKS},
    "HOOKS",
    optional={"hook_kf": _FRAMES},
    **_kind("/scheduling", "Set Hook Keyframes"),
)
def set_keyframes(hooks: Hooks, hook_kf: Keyframes | None = None) -> Hooks:
    """Set the keyframes of the hooks."""
    return hooks if hook_kf is None else replace(hooks, keyframes=hook_kf)


def _before(frames: Keyframes | None) -> Keyframes:
    """The keyframes to extend; ``None`` means no keyframes, as in ComfyUI."""
    if frames:
        must_have(frames, "clone")
    return frames or ()


def _sorted(frames: Iterable[Keyframe]) -> tuple[Keyframes]:
    # A tuple that a node returns is read as its outputs, so the keyframes are wrapped in another.
    return (tuple(sorted(frames, key=lambda frame: frame.start_percent)),)


@node(
    "CreateHookKeyframe",
    {"strength_mult": number(1.0, -20.0, 20.0, step=0.01), "start_percent": _PART},
    "HOOK_KEYFRAMES",
    **_TIMED,
    **_kind("/scheduling", "Create Hook Keyframe"),
)
def keyframe(strength_mult: float, start_percent: float, prev_hook_kf: Keyframes | None = None) -> tuple[Keyframes]:
    """Add a keyframe."""
    return _sorted([*_before(prev_hook_kf), Keyframe(strength_mult, start_percent)])


def _curve(start: float, end: float, count: int, method: str) -> Any:
    if method == "linear":
        return linspace(start, end, count)
    place = linspace(0, 1, count)
    shapes = {
        "ease_in": place**2,
        "ease_out": 1 - (1 - place) ** 2,
        "ease_in_out": (1 - np.cos(place * np.pi)) / 2,
    }
    return (end - start) * shapes[method] + start


def _series(strengths: Iterable[Any], places: Iterable[Any], tell: bool, before: Keyframes | None) -> tuple[Keyframes]:
    frames = [
        Keyframe(float(strength), float(place), guarantee_steps=int(index == 0))
        for index, (strength, place) in enumerate(zip(strengths, places, strict=True))
    ]
    for frame in frames if tell else ():
        log.info("hook keyframe: from %s on, strength %s", frame.start_percent, frame.strength)
    return _sorted([*_before(before), *frames])


@node(
    "CreateHookKeyframesInterpolated",
    {
        "strength_start": number(1.0, 0.0, 10.0, step=0.001),
        "strength_end": number(1.0, 0.0, 10.0, step=0.001),
        "interpolation": choice(["linear", "ease_in", "ease_out", "ease_in_out"]),
        "start_percent": _PART,
        "end_percent": _WHOLE,
        "keyframes_count": integer(5, 2, 100, step=1),
        "print_keyframes": switch(False, advanced=True),
    },
    "HOOK_KEYFRAMES",
    **_TIMED,
    **_kind("/scheduling", "Create Hook Keyframes Interp."),
)
def interpolated(
    strength_start: float,
    strength_end: float,
    interpolation: str,
    start_percent: float,
    end_percent: float,
    keyframes_count: int,
    print_keyframes: bool,
    prev_hook_kf: Keyframes | None = None,
) -> tuple[Keyframes]:
    """Keyframes along a curve."""
    strengths = _curve(strength_start, strength_end, keyframes_count, interpolation)
    return _series(strengths, linspace(start_percent, end_percent, keyframes_count), print_keyframes, prev_hook_kf)


@node(
    "CreateHookKeyframesFromFloats",
    {
        "floats_strength": ["FLOATS", {"default": -1, "min": -1, "step": 0.001, "forceInput": True}],
        "start_percent": _PART,
        "end_percent": _WHOLE,
        "print_keyframes": switch(False, advanced=True),
    },
    "HOOK_KEYFRAMES",
    **_TIMED,
    **_kind("/scheduling", "Create Hook Keyframes From Floats"),
)
def from_floats(
    floats_strength: Any,
    start_percent: float,
    end_percent: float,
    print_keyframes: bool,
    prev_hook_kf: Keyframes | None = None,
) -> tuple[Keyframes]:
    """Keyframes with the given strengths. Raises ``TypeError`` for anything but a number or several numbers."""
    if isinstance(floats_strength, int | float):
        floats_strength = [float(floats_strength)]
    if not isinstance(floats_strength, Iterable):
        raise TypeError(f"floats_strength must be a number or several numbers, not {type(floats_strength).__name__}")
    strengths = list(floats_strength)
    return _series(strengths, linspace(start_percent, end_percent, len(strengths)), print_keyframes, prev_hook_kf)
