"""Locks of the operating system on files (flock): the kernel gives them back with the process that held them."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import weakref
from pathlib import Path
from typing import Protocol

from discomfort._system.descriptors import open_or_create
from discomfort._system.forks import in_forked_child

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
"""Whether this system has such locks at all."""

_POLL_SECONDS = 0.05


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; ``False`` where another process, or descriptor, holds it.

    Raises OSError where the file system, or the system, has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no flock")
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FileLock:
    """The exclusive lock of the file at ``path``, held from :meth:`take` to :meth:`release`.

    It stays with the process that took it: a forked child has no part in it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self.inode = os.fstat(descriptor).st_ino
        keep_from_children(self)

    @classmethod
    def take(cls, path: Path, *, timeout: float = 0.0) -> FileLock | None:
        """The lock, its file made where it is missing; ``None`` where another holds it for ``timeout`` seconds.

        Blocking. Raises OSError where the file cannot be made, or where there are no locks.
        """
        deadline = time.monotonic() + timeout
        while True:
            descriptor = open_or_create(path, 0o600)
            try:
                taken = try_lock(descriptor)
                # Whoever held it may have removed the file: then this is the lock of a file that nobody finds.
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
        """Give it back. Idempotent. With ``remove`` the file goes first, while it can be nobody else's."""
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
        """In a forked child: close its copy of the descriptor, which does not unlock the parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LockHolder(Protocol):
    """Something with the descriptor of a locked file."""

    def leave_to_parent(self) -> None:
        """Close the descriptor: this is a forked child, and the lock its parent's."""


_holders: weakref.WeakSet[LockHolder] = weakref.WeakSet()


def keep_from_children(holder: LockHolder) -> None:
    """Have ``holder`` close its descriptor in every forked child.

    flock belongs to the open file, which parent and child share: a copy left open in a child that lives on would hold
    the lock after the parent's end.
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
