"""Encoded values in files of their own, which never change: written once, mapped by readers, in the end unlinked.

A file gets its name when it is complete. The name is random, so only those who were given it can open the file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import secrets
import stat
import sys
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from .._system.descriptors import create, open_existing, write_all
from ..exceptions import DamagedDataError

NAME = re.compile(r"[0-9a-f]{32}")
"""The name of a file with a value."""

_PART = ".part"
BLOB_FILE = re.compile(NAME.pattern + r"(\.part)?")
"""The same, or that of one which is being written."""
_MAPPED_FROM = 64 << 10
"""Bytes from which a file is mapped rather than read."""
_MOST_MAPPINGS = 256
"""Each mapping keeps a descriptor open before Python 3.13, and a process may have few of them."""
_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def write_blob(
    folder: Path | int,
    pieces: Iterable[bytes | memoryview],
    size: int,
    *,
    reserved: bool,
    prefix: str = "",
    write: Callable[[int, Iterable[bytes | memoryview]], None] | None = None,
) -> str:
    """Write a new file of ``size`` bytes into ``folder``, a path or the descriptor of an open one; returns its name.

    The name begins with ``prefix``, at most 16 hex digits, by which the files of one run can be found. With
    ``reserved`` its space is taken before anything is written, so that a full file system in memory is an error here,
    instead of a signal where the file is mapped. ``write`` writes the pieces to the open file in its own way. Raises
    OSError; then nothing is left.
    """
    name = prefix + secrets.token_hex(16)[len(prefix) :]
    within = folder if isinstance(folder, int) else None
    place = Path() if isinstance(folder, int) else folder
    temporary = place / (name + _PART)
    descriptor = create(temporary, 0o600, within=within)
    try:
        try:
            if reserved and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            (write or _write_plain)(descriptor, pieces)
        finally:
            os.close(descriptor)
        os.replace(temporary, place / name, src_dir_fd=within, dst_dir_fd=within)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=within)
        raise
    return name


def _write_plain(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    for piece in pieces:
        write_all(descriptor, piece)


def read_blob(path: Path, *, within: int | None = None) -> memoryview:
    """The bytes of a file: a mapping that is private to this process, so that they can be changed, or a copy.

    ``path`` is a name if ``within`` is the descriptor of an open folder. A mapping stays valid when the file is
    replaced or removed. Raises OSError, and DamagedDataError for anything but a regular file.
    """
    descriptor = open_existing(path, within=within)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedDataError("is not a regular file", source=path)
        if status.st_size >= _MAPPED_FROM and (_MAPS_WITHOUT_DESCRIPTOR or len(_mappings) < _MOST_MAPPINGS):
            return memoryview(_mapped(descriptor, status.st_size))
        return memoryview(_read(descriptor, status.st_size, path))
    finally:
        os.close(descriptor)


_MAPS_WITHOUT_DESCRIPTOR = sys.version_info >= (3, 13)


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY, trackfd=False)
    mapping = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    _mappings.add(mapping)
    return mapping


def _read(descriptor: int, size: int, path: Path) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        chunk = os.read(descriptor, min(size - done, 1 << 24))
        if not chunk:
            raise DamagedDataError(f"has {done} of {size} bytes", source=path)
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    return data
