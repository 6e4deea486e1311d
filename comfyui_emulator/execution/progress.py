"""Sends a run's progress to clients: ``progress_state``, ``progress`` and preview images."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from comfyui_emulator.http.hub import PREVIEW_IMAGE, PREVIEW_IMAGE_WITH_METADATA, TEXT, Client, Hub, preview_payloads
from comfyui_emulator.registry import JsonObject

if TYPE_CHECKING:
    from comfyui_emulator.execution.graph import RunGraph
    from comfyui_emulator.runtime import PreviewImage


class RunProgress:
    """The progress of one run's nodes, sent to the client ``sid``; ``None`` means all clients."""

    def __init__(self, hub: Hub, graph: RunGraph, prompt_id: str, sid: object) -> None:
        self._hub, self._graph, self._prompt_id, self._sid = hub, graph, prompt_id, sid
        self._loop = asyncio.get_running_loop()
        self._nodes: dict[str, JsonObject] = {}

    def _identity(self, node_id: str) -> JsonObject:
        graph = self._graph
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": graph.display(node_id),
            "parent_node_id": graph.parent(node_id),
            "real_node_id": graph.real(node_id),
        }

    def _set(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {"value": value, "max": maximum, "state": state} | self._identity(node_id)
        if self._hub.receivers(self._sid):
            self._hub.send("progress_state", {"prompt_id": self._prompt_id, "nodes": self._nodes}, self._sid)

    def start(self, node_id: str) -> None:
        """Send that a node begins, or begins again."""
        self._set(node_id, 0.0, 1.0, "running")

    def finish(self, node_id: str) -> None:
        """Send that a node has its result."""
        # A cached node never started; ComfyUI then sends integers instead of floats.
        maximum = self._nodes[node_id]["max"] if node_id in self._nodes else 1
        self._set(node_id, maximum, maximum, "finished")

    def report(self, node_id: str, value: float, maximum: float, preview: PreviewImage | None) -> None:
        """Send a node's own report; callable from any thread."""
        payloads = None
        if preview is not None and self._hub.receivers(self._sid):
            metadata = self._identity(node_id)
            payloads = preview_payloads(preview.image, preview.format, preview.max_size, metadata)
        self._loop.call_soon_threadsafe(self._update, node_id, value, maximum, payloads)

    def _update(self, node_id: str, value: float, maximum: float, payloads: tuple[bytes, bytes] | None) -> None:
        self._set(node_id, value, maximum, "running")
        clients = self._hub.receivers(self._sid) if payloads else []
        for client in clients:
            if payloads and self._with_metadata(client):
                self._hub.send_binary(PREVIEW_IMAGE_WITH_METADATA, payloads[1], client)
        data = {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id}
        self._hub.send("progress", data, self._sid)
        for client in clients:
            if payloads and not self._with_metadata(client):
                self._hub.send_binary(PREVIEW_IMAGE, payloads[0], client)

    def _with_metadata(self, client: Client) -> bool:
        # ComfyUI broadcasts previews only in the old format, without metadata.
        return self._sid is not None and client.previews_with_metadata

    def text(self, node_id: str, text: str) -> None:
        """Send a text for a node's widget to all clients; callable from any thread."""
        encoded = node_id.encode()
        payload = len(encoded).to_bytes(4, "big") + encoded + text.encode()
        self._loop.call_soon_threadsafe(self._send_text, payload)

    def _send_text(self, payload: bytes) -> None:
        for client in self._hub.everyone():
            self._hub.send_binary(TEXT, payload, client)
