"""Stand-ins for the nodes of a checkpoint, for servers of the emulator: they compute nothing and paint a grey picture.

How long each takes is the emulator's to say (``--load-seconds-per-gb``, ``--node-seconds``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.compat import folder_paths


class CheckpointLoaderSimple:
    """Passes the name of its file on."""

    CATEGORY, FUNCTION, RETURN_TYPES = "loaders", "load", ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name is ComfyUI's
        """The files of the folder."""
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),)}}

    def load(self, ckpt_name: str) -> tuple[str, str, str]:
        """Names only."""
        return ckpt_name, ckpt_name, ckpt_name


class CLIPTextEncode:
    """Passes the text on."""

    CATEGORY, FUNCTION, RETURN_TYPES = "conditioning", "encode", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """As ComfyUI's."""
        return {"required": {"text": ("STRING", {}), "clip": ("CLIP",)}}

    def encode(self, text: str, clip: str) -> tuple[str]:
        """The text itself."""
        return (f"{clip} {text}",)


class KSampler:
    """Takes ten milliseconds for each step."""

    CATEGORY, FUNCTION, RETURN_TYPES = "sampling", "sample", ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """As ComfyUI's."""
        number, real, text = ("INT", {"max": 2**64 - 1}), ("FLOAT", {}), ("STRING", {})
        values = {"seed": number, "steps": number, "cfg": real, "sampler_name": text, "scheduler": text}
        links = {"model": ("MODEL",), "positive": ("CONDITIONING",), "negative": ("CONDITIONING",)}
        return {"required": {**links, **values, "latent_image": ("LATENT",), "denoise": real}}

    def sample(self, steps: int, latent_image: Any, **_: Any) -> tuple[Any]:
        """The same latent."""
        for step in range(steps):
            runtime.wait(0.01)
            runtime.progress(step + 1, steps)
        return (latent_image,)


class VAEDecode:
    """Paints."""

    CATEGORY, FUNCTION, RETURN_TYPES = "latent", "decode", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """As ComfyUI's."""
        return {"required": {"samples": ("LATENT",), "vae": ("VAE",)}}

    def decode(self, samples: Any, vae: str) -> tuple[Any]:
        """A small grey picture."""
        return (np.full((1, 64, 64, 3), 0.5, np.float32),)


NODE_CLASS_MAPPINGS = {each.__name__: each for each in (CheckpointLoaderSimple, CLIPTextEncode, KSampler, VAEDecode)}
