"""Digests of stored values: of their content, so that equal values have equal ones. Long values use several cores."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from discomfort._system.forks import in_forked_child

PIECE = 1 << 20
"""Bytes that one thread digests at a time. It is part of what the digest is of, so it never changes."""
IS_FOLLOWED = hasattr(os, "preadv")
"""Whether this system lets :class:`FileDigest` read a file at any place."""
_THREADS = 8

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()
_of_thread = threading.local()


def content_hash(data: bytes | memoryview) -> str:
    """The digest of these bytes, 64 hex digits: BLAKE2b, of the digests of pieces if they are long. About 1 ms per MB,
    divided by the number of cores.
    """
    view = memoryview(data)
    if len(view) <= PIECE:
        return hashlib.blake2b(view, digest_size=32).hexdigest()
    # Another key, so that no short value has the digest of a long one.
    return _whole(len(view), _threads().map(_digest, [view[at : at + PIECE] for at in range(0, len(view), PIECE)]))


class FileDigest:
    """The digest of a file while it is written: other threads read back what is there, so that it takes no time."""

    def __init__(self, size: int) -> None:
        """``size`` is that of the whole file, more than :data:`PIECE`."""
        self._size, self._at = size, 0
        self._pieces: list[Future[bytes]] = []

    def written(self, descriptor: int, end: int) -> None:
        """Begin with what the open file has up to ``end``."""
        while self._at < end and (self._at + PIECE <= end or end == self._size):
            length = min(PIECE, self._size - self._at)
            self._pieces.append(_threads().submit(_digest_in, descriptor, self._at, length))
            self._at += length

    def wait(self) -> None:
        """Wait until the file is not needed any more. Never raises."""
        wait(self._pieces)

    def result(self) -> str:
        """What :func:`content_hash` gives for the whole file. Raises OSError."""
        return _whole(self._size, (piece.result() for piece in self._pieces))


def _whole(size: int, pieces: Iterable[bytes]) -> str:
    found = hashlib.blake2b(size.to_bytes(8, "big"), digest_size=32, key=b"pieces")
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def _digest_in(descriptor: int, at: int, length: int) -> bytes:
    # A buffer for each thread: new memory for each piece takes as long as to copy it.
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = bytearray(PIECE)
    piece = memoryview(_of_thread.buffer)[:length]
    if os.preadv(descriptor, [piece], at) != length:
        raise OSError(errno.EIO, f"has no {length} bytes at {at}")
    return _digest(piece)


def _digest(piece: memoryview) -> bytes:
    # Not sha256: without instructions of its own, which many machines lack, it is three times as slow.
    return hashlib.blake2b(piece, digest_size=32).digest()


def _threads() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - one pool for the process
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), "discomfort-digest")
        return _pool


def _after_fork_in_child() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


in_forked_child(_after_fork_in_child)
