"""``comfy_execution.graph_utils`` and ``comfy_execution.graph``."""

from __future__ import annotations

from discomfort.emulator.execution.builder import GraphBuilder
from discomfort.emulator.execution.builder import GraphNode as Node
from discomfort.emulator.registry import is_link
from discomfort.emulator.runtime import ExecutionBlocker

__all__ = ["ExecutionBlocker", "GraphBuilder", "Node", "is_link"]
