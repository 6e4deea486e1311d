"""Memory for values: what one context may use, and what the machine has left for all of them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from discomfort._system import memory, shared_memory
from discomfort.exceptions import DiskFullError, StorageFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
RESERVE = 16 << 20
"""Bytes that are left free, in the file system in memory and in memory as a whole, for other programs."""


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """The file system in memory as one context sees it: ``root``, and the most bytes that it may store there.

    ``free`` and ``available`` give the bytes that the file system and the machine have left.
    """

    limit: int
    root: Path = shared_memory.FOLDER
    free: Callable[[], int] = shared_memory.free
    available: Callable[[], int] = memory.available

    def obstacle(self, size: int, used: int) -> str:
        """Why ``size`` more bytes do not fit, if ``used`` are stored by now; ``""`` if they do."""
        if used + size > self.limit:
            return f"the context may use {self.limit / 1e9:.3f} GB of memory and uses {used / 1e9:.3f}"
        free = self.free()
        if size + RESERVE > free:
            return f"{self.root} has {free / 1e6:.1f} MB left" if free else f"there is no file system at {self.root}"
        available = self.available()
        if size + RESERVE > available:
            return f"the machine has {available / 1e6:.1f} MB of memory left"
        return ""


def raise_if_full(error: OSError, folder: Path, what: str, obstacle: str = "") -> None:
    """Raise DiskFullError if that is what the system's error means, or StorageFullError if memory had no room either.

    ``obstacle`` says why memory had none; empty if it was not asked.
    """
    if error.errno in _FULL:
        kind = StorageFullError if obstacle else DiskFullError
        remedy = "Delete or export values, or free some space there" + (f"; {obstacle}" if obstacle else "")
        raise kind(folder, f"storing {what}", number=error.errno, remedy=remedy) from error
