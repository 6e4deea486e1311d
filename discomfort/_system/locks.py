"""File locks of the operating system (flock), which the kernel releases when the process that holds them ends."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import weakref
from pathlib import Path
from typing import Protocol

from .descriptors import open_or_create
from .forks import in_forked_child

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
"""Whether this system has such locks at all."""

_POLL_SECONDS = 0.05


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file without waiting. ``False`` if another process or descriptor holds the lock.

    Raises OSError if the file system or the operating system has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no flock")
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock of an open file, which stays open. Raises OSError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """The exclusive lock of the file at ``path``, held from :meth:`take` to :meth:`release`.

    It belongs to the process that took it, not to its forked children.
    """

    path: Path

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self.inode: int = os.fstat(descriptor).st_ino
        keep_from_children(self)

    @classmethod
    def take(cls, path: Path, *, timeout: float = 0.0) -> FileLock | None:
        """Take the lock, creating its file if missing. ``None`` if it is still held after ``timeout`` seconds.

        Blocking. Raises OSError if the file cannot be created or the system has no locks.
        """
        deadline = time.monotonic() + timeout
        while True:
            descriptor = open_or_create(path, 0o600)
            try:
                taken = try_lock(descriptor)
                # The previous holder may have removed the file. A lock on a removed file protects nothing.
                if taken and is_at(path, descriptor):
                    lock = cls(path, descriptor)
                    descriptor = -1
                    return lock
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            if not taken and time.monotonic() >= deadline:
                return None
            if not taken:
                time.sleep(_POLL_SECONDS)

    def release(self, *, remove: bool = False) -> None:
        """Release the lock. Idempotent. With ``remove`` the file is removed first, while nobody else can lock it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if remove:
                with contextlib.suppress(OSError):
                    self.path.unlink()
        finally:
            os.close(descriptor)

    def leave_to_parent(self) -> None:
        """Close the descriptor in a forked child, which does not unlock the parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LockHolder(Protocol):
    """An object that holds the descriptor of a locked file."""

    def leave_to_parent(self) -> None:
        """Close the descriptor in a forked child, where the lock still belongs to the parent."""


_holders: weakref.WeakSet[LockHolder] = weakref.WeakSet()


def keep_from_children(holder: LockHolder) -> None:
    """Make ``holder`` close its descriptor in every forked child.

    flock belongs to the open file, which parent and child share. A descriptor left open in a child would keep the lock
    after the parent ends.
    """
    _holders.add(holder)


def _after_fork_in_child() -> None:
    for holder in list(_holders):
        holder.leave_to_parent()
    _holders.clear()


in_forked_child(_after_fork_in_child)


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return path.stat(follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
