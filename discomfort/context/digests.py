"""Digests of stored values: of their content, so that equal values have equal ones. Long values use several cores."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from discomfort._system.forks import in_forked_child

_PIECE = 1 << 20
"""Bytes that one thread digests at a time. It is part of what the digest is of, so it never changes."""
_THREADS = 8

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def content_hash(data: bytes | memoryview) -> str:
    """The digest of these bytes, 64 hex digits: BLAKE2b, of the digests of pieces if they are long. About 1 ms per MB,
    divided by the number of cores.
    """
    view = memoryview(data)
    if len(view) <= _PIECE:
        return hashlib.blake2b(view, digest_size=32).hexdigest()
    # Another key, so that no short value has the digest of a long one.
    whole = hashlib.blake2b(len(view).to_bytes(8, "big"), digest_size=32, key=b"pieces")
    for piece in _threads().map(_digest, [view[at : at + _PIECE] for at in range(0, len(view), _PIECE)]):
        whole.update(piece)
    return whole.hexdigest()


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
