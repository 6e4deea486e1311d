"""Nodes that save and load latents."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import annotated_path, next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA, link, node, text
from comfyui_emulator.nodes.images.files import input_path, metadata_parts
from comfyui_emulator.nodes.latents.resizing import Latent
from comfyui_emulator.nodes.latents.tensorfile import read_tensors, write_tensors

_LATENT = link("LATENT")

_SD1_SCALE = 0.18215
"""The factor for old files, saved before ComfyUI scaled latents."""


@node(
    "SaveLatent",
    {"samples": _LATENT, "filename_prefix": text(default="latents/ComfyUI")},
    "LATENT",
    names="samples",
    hidden=HIDDEN_METADATA,
    module="nodes",
    category="model/latent",
    title="Save Latent",
    OUTPUT_NODE=True,
)
def save_latent(samples: Latent, filename_prefix: str, prompt: Any = None, extra_pnginfo: Any = None) -> Latent:
    """Save a latent as a ``.latent`` file, safetensors with the prompt as metadata; return it (since 0.26)."""
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
    name = f"{stem}_{counter:05}_.latent"
    tensors = {"latent_format_version_0": np.zeros(0, np.float32), "latent_tensor": samples["samples"]}
    metadata = dict(metadata_parts(prompt, extra_pnginfo)) or None
    write_tensors(target / name, tensors, metadata)
    saved = [{"filename": name, "subfolder": subfolder, "type": "output"}]
    return {"ui": {"latents": saved}, "result": (samples,)}


def _latent_files() -> dict[str, Any]:
    folder = runtime.context().folders.input
    names = sorted(path.name for path in folder.glob("*.latent") if path.is_file())
    return {"required": {"latent": [names]}}


def _check_latent(latent: str) -> bool | str:
    path = annotated_path(runtime.context().folders, latent)
    return True if path is not None and path.exists() else f"Invalid latent file: {latent}"


@node(
    "LoadLatent",
    None,
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Load Latent",
    INPUT_TYPES=_latent_files,
    VALIDATE_INPUTS=_check_latent,
    IS_CHANGED=lambda latent: hashlib.sha256(input_path(latent).read_bytes()).hexdigest(),
)
def load_latent(latent: str) -> tuple[Latent]:
    """Load a saved latent."""
    tensors = read_tensors(input_path(latent))
    factor = 1.0 if "latent_format_version_0" in tensors else 1.0 / _SD1_SCALE
    return ({"samples": tensors["latent_tensor"].astype(np.float32) * np.float32(factor)},)
