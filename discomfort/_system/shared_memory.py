"""The file system in memory, which Chromium and the values of contexts use."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - the device itself is meant

SMALL = 256 << 20
"""Size in bytes below which Chromium must use files instead (Docker's default is 64 MiB)."""


def size(folder: Path = FOLDER) -> int | None:
    """The size of the file system in bytes; ``None`` if the system has none."""
    try:
        return shutil.disk_usage(folder).total
    except OSError:
        return None


def free(folder: Path = FOLDER) -> int:
    """Bytes that can still be written there; 0 if the system has none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
