"""Sockets in the file system, by which processes of one machine talk; their folders may have long paths."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from discomfort._system.descriptors import open_folder

_BACKLOG = 8
_OPEN_FILES = Path("/proc/self/fd")


def listen(folder: Path, name: str) -> socket.socket:
    """A socket of this name that takes connections. Raises OSError, also where the system has none."""
    with _short_path(folder, name) as path:
        made = _new()
        try:
            made.bind(path)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made


def read_all(folder: Path, name: str, *, seconds: float, limit: int) -> bytes:
    """Connect, and read what the other process says until it ends. Blocking; each step takes ``seconds`` at most.

    Raises OSError, also TimeoutError, and if it says more than ``limit`` bytes.
    """
    with _short_path(folder, name) as path, _new() as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        found = bytearray()
        while block := connection.recv(1 << 16):
            found += block
            if len(found) > limit:
                raise OSError(f"the answer of {folder / name} is longer than {limit} bytes")
        return bytes(found)


def _new() -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no sockets in the file system")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


@contextmanager
def _short_path(folder: Path, name: str) -> Iterator[str]:
    """The path of a socket, through the open folder: paths of sockets have 107 bytes at most."""
    descriptor = open_folder(folder)
    try:
        yield str(_OPEN_FILES / str(descriptor) / name if _OPEN_FILES.is_dir() else folder / name)
    finally:
        os.close(descriptor)
