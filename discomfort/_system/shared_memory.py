"""The file system for memory that processes share, which Chromium uses a lot of."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - the device itself is meant

SMALL = 256 << 20
"""Bytes below which Chromium is told to use files instead (Docker's default is 64 MiB)."""


def size(folder: Path = FOLDER) -> int | None:
    """Its size in bytes; ``None`` where the system has none."""
    try:
        return shutil.disk_usage(folder).total
    except OSError:
        return None
