"""Nodes with known behaviour; loads in ComfyUI (in a custom node folder) and in the emulator.

They deal in numbers, so that messages which quote a node's inputs read the same on both. What waits, waits for a file.
"""

from __future__ import annotations

from . import graphs, inputs, outputs, runs
from .base import mappings

NODE_CLASS_MAPPINGS = mappings(runs, graphs, inputs, outputs)
