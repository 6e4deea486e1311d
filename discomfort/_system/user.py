"""The user that this process runs as."""

from __future__ import annotations

import os


def is_root() -> bool:
    """Whether this process may do everything; no on systems that know no root."""
    geteuid = getattr(os, "geteuid", None)
    return geteuid is not None and geteuid() == 0


def identity() -> int:
    """The number of the user. For Linux."""
    return os.geteuid()


def is_ours(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to the user. For Linux."""
    return status.st_uid == os.geteuid()
