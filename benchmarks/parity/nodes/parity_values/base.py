"""Common parts of the nodes: their form, and arrays as each server takes them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

import numpy as np


def native(array: Any, kind: Any = np.float32) -> Any:
    """An array as the server's nodes take it: numpy's in the emulator, torch's in ComfyUI."""
    array = np.ascontiguousarray(array, dtype=kind)
    if "comfyui_emulator" in sys.modules:
        return array
    import torch

    return torch.from_numpy(array)


def random(*shape: int, seed: int = 0) -> Any:
    """Normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


class Node:
    """A node of the older schema."""

    RETURN_TYPES: tuple[str, ...] = ()
    FUNCTION = "make"
    CATEGORY = "parity"
    REQUIRED: ClassVar[dict[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs."""
        return {"required": dict(cls.REQUIRED)}


SEED = ("INT", {"default": 0})


def mappings(*modules: ModuleType) -> dict[str, type]:
    """The nodes of these modules by name."""
    return {name: cls for each in modules for name, cls in vars(each).items() if name.startswith("Parity")}
