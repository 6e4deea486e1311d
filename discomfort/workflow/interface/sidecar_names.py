"""Names of sidecars: ``upscale.discomfort.yaml`` beside ``upscale.json``."""

from __future__ import annotations

import re
from pathlib import Path

SIDECAR_SUFFIXES = (".discomfort.yaml", ".discomfort.yml", ".discomfort.json", ".discomfort.toml")
"""What the name of a sidecar has in the place of the workflow's suffix; the first is the one that is written."""

_SUFFIX = re.compile(r"(\.app)?\.[^.]*$")


def sidecar_path(workflow: Path, suffix: str = SIDECAR_SUFFIXES[0]) -> Path:
    """The sidecar beside a workflow's file."""
    return workflow.with_name(stem_of(workflow.name) + suffix)


def stem_of(file: str) -> str:
    """The name of a workflow's file without its suffix: ``wan2.1`` of ``wan2.1.json`` and of ``wan2.1.app.json``."""
    return _SUFFIX.sub("", file) or file
