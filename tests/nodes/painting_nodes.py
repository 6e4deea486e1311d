"""Nodes that stand in for a text encoder, a sampler and a judge, for the workflows of examples; for either engine.

A picture shows what made it: its colour is that of the text and the seed, over the picture that was given, if any.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

try:
    import comfy.utils
    import torch

    def to_image(pixels: Any) -> Any:
        """An image of the server, from numbers."""
        return torch.from_numpy(pixels)

    def report(step: int, steps: int) -> None:
        """Report a step; raises if the run was interrupted."""
        comfy.utils.ProgressBar(steps).update_absolute(step, steps)
        comfy.model_management.throw_exception_if_processing_interrupted()

except ImportError:
    from comfyui_emulator import runtime

    def to_image(pixels: Any) -> Any:
        """An image of the server, from numbers."""
        return pixels

    def report(step: int, steps: int) -> None:
        """Report a step; raises if the run was interrupted."""
        runtime.check_interrupted()
        runtime.progress(step, steps)


class StandInText:
    """A text, as CLIPTextEncode takes it."""

    RETURN_TYPES = ("STANDIN_TEXT",)
    FUNCTION = "run"
    CATEGORY = "stand-ins"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"text": ("STRING", {"default": "", "multiline": True})}}

    def run(self, text: str) -> tuple[str]:
        return (text,)


class StandInSampler:
    """Paints a picture in ``steps`` steps of a hundredth of a second.

    Where ``meeting`` names a folder, it first waits until two servers paint there.
    """

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "stand-ins"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {
            "required": {
                "positive": ("STANDIN_TEXT",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFF}),
                "steps": ("INT", {"default": 2, "min": 1, "max": 100000}),
                "meeting": ("STRING", {"default": ""}),
            },
            "optional": {"image": ("IMAGE",)},
        }

    def run(self, positive: str, seed: int, steps: int, meeting: str, image: Any = None) -> tuple[Any]:
        if meeting:
            (Path(meeting) / str(os.getpid())).touch()
        while meeting and len(list(Path(meeting).iterdir())) < 2:
            report(0, steps)
            time.sleep(0.01)
        for step in range(steps):
            report(step + 1, steps)
            time.sleep(0.01)
        base = np.full((1, 16, 16, 3), 0.5, np.float32) if image is None else np.asarray(image, np.float32)
        colour = zlib.crc32(f"{positive}/{seed}".encode()).to_bytes(4, "big")[:3]
        return (to_image((base + np.frombuffer(colour, np.uint8).astype(np.float32) / 255) / 2),)


class PaintingLight:
    """The same picture, lighter."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "stand-ins"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def run(self, image: Any) -> tuple[Any]:
        return (image * 0.75 + 0.25,)


class PaintingScore:
    """How light a picture is."""

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"
    CATEGORY = "stand-ins"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def run(self, image: Any) -> tuple[float]:
        return (float(image.mean()),)


NODE_CLASS_MAPPINGS = {
    "StandInText": StandInText,
    "StandInSampler": StandInSampler,
    "PaintingLight": PaintingLight,
    "PaintingScore": PaintingScore,
}
