"""File and folder descriptors opened safely: links are not followed, pipes do not block, children inherit nothing.

With ``within``, the descriptor of an open folder, a path is a single name in that folder. Standard library only.
"""

from __future__ import annotations

import os

# A system without one of these flags does not need it: it owns no servers and opens no folders by descriptor.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_NO_CHILD = getattr(os, "O_CLOEXEC", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_AS_IT_IS = getattr(os, "O_BINARY", 0)

AnyPath = str | os.PathLike[str]


def open_folder(path: AnyPath, *, within: int | None = None) -> int:
    """Open a folder, refusing links. Raises OSError."""
    return os.open(path, os.O_RDONLY | _FOLDER | _NO_LINK | _NO_CHILD, dir_fd=within)


def open_existing(
    path: AnyPath, *, writable: bool = False, follow_links: bool = False, within: int | None = None
) -> int:
    """Open an existing file for reading, or for reading and writing. Raises OSError."""
    access = os.O_RDWR if writable else os.O_RDONLY
    flags = access | (0 if follow_links else _NO_LINK) | _NO_WAIT | _NO_CHILD | _AS_IT_IS
    return os.open(path, flags, dir_fd=within)


def open_or_create(path: AnyPath, mode: int, *, append: bool = False) -> int:
    """Open a file for reading and writing, creating it if it is missing. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | _NO_LINK | _NO_WAIT | _NO_CHILD | _AS_IT_IS
    return os.open(path, flags | (os.O_APPEND if append else 0), mode)


def create(path: AnyPath, mode: int, *, append: bool = False, within: int | None = None) -> int:
    """Create a new file for reading and writing. Raises FileExistsError, OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _NO_CHILD | _AS_IT_IS
    return os.open(path, flags | (os.O_APPEND if append else 0), mode, dir_fd=within)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of ``data``, even if one system call writes only part of it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(path: AnyPath) -> None:
    """Make new names in a folder survive a power failure. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | _FOLDER | _NO_CHILD)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
