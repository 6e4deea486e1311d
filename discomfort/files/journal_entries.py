"""The entries of a journal: how a line describes a file, what a journal's lines add up to, and how one is removed."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from discomfort import _json
from discomfort._system.user import is_ours
from discomfort.exceptions import UploadError
from discomfort.files.places import is_folder, open_place, stat_in

logger: logging.Logger = logging.getLogger("discomfort.files")

Outcome = Literal["removed", "missing", "kept"]

PARTIAL = re.compile(r"\.discomfort-[0-9a-f]{32}\.part")
"""Names of files that are still being copied, random enough to be identified as ours by name alone."""

PRIVATE = re.compile(r"discomfort-(?:[a-z0-9_]{8}|[0-9a-f]{12})")
"""Names of folders of one server or browser: equally random, and other users cannot enter them (mode 0700)."""

_LONGEST_LINE = 1 << 20
"""Bytes per line; longer ones are damaged, since paths on Linux have 4,096 bytes at most."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A file or folder to delete. ``root`` is a real path, ``path`` is inside it.

    ``inode``, ``size`` (bytes) and ``mtime_ns`` distinguish our file from one that replaced it; folders have only the
    inode, files that are still being copied only their name. A ``private`` folder is deleted with all its contents.
    """

    kind: Literal["file", "folder", "partial", "private"]
    root: Path
    path: Path
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0


def entry_record(entry: JournalEntry) -> dict[str, Any]:
    """The line that adds an entry, as JSON."""
    return {
        "op": "add",
        "kind": entry.kind,
        "root": str(entry.root),
        "path": str(entry.path),
        "inode": entry.inode,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
    }


def read_entries(path: Path, fd: int) -> Iterator[JournalEntry]:
    """The entries of an open journal that were added and not dropped, oldest first. Damaged lines are logged."""
    entries: dict[Path, JournalEntry] = {}
    bad = 0
    with os.fdopen(os.dup(fd), "rb") as lines:
        for line in iter(lambda: lines.readline(_LONGEST_LINE), b""):
            if not line.strip():
                continue
            try:
                _apply(_json.loads(line), entries)
            except (ValueError, TypeError, KeyError, RecursionError):
                bad += 1
    if bad:
        logger.warning("the journal %s has %d damaged lines; they are ignored", path, bad)
    yield from entries.values()


def _apply(record: Any, entries: dict[Path, JournalEntry]) -> None:
    path = Path(record["path"])
    if record["op"] == "drop":
        entries.pop(path, None)
        return
    root, kind = Path(record["root"]), record["kind"]
    numbers = [record["inode"], record["size"], record["mtime_ns"]]
    if record["op"] != "add" or kind not in {"file", "folder", "partial", "private"} or "\0" in f"{root}{path}":
        raise ValueError("not a line of ours")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ValueError("not a line of ours")
    entries.pop(path, None)
    entries[path] = JournalEntry(kind, root, path, *numbers)


def remove_entry(entry: JournalEntry) -> Outcome:
    """Delete what an entry describes, if that is still what is there.

    ``"kept"``: a file that was changed or replaced since, or a folder that is not empty. Raises ``OSError``.
    """
    # The entry may come from a damaged or forged journal: a path outside its root, or a root of "/", is never touched.
    root, path = entry.root, entry.path
    if not root.is_absolute() or len(root.parts) < 2 or ".." in path.parts or not path.is_relative_to(root):
        return "kept"
    parts = path.relative_to(root).parts
    if not parts:
        return "kept"
    try:
        with open_place(root, parts[:-1]) as place:
            # A symlink on the way: this is not the folder that the entry was made for.
            if place.path != path.parent:
                return "kept"
            status = stat_in(path.name, place.fd)
            if status is None:
                return "missing"
            return _unlink(entry, status, place.fd) if _is_same(entry, status) else "kept"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except UploadError:
        return "kept"


def _unlink(entry: JournalEntry, status: os.stat_result, folder: int) -> Outcome:
    if not is_folder(status):
        os.unlink(entry.path.name, dir_fd=folder)
        return "removed"
    if entry.kind == "private":
        shutil.rmtree(entry.path.name, dir_fd=folder)
        return "removed"
    try:
        os.rmdir(entry.path.name, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return "kept"
        raise
    return "removed"


def _is_same(entry: JournalEntry, status: os.stat_result) -> bool:
    if entry.kind == "folder":
        return is_folder(status) and status.st_ino == entry.inode
    if entry.kind == "private":
        is_own = is_folder(status) and is_ours(status) and stat.S_IMODE(status.st_mode) == 0o700
        return is_own and PRIVATE.fullmatch(entry.path.name) is not None
    if not stat.S_ISREG(status.st_mode):
        return False
    if entry.kind == "partial":
        return PARTIAL.fullmatch(entry.path.name) is not None
    return (status.st_ino, status.st_size, status.st_mtime_ns) == (entry.inode, entry.size, entry.mtime_ns)
