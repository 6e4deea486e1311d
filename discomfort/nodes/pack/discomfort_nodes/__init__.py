"""The node pack: ComfyUI loads this folder, which lies alone in the one above.

The library is loaded again below this module, under a name of its own, without running its ``__init__``: ComfyUI's
Python may be older, and may not have what that needs.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def _nodes() -> ModuleType:
    library = ModuleType(f"{__name__}.library")
    library.__path__ = [str(Path(__file__).resolve().parents[3])]
    sys.modules[library.__name__] = library
    return importlib.import_module(f"{library.__name__}.nodes")


_found = _nodes()
_found.offer_routes()
NODE_CLASS_MAPPINGS: dict[str, type] = _found.NODE_CLASS_MAPPINGS
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = _found.NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
