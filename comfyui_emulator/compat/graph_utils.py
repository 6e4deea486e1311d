"""Stand-ins for ``comfy_execution.graph_utils`` and ``comfy_execution.graph``."""

from __future__ import annotations

from comfyui_emulator.registry import is_link
from comfyui_emulator.runtime import ExecutionBlocker, GraphBuilder
from comfyui_emulator.runtime import GraphNode as Node

__all__ = ["ExecutionBlocker", "GraphBuilder", "Node", "is_link"]
