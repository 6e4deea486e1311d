"""torch tensors, where torch is: it is imported only for the first tensor that leaves, and never needed."""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np

from ..exceptions import UnsupportedValueError
from .arrays import Array, ArrayPart, RawTensor, array_part, foreign_part

TensorKind = Literal["auto", "torch", "numpy"]
"""What a stored tensor becomes: torch's where torch can be imported, always torch's, or numpy's."""

FOREIGN = {
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}
"""torch's types that numpy lacks, with their names in the layout."""
_TORCH_NAMES = {name: torch_name for torch_name, name in FOREIGN.items()}


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor. Does not import torch: without it there is none."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return isinstance(tensor, type) and isinstance(value, tensor)


def tensor_part(tensor: Any, place: str) -> tuple[ArrayPart, str]:
    """As :func:`array_part`, for a tensor on any device. Raises UnsupportedValueError."""
    torch = sys.modules["torch"]
    problem = _problem(torch, tensor)
    if problem:
        raise UnsupportedValueError(problem, place=place, remedy="Store a dense tensor made of it")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    name = str(plain.dtype).removeprefix("torch.")
    foreign = FOREIGN.get(name)
    if foreign is not None:
        bits = plain.view(torch.uint8 if plain.element_size() == 1 else torch.int16).numpy()
        return foreign_part(RawTensor(foreign, bits), place), ""
    try:
        array = plain.numpy()
    except TypeError as error:
        raise UnsupportedValueError(
            f"a tensor of type {name} cannot be stored", place=place, remedy="Convert it to float32"
        ) from error
    return array_part(array, place)


def _problem(torch: Any, tensor: Any) -> str:
    if type(tensor) not in (torch.Tensor, getattr(getattr(torch, "nn", None), "Parameter", torch.Tensor)):
        return f"a {type(tensor).__name__} cannot be stored"
    if getattr(tensor, "is_nested", False) or getattr(tensor, "layout", None) != torch.strided:
        return "a nested or sparse tensor cannot be stored"
    if getattr(tensor, "is_quantized", False):
        return "a quantized tensor cannot be stored"
    return "a tensor without data cannot be stored" if tensor.device.type == "meta" else ""


def made_of(array: Array, dtype: str, kind: TensorKind) -> Any:
    """A stored tensor as ``kind`` says; it shares the array's memory. ``dtype`` is the name in the layout.

    Where torch cannot be imported, a type that numpy lacks becomes a :class:`RawTensor`.
    """
    foreign = _TORCH_NAMES.get(dtype)
    torch = None if kind == "numpy" else _torch(is_needed=kind == "torch")
    if torch is None:
        return array if foreign is None else RawTensor(dtype, array)
    if foreign is None:
        return torch.from_numpy(array)
    if not hasattr(torch, foreign):  # an older torch
        return RawTensor(dtype, array)
    # from_numpy of older versions has no unsigned 16-bit integers.
    bits = array.view(np.int16) if array.dtype.itemsize == 2 else array
    return torch.from_numpy(bits).view(getattr(torch, foreign))


def _torch(*, is_needed: bool) -> Any:
    try:
        import torch
    except ImportError:
        if is_needed:
            raise
        return None
    return torch
