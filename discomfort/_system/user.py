"""The user that this process runs as."""

from __future__ import annotations

import os


def is_root() -> bool:
    """Whether this process runs as root. False on systems without a root user."""
    geteuid = getattr(os, "geteuid", None)
    return geteuid is not None and geteuid() == 0


def identity() -> int:
    """The user's numeric id. Linux only."""
    return os.geteuid()


def is_ours(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user. Linux only."""
    return status.st_uid == os.geteuid()
