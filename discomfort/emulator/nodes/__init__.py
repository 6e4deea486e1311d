"""The built-in nodes: every core node of ComfyUI 0.3.64 that is implemented here, and the loaders as definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discomfort.emulator.registry import Registry


def register_all(registry: Registry) -> None:
    """Offer all built-in nodes. Imports the numeric libraries."""
    from discomfort.emulator.nodes import (
        compositing,
        edges,
        empty_latents,
        files,
        filters,
        images,
        latent_files,
        latent_math,
        latents,
        masks,
        scaling,
        stubs,
        text,
    )
    from discomfort.emulator.nodes.base import BUILT_IN

    # Imported for what they register.
    del (
        compositing,
        edges,
        empty_latents,
        files,
        filters,
        images,
        latent_files,
        latent_math,
        latents,
        masks,
        scaling,
        text,
    )
    stubs.register(registry)
    for name, (cls, title) in BUILT_IN.items():
        registry.add_class(name, cls, title)
