"""Removes files and folders without following symlinks. Standard library only."""

# ruff: noqa: PTH208 - pathlib has no listing of an open folder
from __future__ import annotations

import os
import stat
import time

from discomfort._system.descriptors import open_existing, open_folder

OWNER_FILE = "owner"
"""The file in a claimed folder that says whose it is; its owner holds a lock on it."""

_LONGEST_OWNER = 4096
_UNLOCKED = 2.0
"""Seconds in which the lock of a killed process must be free: a child may have a copy of it until it runs a program."""
_POLL = 0.02

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


def remove_claimed(root: str, parts: list[str], hidden: str, owner: str) -> None:
    """Remove the claimed folder ``root/parts`` if its owner file still has the text ``owner``, as no other one has.

    ``hidden`` is the name, in the same folder, that it has while it is made or removed. The folders above it, below
    ``root``, are removed if they are empty then. Waits up to 2 s for the lock of the owner. Raises OSError.
    """
    if not root.startswith("/") or any(p in ("", ".", "..") or "/" in p or "\0" in p for p in (*parts, hidden)):
        return
    opened = [open_folder(root)]
    try:
        for part in parts[:-1]:
            opened.append(open_folder(part, within=opened[-1]))
        _hide_claimed(opened[-1], parts[-1], hidden, owner.encode())
        _remove_twice(opened[-1], hidden)
        for above, name in zip(opened[-2::-1], parts[-2::-1]):  # noqa: B905 - as many of both
            os.rmdir(name, dir_fd=above)
    finally:
        for folder in opened:
            os.close(folder)


def _hide_claimed(folder: int, name: str, hidden: str, owner: bytes) -> None:
    """Rename a claimed folder before it is removed, unless it is another one by now, or was renamed already."""
    inner = lock = -1
    try:
        inner = open_folder(name, within=folder)
        lock = open_existing(OWNER_FILE, writable=True, within=inner)
        # While we hold the lock, no other process removes the folder, nor makes another one of that name.
        if _locked(lock) and os.read(lock, _LONGEST_OWNER) == owner:
            at, held = os.stat(f"{name}/{OWNER_FILE}", dir_fd=folder), os.fstat(lock)
            if (at.st_dev, at.st_ino) == (held.st_dev, held.st_ino):
                os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        return
    finally:
        for descriptor in (lock, inner):
            if descriptor >= 0:
                os.close(descriptor)


def _locked(descriptor: int) -> bool:
    from discomfort._system.locks import try_lock  # imported here to keep the watchdog's start fast

    deadline = time.monotonic() + _UNLOCKED
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _remove_twice(folder: int, name: str) -> None:
    """Remove a folder if it is there; again if something was written to it meanwhile."""
    for _ in range(2):
        try:
            _remove(folder, name, depth=0)
        except FileNotFoundError:
            return
        except OSError:
            continue


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
