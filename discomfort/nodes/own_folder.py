"""A folder of ComfyUI's process for the values of its clients, which a later process removes if this one is killed."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from .._system import locks
from .._system.user import is_ours

_PREFIX, _OWNER = "discomfort-values-", "owner"


class OwnFolder:
    """A new private folder among the temporary files. Its owner file stays locked as long as this process lives."""

    def __init__(self) -> None:
        """Raises OSError."""
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._pid = os.getpid()
        self._lock: locks.FileLock | None = None
        if locks.AVAILABLE:
            # It gets its name when it is locked, so that nobody takes the folder for an abandoned one.
            lock = locks.FileLock.take(self.path / f"{_OWNER}-{secrets.token_hex(4)}")
            if lock is not None:
                lock.path.replace(self.path / _OWNER)
                self._lock = lock

    def close(self) -> None:
        """Remove it. Safe to call twice. Does nothing in a forked child."""
        if os.getpid() == self._pid:
            shutil.rmtree(self.path, ignore_errors=True)
            if self._lock is not None:
                self._lock.release()


def remove_abandoned_folders() -> None:
    """Remove the folders of this user's processes that have ended. Never raises."""
    if not locks.AVAILABLE:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            status = path.stat(follow_symlinks=False)
            owner = path / _OWNER
            if not stat.S_ISDIR(status.st_mode) or not is_ours(status) or not owner.exists():
                continue
            lock = locks.FileLock.take(owner)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                lock.release()
        except OSError:  # another process removes it, too
            continue
