"""The recorded sample for newer frontends: workflows, reduced definitions, and the prompts of each frontend.

``python benchmarks/record_prompts.py --sample`` makes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from browser.newer_workflows import all_newer

HERE = Path(__file__).parent / "newer_frontends"
DEFINITIONS = HERE / "definitions.json"
FRONTENDS = Path(os.environ.get("FRONTENDS") or Path(sys.prefix) / "frontends")
"""Where ``make setup`` puts other frontends than the installed one, each in a folder named by its version."""


def workflows() -> dict[str, Any]:
    """All workflows of the sample by name."""
    return all_newer()


def prompts_file(version: str) -> Path:
    """The file of the prompts that a frontend made."""
    return HERE / f"prompts-{version}.json"


def versions() -> list[str]:
    """The frontends whose prompts are recorded."""
    return sorted(path.stem.removeprefix("prompts-") for path in HERE.glob("prompts-*.json"))


def param(version: str, *needed: Path) -> Any:
    """A frontend's version as a test parameter, skipped where the frontend or something else that is needed is not."""
    root = root_of(version)
    missing = [str(path) for path in (root or FRONTENDS / version, *needed) if not path.exists()]
    reason = f"make setup did not get {' and '.join(missing)}"
    name = f"{version}-not-downloaded" if missing else version
    return pytest.param(version, id=name, marks=[pytest.mark.skipif(bool(missing), reason=reason)])


def root_of(version: str) -> Path | None:
    """The static folder of a frontend, if it is there."""
    root = FRONTENDS / version / "comfyui_frontend_package" / "static"
    return root if (root / "index.html").is_file() else None
