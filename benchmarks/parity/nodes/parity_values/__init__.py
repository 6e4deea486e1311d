"""Values that only models or other packs make, and a node that shows any value as text and numbers.

Loads in ComfyUI (in a custom node folder) and in the emulator.
"""

from __future__ import annotations

from . import arrays, conditions, descriptions, findings, solids
from .base import mappings

NODE_CLASS_MAPPINGS = mappings(conditions, solids, findings, arrays, descriptions)
