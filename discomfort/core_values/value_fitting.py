"""Fits values to the types of ports: pictures of Pillow and single ones get ComfyUI's form; and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from discomfort.context.file_values import FILE_3D, SVG, VIDEO, FileValue
from discomfort.context.pictures import is_picture
from discomfort.context.tensors import is_tensor
from discomfort.core_values.picture_files import pixels_of
from discomfort.workflow.json_values import describe
from discomfort.workflow.pass_by import BUILT_IN_RULES, BY_REFERENCE
from discomfort.workflow.port_types import is_known

_DATA = frozenset({"CONDITIONING"})
"""Types by reference that can be made of lists and arrays."""
_SINGLE = {"IMAGE": 3, "MASK": 2}
"""How many dimensions one picture has, without that of the batch."""

_MOST_CHANNELS = 4


def fitted(value: Any, kind: str) -> Any:
    """The value as a port of this type takes it; the same object if it fits as it is.

    A picture of Pillow becomes an array. IMAGE ``[H, W, C]`` and MASK ``[H, W]`` get the dimension of the batch, and
    their floats are those of ComfyUI, of 32 bits: its nodes fail on others.
    """
    kind = kind.upper()
    if kind not in _SINGLE:
        return value
    if is_picture(value):
        value = _picture(value, kind)
    if not _is_array(value):
        return value
    return _single_precision(value[None] if value.ndim == _SINGLE[kind] else value)


def _single_precision(value: Any) -> Any:
    if not _is_float(value):
        return value
    return value.astype(np.float32, copy=False) if isinstance(value, np.ndarray) else value.float()


def misfit(value: Any, kind: str) -> str:
    """Why a fitted value is not one of this type, which the server may find out late or never; empty if it may be."""
    kind = kind.upper()
    if not is_known(kind) or "," in kind:
        return ""
    if kind in BUILT_IN_RULES and BUILT_IN_RULES[kind] == BY_REFERENCE:
        if kind in _DATA and isinstance(value, list):
            return ""
        return f"takes {kind}, an object of the server: give a reference, as a run returns it, not {described(value)}"
    check = _file_check(kind) or _CHECKS.get(kind)
    wanted = "" if check is None else check(value)
    return f"takes {kind}, {wanted}, given {described(value)}" if wanted else ""


def described(value: Any) -> str:
    """A value for an error's text."""
    if _is_array(value):
        shape = ", ".join(map(str, value.shape))
        return f"a {_family(value)} of shape [{shape}] and type {str(value.dtype).removeprefix('torch.')}"
    return describe(value)


def _family(value: Any) -> str:
    return "tensor" if is_tensor(value) else "numpy array"


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_tensor(value)


def _is_float(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return bool(value.is_floating_point())


def _picture(value: Any, kind: str) -> Any:
    if kind == "IMAGE":
        return pixels_of(value)
    if value.mode not in ("1", "L", "I", "I;16"):
        return value
    return pixels_of(value)[..., 0]


def _image(value: Any) -> str:
    is_shaped = _is_array(value) and value.ndim == _SINGLE["IMAGE"] + 1 and 0 not in value.shape
    # More channels are a picture [channels, height, width], as other libraries have it.
    if is_shaped and _is_float(value) and value.shape[-1] <= _MOST_CHANNELS:
        return ""
    return "an array [batch, height, width, channels] of floats from 0 to 1, with at most 4 channels"


def _mask(value: Any) -> str:
    is_shaped = _is_array(value) and value.ndim in (_SINGLE["MASK"] + 1, _SINGLE["MASK"] + 2) and 0 not in value.shape
    return "" if is_shaped and _is_float(value) else "an array [batch, height, width] of floats from 0 to 1"


def _latent(value: Any) -> str:
    is_latent = isinstance(value, Mapping) and "samples" in value
    return "" if is_latent else "a dictionary with the array 'samples'"


def _audio(value: Any) -> str:
    is_audio = isinstance(value, Mapping) and {"waveform", "sample_rate"} <= set(value)
    return "" if is_audio else "a dictionary with 'waveform' and 'sample_rate'"


def _file_check(kind: str) -> Callable[[Any], str] | None:
    """The check of a type whose values are files: VIDEO, SVG, FILE_3D and its formats, such as FILE_3D_GLB."""
    wanted = FILE_3D if kind.startswith(FILE_3D) else kind
    if wanted not in (VIDEO, FILE_3D, SVG):
        return None

    def check(value: Any) -> str:
        is_one = isinstance(value, FileValue) and value.kind == wanted
        return "" if is_one else f"a FileValue of such a file, as FileValue.read({_EXAMPLES[wanted]!r}) gives"

    return check


def _sigmas(value: Any) -> str:
    return "" if _is_array(value) and value.ndim == 1 else "an array of one dimension"


_EXAMPLES = {VIDEO: "cat.mp4", FILE_3D: "cat.glb", SVG: "cat.svg"}
_CHECKS = {"IMAGE": _image, "MASK": _mask, "LATENT": _latent, "AUDIO": _audio, "SIGMAS": _sigmas}
