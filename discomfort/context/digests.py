"""Digests of stored values: of their content, so that equal values have equal ones. Long values use several cores."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

from discomfort._system.forks import in_forked_child

PIECE = 1 << 20
"""Bytes that one thread digests at a time. It is part of what the digest is of, so it never changes."""
CAN_WRITE = hasattr(os, "pwrite")
"""Whether this system has what :func:`write_digested` needs."""
_THREADS = 8
_MOST_UNDER_WAY = 2 * _THREADS

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


def write_digested(descriptor: int, pieces: Iterable[bytes | memoryview], size: int) -> str:
    """Write ``size`` bytes, more than :data:`PIECE`, to an open file; returns what :func:`content_hash` gives for it.

    Each piece is copied once more, so that what is digested is what is written, whoever changes the given bytes
    meanwhile. All threads share the work. Raises OSError; then no thread uses the file any more.
    """
    digests: list[bytes] = []
    under_way: deque[Future[bytes]] = deque()
    at = 0
    try:
        for parts in _pieces_of_file(pieces):
            # Not more, since the parts of an array whose items do not lie in order are copies.
            if len(under_way) > _MOST_UNDER_WAY:
                digests.append(under_way.popleft().result())
            under_way.append(_threads().submit(_put, descriptor, parts, at))
            at += sum(map(len, parts))
        return _whole(size, [*digests, *(each.result() for each in under_way)])
    finally:
        wait(under_way)


def _pieces_of_file(pieces: Iterable[bytes | memoryview]) -> Iterator[list[memoryview]]:
    """The same bytes as the parts of each piece of the file."""
    parts, room = list[memoryview](), PIECE
    for piece in pieces:
        view = memoryview(piece)
        while view:
            parts.append(view[:room])
            view, room = view[room:], room - len(parts[-1])
            if not room:
                yield parts
                parts, room = [], PIECE
    if parts:
        yield parts


def _put(descriptor: int, parts: list[memoryview], at: int) -> bytes:
    # A buffer for each thread: new memory for each piece takes as long as to copy it.
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = memoryview(bytearray(PIECE))
    end = 0
    for part in parts:
        _of_thread.buffer[end : end + len(part)] = part
        end += len(part)
    piece = _of_thread.buffer[:end]
    done = 0
    while done < end:
        done += os.pwrite(descriptor, piece[done:], at + done)
    return _digest(piece)


def _whole(size: int, pieces: Iterable[bytes]) -> str:
    found = hashlib.blake2b(size.to_bytes(8, "big"), digest_size=32, key=b"pieces")
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


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
