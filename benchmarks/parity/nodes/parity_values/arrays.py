"""Sounds, latents, drawings, and arrays of any shape."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from .base import Node, native, random


class ParityTone(Node):
    """A chord, ``seconds`` long."""

    RETURN_TYPES = ("AUDIO",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "rate": ("INT", {"default": 8000, "max": 200000}),
        "channels": ("INT", {"default": 2}),
        "seconds": ("FLOAT", {"default": 0.5}),
        "batch": ("INT", {"default": 1}),
    }

    def make(self, rate: int, channels: int, seconds: float, batch: int) -> tuple[Any]:
        """Make it."""
        time = np.arange(int(rate * seconds)) / rate
        waves = [[np.sin(time * 440 * 2 * np.pi * (1 + k + j)) * 0.7 for j in range(channels)] for k in range(batch)]
        return ({"waveform": native(np.array(waves)), "sample_rate": rate},)


class ParityMaskedLatent(Node):
    """A latent with a mask, of a size and a batch."""

    RETURN_TYPES = ("LATENT",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "batch": ("INT", {"default": 2}),
        "side": ("INT", {"default": 8}),
        "indices": ("BOOLEAN", {"default": False}),
    }

    def make(self, batch: int, side: int, indices: bool) -> tuple[Any]:
        """Make it."""
        mask = native(np.abs(random(batch, 1, side * 8, side * 8)) % 1)
        latent = {"samples": native(random(batch, 4, side, side)), "noise_mask": mask}
        return (latent | ({"batch_index": list(range(5, 5 + batch))} if indices else {}),)


class ParityShaped(Node):
    """An array of any shape, as a picture, a mask, a latent, a sound and noise levels."""

    RETURN_TYPES = ("IMAGE", "MASK", "LATENT", "AUDIO", "SIGMAS")
    REQUIRED: ClassVar[dict[str, Any]] = {"shape": ("STRING", {"default": "1,8,8,3"})}

    def make(self, shape: str) -> tuple[Any, ...]:
        """Make it; all numbers are from 0 to 1, and fall."""
        sides = tuple(int(side) for side in shape.split(","))
        size = int(np.prod(sides))
        array = native(np.linspace(1, 0, size).reshape(sides))
        return array, array, {"samples": array}, {"waveform": array, "sample_rate": 8000}, array


class ParityDrawings(Node):
    """Two vector drawings."""

    RETURN_TYPES = ("SVG",)

    def make(self) -> tuple[Any]:
        """Make them."""
        drawings = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{k}"><g/></svg>' for k in (8, 9)]
        return (SimpleNamespace(data=[io.BytesIO(drawing.encode()) for drawing in drawings]),)
