"""Removes one file or folder below a root, following no symlink on the way. Standard library only."""

# ruff: noqa: PTH208 - pathlib has no listing of an open folder
from __future__ import annotations

import os
import stat

from discomfort._system.descriptors import open_existing, open_folder

_DEEPEST = 200
"""Folders in each other; what lies deeper stays."""


def remove_below(
    root: str, parts: list[str], *, inode: int = 0, only_empty: bool = False, only_unlocked: bool = False
) -> None:
    """Remove ``root/parts``, a folder with all that is in it; what cannot be removed stays. Raises OSError.

    With ``inode`` only if it still is that file; with ``only_empty`` a folder that others use stays, with
    ``only_unlocked`` a file that another process has locked.
    """
    if not root.startswith("/") or not parts or any(p in ("", ".", "..") or "/" in p or "\0" in p for p in parts):
        return
    folder = open_folder(root)
    try:
        for part in parts[:-1]:
            inner = open_folder(part, within=folder)
            os.close(folder)
            folder = inner
        if only_unlocked:
            _remove_unlocked(folder, parts[-1], inode)
        else:
            _remove_registered(folder, parts[-1], inode, only_empty)
    finally:
        os.close(folder)


def _remove_registered(folder: int, name: str, inode: int, only_empty: bool) -> None:
    if inode and os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino != inode:
        return  # Somebody put another file in its place: that one is not ours.
    if only_empty:
        os.rmdir(name, dir_fd=folder)
    else:
        _remove(folder, name, depth=0)


def _remove_unlocked(folder: int, name: str, inode: int) -> None:
    from discomfort._system.locks import try_lock  # what it imports would slow the watchdog's start

    lock = open_existing(name, writable=True, within=folder)
    try:
        # While it is ours, nobody can take it to be theirs.
        if try_lock(lock) and os.fstat(lock).st_ino == inode:
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(lock)


def _remove(folder: int, name: str, depth: int) -> None:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if depth > _DEEPEST:
        return
    inner = open_folder(name, within=folder)
    try:
        # Another file system mounted in there is not what was registered.
        if os.fstat(inner).st_dev == os.fstat(folder).st_dev:
            for child in os.listdir(inner):
                try:
                    _remove(inner, child, depth + 1)
                except OSError:
                    continue  # The rest is still removed; the folder itself then stays.
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
