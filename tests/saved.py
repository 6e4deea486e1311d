"""What real servers gave, and is not part of the repository: workflows, their prompts, node definitions.

``SAVED_DATA`` names the folder (default: ``shared/data`` beside the repository). Where there is none, the tests of
these files are skipped, and say so. For the benchmarks it may also be a set that ``benchmarks/record_prompts.py`` made.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("SAVED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
IS_SET = (FOLDER / "about.json").is_file()
"""Whether it is a set of its own, with the definitions that it was recorded with."""
WORKFLOWS = (FOLDER if IS_SET else FOLDER / "conversion") / "workflows"
PROMPTS = WORKFLOWS.with_name("prompts")
DEFINITIONS = FOLDER / ("object_info.json.gz" if IS_SET else "object_info-0.3.64.json.gz")
"""``/object_info`` of ComfyUI 0.3.64, or the set's own."""


def require() -> None:
    """Skip the test that asks, or the module that does as it is imported, where there are no saved files."""
    if not DEFINITIONS.is_file():
        pytest.skip(f"no saved workflows in {FOLDER}: SAVED_DATA names the folder", allow_module_level=True)


def definitions(version: str | None = None) -> dict[str, Any]:
    """``/object_info`` of a ComfyUI (none given: that of the saved prompts); skips where there are no saved files."""
    require()
    return read(DEFINITIONS if version is None else FOLDER / f"object_info-{version}.json.gz")


def read(path: Path) -> dict[str, Any]:
    """Definitions in a file, gzipped or not."""
    content = path.read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    return loaded
