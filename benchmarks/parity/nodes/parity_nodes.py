"""Nodes with known behaviour; loads in ComfyUI (as a file in a custom node folder) and in the emulator."""

from __future__ import annotations

NODE_CLASS_MAPPINGS: dict[str, type] = {}
