"""Blueprints: subgraphs that a server offers to every workflow.

They come from node packs (``subgraphs/*.json``, since ComfyUI 0.3.67) and, if an installed ComfyUI is configured, from
its own folder of them (since 0.9.2). The emulator contains none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfyui_emulator.registry import JsonObject
    from comfyui_emulator.settings import EmulatorConfig


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A file with a subgraph, and the name of the pack that it belongs to."""

    path: Path
    source: str
    pack: str

    @property
    def id(self) -> str:
        """The id, made from source and path as in ComfyUI."""
        return hashlib.sha256(f"{self.source}{self.path.as_posix()}".encode()).hexdigest()

    def about(self) -> JsonObject:
        """The entry in the list."""
        return {"source": self.source, "name": self.path.stem, "info": {"node_pack": self.pack}}


def find(config: EmulatorConfig) -> list[Blueprint]:
    """All blueprints, those of packs first. Blocking. A pack counts even if it cannot be loaded."""
    found = [
        Blueprint(path, "custom_node", f"custom_nodes.{path.parent.parent.name}")
        for folder in config.custom_nodes
        for path in sorted(Path(folder).absolute().glob("*/subgraphs/*.json"))
    ]
    if config.comfyui is not None:
        own = Path(config.comfyui).absolute() / "blueprints"
        found += [Blueprint(path, "templates", "comfyui") for path in sorted(own.glob("*.json"))]
    return found
