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
    "datasets.texts",
    "datasets.clips",
    "datasets.pictures",
    "datasets.storage",
    "datasets.training",
    "documents",
    "formulas",
    "images.boxes",
    "images.captions",
    "images.colours",
    "images.compositing",
    "images.crops",
    "images.curves",
    "images.depths",
    "images.edges",
    "images.editing",
    "images.exports",
    "images.faces",
    "images.files",
    "images.filters",
    "images.findings",
    "images.layers",
    "images.masks",
    "images.poses",
    "images.previews",
    "images.records",
    "images.scaling",
    "images.seedvr",
    "images.sizes",
    "images.tiles",
    "latents.arithmetic",
    "latents.resizing",
    "latents.empty",
    "latents.joint",
    "latents.latent_files",
    "latents.operations",
    "latents.sequences",
    "logic",
    "media.audio",
    "media.dance",
    "media.equalizer",
    "media.tracked",
    "media.tracks",
    "media.video",
    "sampling.samplers",
    "sampling.schedules",
    "sampling.sigmas",
    "solids.baking",
    "solids.cameras",
    "solids.glb",
    "solids.mesh_edits",
    "solids.point_maps",
    "solids.rendering",
    "solids.repairs",
    "solids.splat_files",
    "solids.splat_meshing",
    "solids.splat_rendering",
    "solids.splats",
    "solids.textures",
    "solids.vertex_paint",
    "solids.viewers",
    "solids.voxels",
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
