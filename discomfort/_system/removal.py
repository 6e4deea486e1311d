"""Removes files and folders without following symlinks. Standard library only."""

# ruff: noqa: PTH208 - pathlib has no listing of an open folder
from __future__ import annotations

import os
import stat
import time

from discomfort._system.descriptors import open_existing, open_folder

_GONE = 1.0
"""Seconds in which a folder must be gone that processes may still write to, which were killed a moment ago."""

_DEEPEST = 200
"""Maximum depth of nested folders; anything deeper is not removed."""


def remove_tree(folder: str | os.PathLike[str]) -> None:
    """Remove a folder with everything in it, again if something is written to it meanwhile. Never raises; blocking."""
    import shutil  # imported here to keep the watchdog's start fast

    deadline = time.monotonic() + _GONE
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder) or time.monotonic() > deadline:
            return
        time.sleep(0.02)


def remove_below(
    root: str, parts: list[str], *, inode: int = 0, only_empty: bool = False, only_unlocked: bool = False
) -> None:
    """Remove ``root/parts``, a folder with everything in it. Entries that cannot be removed stay. Raises OSError.

    With ``inode``, only if it is still that file. With ``only_empty``, a folder that is not empty stays, and with
    ``only_unlocked``, a file that another process has locked.
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
        return  # Another file took its place, which is not ours.
    if only_empty:
        os.rmdir(name, dir_fd=folder)
    else:
        _remove(folder, name, depth=0)


def _remove_unlocked(folder: int, name: str, inode: int) -> None:
    from discomfort._system.locks import try_lock  # imported here to keep the watchdog's start fast

    lock = open_existing(name, writable=True, within=folder)
    try:
        # While we hold the lock, no other process can take the file.
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
        # A file system mounted inside is not part of what was registered.
        if os.fstat(inner).st_dev == os.fstat(folder).st_dev:
            for child in os.listdir(inner):
                try:
                    _remove(inner, child, depth + 1)
                except OSError:
                    continue  # The rest is still removed, but the folder itself stays.
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
