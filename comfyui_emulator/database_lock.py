"""The lock of the database that ``--database-url`` names.

The emulator has no database. It takes the lock that ComfyUI takes (0.17 and newer), so that a program which starts two
servers on one database gets the same message.
"""

from __future__ import annotations

import os
from pathlib import Path

from comfyui_emulator.temporary import try_lock

_IN_MEMORY = ("sqlite:///:memory:", "sqlite://")


class DatabaseLockError(RuntimeError):
    """The database cannot be used; the text is what ComfyUI logs."""


class DatabaseLock:
    """Holds ``PATH.lock`` from :meth:`take` to :meth:`release`; the system releases it if the process dies."""

    def __init__(self) -> None:
        self._descriptor = -1

    def take(self, url: str) -> None:
        """Take the lock of that database; one in memory has none. Raises :class:`DatabaseLockError`."""
        if url in _IN_MEMORY:
            return
        if not url.startswith("sqlite:///"):
            raise DatabaseLockError(f"Unsupported database URL '{url}'.")
        path = url.removeprefix("sqlite:///")
        try:
            self._descriptor = try_lock(Path(f"{path}.lock"))
        except OSError as error:
            raise DatabaseLockError(f"unable to open database file: {error}") from error
        if self._descriptor < 0:
            raise DatabaseLockError(
                f"Could not acquire lock on database '{path}'. Another ComfyUI process may already be using it. "
                "Use --database-url to specify a separate database file."
            )

    def release(self) -> None:
        """Release the lock; its file stays, as ComfyUI's does. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
