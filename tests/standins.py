"""The stand-ins for nodes that need models, in a test's own process.

Servers load them from ``tests/nodes``. That folder is no package here: a module ``nodes`` is ComfyUI's own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "nodes" / "standin_nodes.py"
_spec = importlib.util.spec_from_file_location("standin_nodes", _FILE)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

COUNTS: Any = _module.COUNTS
NODE_CLASS_MAPPINGS: dict[str, Any] = _module.NODE_CLASS_MAPPINGS
