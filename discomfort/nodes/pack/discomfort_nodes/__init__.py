"""The node pack: ComfyUI loads this folder, which lies alone in the one above.

The library is loaded again below this module, under a name of its own, without running its ``__init__`` and that of
``workflow``: ComfyUI's Python may be older, and may not have what those need.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def _nodes() -> ModuleType:
    folder, name = Path(__file__).resolve().parents[3], f"{__name__}.library"
    for package, path in ((name, folder), (f"{name}.workflow", folder / "workflow")):
        bare = ModuleType(package)
        bare.__path__ = [str(path)]
        sys.modules[package] = bare
    return importlib.import_module(f"{name}.nodes")


_found = _nodes()
NODE_CLASS_MAPPINGS: dict[str, type] = _found.NODE_CLASS_MAPPINGS
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = _found.NODE_DISPLAY_NAME_MAPPINGS
WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
