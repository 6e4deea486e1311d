"""The check whether this system lets us own a server: start it, identify it reliably, and end it."""

from __future__ import annotations

import os
import sys

from discomfort._system import locks
from discomfort._system.process_table import facts_of


def obstacle() -> str:
    """A short description of what is missing; ``""`` if nothing is."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if not locks.AVAILABLE:
        return "this Python has no fcntl module, so there are no file locks"
    if facts_of(os.getpid()) is None:
        return "/proc cannot be read, so processes cannot be told apart for certain"
    return ""
