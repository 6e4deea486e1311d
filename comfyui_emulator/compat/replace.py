"""Stand-in for ``comfy_api.latest.io.NodeReplace``: replacements of nodes that packs register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from comfyui_emulator import runtime
from comfyui_emulator.replacements import NodeReplacement

T = TypeVar("T")


def _fixed(entries: Sequence[T] | None) -> tuple[T, ...] | None:
    return None if entries is None else tuple(entries)


class NodeReplace:
    """A class that takes the place of another, with its inputs and outputs (ComfyUI 0.14 and newer)."""

    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: Sequence[str] | None = None,
        input_mapping: Sequence[dict[str, Any]] | None = None,
        output_mapping: Sequence[dict[str, int]] | None = None,
    ) -> None:
        self.new_node_id, self.old_node_id, self.old_widget_ids = new_node_id, old_node_id, old_widget_ids
        self.input_mapping, self.output_mapping = input_mapping, output_mapping

    @property
    def entry(self) -> NodeReplacement:
        """The replacement as the server keeps it."""
        return NodeReplacement(
            self.old_node_id,
            self.new_node_id,
            _fixed(self.old_widget_ids),
            _fixed(self.input_mapping),
            _fixed(self.output_mapping),
        )

    def as_dict(self) -> dict[str, Any]:
        """The entry in ``/node_replacements``."""
        return self.entry.listed()


def _register(node_replace: NodeReplace) -> None:
    table = runtime.context().replacements
    if table is not None:
        table.add(node_replace.entry)


class Registration:
    """``ComfyAPI().node_replacement``; works while a pack is loaded."""

    async def register(self, node_replace: NodeReplace) -> None:
        """Register a replacement."""
        _register(node_replace)


class SyncRegistration:
    """``ComfyAPISync().node_replacement``; works while a pack is loaded."""

    def register(self, node_replace: NodeReplace) -> None:
        """Register a replacement."""
        _register(node_replace)
