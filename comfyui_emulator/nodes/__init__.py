"""Built-in nodes: implementations of core nodes of ComfyUI 0.33.0, and definitions of its loaders."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfyui_emulator.registry import Registry

_MODULES = (
    "borrowed",
    "conditioning.combining",
    "conditioning.hooks",
    "conditioning.references",
    "conditioning.structures",
    "conditioning.video_models",
    "documents",
    "formulas",
    "images.editing",
    "images.compositing",
    "images.edges",
    "images.files",
    "images.filters",
    "images.masks",
    "images.records",
    "images.scaling",
    "latents.arithmetic",
    "latents.resizing",
    "latents.empty",
    "latents.joint",
    "latents.latent_files",
    "latents.operations",
    "latents.sequences",
    "logic",
    "media.audio",
    "media.three_d",
    "media.tracks",
    "media.video",
    "sampling.samplers",
    "sampling.schedules",
    "sampling.sigmas",
    "text",
)


def register_all(registry: Registry) -> None:
    """Register all built-in nodes. Imports the numeric libraries."""
    from comfyui_emulator.nodes import stubs
    from comfyui_emulator.nodes.base import BUILT_IN

    for name in _MODULES:
        # The import registers the nodes.
        import_module(f"comfyui_emulator.nodes.{name}")
    stubs.register(registry)
    for name, (cls, title) in BUILT_IN.items():
        registry.add_class(name, cls, title)
