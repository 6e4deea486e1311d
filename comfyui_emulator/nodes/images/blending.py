"""Blend modes of layers: what a layer does to what is below it. The modes are those of GIMP, in its colour spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.images.srgb import to_levels, to_light

Array = npt.NDArray[np.floating[Any]]
"""``[height, width, channel]``; pictures here have four channels, the first three as amounts of light."""

Blend = Callable[[Array, Array], Array]
"""The colour that results from the colour below and the layer's own."""

_TINY = 1e-6


def _ratio(part: Array, whole: Array) -> Array:
    """``part / whole``; 0 where the whole is next to nothing."""
    solid = np.abs(whole) >= _TINY
    return np.where(solid, part / np.where(solid, whole, 1), 0).astype(np.float32)


def _dodge(below: Array, room: Array) -> Array:
    """The colour below, divided by the room that is left above the layer's."""
    bright = np.where(room <= _TINY, 1.0, np.minimum(_ratio(below, room), 1.0))
    return np.where(below <= 0, 0.0, bright)


def _burn(below: Array, amount: Array) -> Array:
    dark = np.where(amount <= _TINY, 0.0, 1 - np.minimum(_ratio(1 - below, amount), 1.0))
    return np.where(below >= 1, 1.0, dark)


def _hard_light(below: Array, layer: Array) -> Array:
    bright = np.minimum(1 - (1 - below) * (1 - (layer - 0.5) * 2), 1)
    mixed: Array = np.where(layer > 0.5, bright, np.minimum(below * (layer * 2), 1))
    return mixed


def _vivid_light(below: Array, layer: Array) -> Array:
    return np.where(layer <= 0.5, _burn(below, 2 * layer), _dodge(below, 2 * (1 - layer)))


def _overlay(below: Array, layer: Array) -> Array:
    return np.where(below < 0.5, 2 * below * layer, 1 - 2 * (1 - layer) * (1 - below))


def _pin_light(below: Array, layer: Array) -> Array:
    return np.where(layer > 0.5, np.maximum(below, 2 * (layer - 0.5)), np.minimum(below, 2 * layer))


def _extremes(colour: Array) -> tuple[Array, Array]:
    return colour.min(axis=-1, keepdims=True), colour.max(axis=-1, keepdims=True)


def _saturation_of(low: Array, high: Array) -> Array:
    return np.where(high != 0, (high - low) / np.where(high != 0, high, 1), 0)


def _hue(below: Array, layer: Array) -> Array:
    (low, high), (layer_low, layer_high) = _extremes(below), _extremes(layer)
    grey = layer_high - layer_low <= _TINY
    ratio = np.where(grey, 0, _saturation_of(low, high) * high / np.where(grey, 1, layer_high - layer_low))
    return np.where(grey, below, layer * ratio + high - layer_high * ratio)


def _saturation(below: Array, layer: Array) -> Array:
    (low, high), (layer_low, layer_high) = _extremes(below), _extremes(layer)
    grey = high - low <= _TINY
    ratio = np.where(grey, 0, _saturation_of(layer_low, layer_high) * high / np.where(grey, 1, high - low))
    return np.where(grey, high, below * ratio + (1 - ratio) * high)


def _colour(below: Array, layer: Array) -> Array:
    lightness, layer_lightness = (sum(_extremes(colour)) / 2 for colour in (below, layer))
    grey = (np.abs(layer_lightness) <= _TINY) | (np.abs(1 - layer_lightness) <= _TINY)
    room = np.minimum(lightness, 1 - lightness)
    ratio = room / np.where(grey, 1, np.minimum(layer_lightness, 1 - layer_lightness))
    lifted = np.where(lightness > 0.5, 1 - 2 * room, 0) + np.where(layer_lightness > 0.5, 2 * room - ratio, 0)
    return np.where(grey, lightness, layer * ratio + lifted)


_WEIGHTS = np.array([0.2224884, 0.71690369, 0.06060791])


