"""Stand-in for the replacements of node classes that a pack registers (ComfyUI 0.14 and newer)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.replacements import NodeReplacement


class NodeReplace:
    """A replacement in ComfyUI's form."""

    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: Sequence[str] | None = None,
        input_mapping: Sequence[Mapping[str, Any]] | None = None,
        output_mapping: Sequence[Mapping[str, int]] | None = None,
    ) -> None:
        self.new_node_id, self.old_node_id, self.old_widget_ids = new_node_id, old_node_id, old_widget_ids
        self.input_mapping, self.output_mapping = input_mapping, output_mapping

    def as_dict(self) -> dict[str, Any]:
        """The entry in ``/node_replacements``."""
        return self.entry().listed()

    def entry(self) -> NodeReplacement:
        """The same in the emulator's form."""
        parts = (self.old_widget_ids, self.input_mapping, self.output_mapping)
        widgets, inputs, outputs = (None if part is None else tuple(part) for part in parts)
        return NodeReplacement(self.old_node_id, self.new_node_id, widgets, inputs, outputs)


class ReplacementApi:
    """``ComfyAPI().node_replacement``."""

    async def register(self, node_replace: NodeReplace) -> None:
        """Add a replacement. Raises ``RuntimeError`` outside the loading of a pack."""
        ReplacementApiSync().register(node_replace)


class ReplacementApiSync:
    """``ComfyAPISync().node_replacement``."""

    def register(self, node_replace: NodeReplace) -> None:
        """Add a replacement. Raises ``RuntimeError`` outside the loading of a pack."""
        table = runtime.context().replacements
        if table is None:
            raise RuntimeError("replacements are registered while a pack is loaded")
        table.add(node_replace.entry())
