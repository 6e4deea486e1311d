"""The file system for shared memory, which Chromium uses heavily."""

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