def _luminosity(below: Array, layer: Array) -> Array:
    bright, layer_bright = (
        (colour * _WEIGHTS.astype(np.float32)).sum(axis=-1, keepdims=True) for colour in (below, layer)
    )
    black = bright <= _TINY
    return np.where(black, layer_bright, below * np.where(black, 0.0, layer_bright / np.where(black, 1.0, bright)))


_AS_LIGHT: dict[str, Blend] = {
    "normal": lambda _, layer: layer,
    "multiply": lambda below, layer: below * layer,
    "darken": np.minimum,
    "lighten": np.maximum,
    "linear-dodge": lambda below, layer: below + layer,
    "subtract": lambda below, layer: np.maximum(below - layer, 0),
    "divide": lambda below, layer: np.clip(below / np.maximum(layer, _TINY), 0, 1),
    "luminosity": _luminosity,
}
"""Modes that blend amounts of light."""

_AS_LEVELS: dict[str, Blend] = {
    "screen": lambda below, layer: 1 - (1 - below) * (1 - layer),
    "overlay": _overlay,
    "color-dodge": lambda below, layer: _dodge(below, 1 - layer),
    "color-burn": _burn,
    "hard-light": _hard_light,
    "soft-light": lambda below, layer: (1 - below) * (below * layer) + below * (1 - (1 - below) * (1 - layer)),
    "difference": lambda below, layer: np.abs(below - layer),
    "exclusion": lambda below, layer: 0.5 - 2 * (below - 0.5) * (layer - 0.5),
    "linear-burn": lambda below, layer: below + layer - 1,
    "vivid-light": _vivid_light,
    "pin-light": _pin_light,
    "linear-light": lambda below, layer: below + 2 * layer - 1,
    "hard-mix": lambda below, layer: np.where(below + layer < 1, 0.0, 1.0),
    "grain-extract": lambda below, layer: below - layer + 0.5,
    "grain-merge": lambda below, layer: below + layer - 0.5,
    "hue": _hue,
    "saturation": _saturation,
    "color": _colour,
}
"""Modes that blend sRGB levels."""

MODES = [
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color-dodge",
    "color-burn",
    "hard-light",
    "soft-light",
    "difference",
    "exclusion",
    "linear-dodge",
    "linear-burn",
    "vivid-light",
    "pin-light",
    "linear-light",
    "hard-mix",
    "subtract",
    "divide",
    "grain-extract",
    "grain-merge",
    "hue",
    "saturation",
    "color",
    "luminosity",
]
"""All modes, in ComfyUI's order."""


def laid_over(mode: str, below: Array, layer: Array, opacity: float) -> Array:
    """The layer over what is below it, both as light with alpha. An unknown mode counts as normal.

    A normal layer adds to what is covered; the others change only what is covered already.
    """
    mode = mode if mode in MODES else "normal"
    ground, own = below[..., :3], layer[..., :3]
    if mode in _AS_LEVELS:
        mixed = to_light(np.asarray(_AS_LEVELS[mode](to_levels(ground), to_levels(own)), dtype=np.float32))
    else:
        mixed = np.asarray(_AS_LIGHT[mode](ground, own), dtype=np.float32)
    ground_alpha, alpha = below[..., 3:], layer[..., 3:] * np.float32(opacity)
    if mode == "normal":
        return _joined(ground, ground_alpha, own, mixed, alpha)
    kept = (ground_alpha == 0) | (alpha == 0)
    colour = np.where(kept, ground, mixed * alpha + ground * (1 - alpha))
    return np.concatenate([colour, ground_alpha], axis=-1)


def _joined(ground: Array, ground_alpha: Array, own: Array, mixed: Array, alpha: Array) -> Array:
    whole = alpha + (1 - alpha) * ground_alpha
    ratio = np.where(whole != 0, alpha / np.where(whole != 0, whole, 1), 0)
    both = ratio * (ground_alpha * (mixed - own) + own - ground) + ground
    colour = np.where((alpha == 0) | (whole == 0), ground, np.where(ground_alpha == 0, own, both))
    return np.concatenate([colour, whole], axis=-1)
