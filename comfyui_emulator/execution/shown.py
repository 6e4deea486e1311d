"""The UI parts of a run's nodes: sent as ``executed``, and listed in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from comfyui_emulator.execution.graph import RunGraph
from comfyui_emulator.execution.stores import Entry
from comfyui_emulator.registry import JsonObject


class ShownOutputs:
    """The UI parts in the order in which they were sent.

    A record of ComfyUI 0.3.64 lists every node of the prompt that has one; since 0.3.68 only what ran or was reached.
    """

    def __init__(self, graph: RunGraph, prompt_id: str, send: Callable[[str, JsonObject], None]) -> None:
        self._graph, self._prompt_id, self._send = graph, prompt_id, send
        self._parts: dict[str, JsonObject] = {}

    def of(self, node_id: str) -> JsonObject | None:
        """A node's UI part with its ``meta``, or ``None``."""
        return self._parts.get(node_id)

    def listed(self, part: str) -> JsonObject:
        """The ``output`` or the ``meta`` of every node, for the record."""
        return {node_id: shown[part] for node_id, shown in self._parts.items()}

    def made(self, node_id: str, ui: JsonObject) -> None:
        """A node made a UI part. Raises ``TypeError`` if it is not JSON."""
        try:
            json.dumps(ui)
        except (TypeError, ValueError) as error:
            raise TypeError(f"the UI output of node {node_id} is not JSON: {error}") from error
        graph = self._graph
        meta = {
            "node_id": node_id,
            "display_node": graph.display(node_id),
            "parent_node": graph.parent(node_id),
            "real_node_id": graph.real(node_id),
        }
        self._parts[node_id] = {"meta": meta, "output": ui}
        self._tell(node_id, ui)

    def cached(self, node_id: str, entry: Entry) -> None:
        """A cached node counts as shown with the UI part that it had when it ran, or with none."""
        if entry.shown is not None:
            self._parts[node_id] = entry.shown
        self._tell(node_id, entry.shown["output"] if entry.shown else None)

    def _tell(self, node_id: str, output: Any) -> None:
        display = self._graph.display(node_id)
        data = {"node": node_id, "display_node": display, "output": output, "prompt_id": self._prompt_id}
        self._send("executed", data)
