"""What real servers gave, and is not part of the repository: workflows, their prompts, node definitions.

``SAVED_DATA`` names the folder (default: ``shared/data`` beside the repository). Where there is none, the tests of
these files are skipped, and say so.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("SAVED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
WORKFLOWS = FOLDER / "conversion" / "workflows"
PROMPTS = FOLDER / "conversion" / "prompts"
DEFINITIONS = FOLDER / "object_info-0.3.64.json.gz"
"""``/object_info`` of ComfyUI 0.3.64."""


def require() -> None:
    """Skip the test that asks, or the module that does as it is imported, where there are no saved files."""
    if not DEFINITIONS.is_file():
        pytest.skip(f"no saved workflows in {FOLDER}: SAVED_DATA names the folder", allow_module_level=True)


def definitions(version: str = "0.3.64") -> dict[str, Any]:
    """``/object_info`` of a ComfyUI; skips where there are no saved files."""
    require()
    file = FOLDER / f"object_info-{version}.json.gz"
    loaded: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return loaded
