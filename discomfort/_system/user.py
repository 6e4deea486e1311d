"""The user that this process runs as."""

from __future__ import annotations

import os


def is_root() -> bool:
    """Whether this process may do everything; no on systems that know no root."""
    geteuid = getattr(os, "geteuid", None)
    return geteuid is not None and geteuid() == 0
