"""Digests of stored values: BLAKE3 of their content, so that equal values have equal ones.

Every picture that goes to a server is digested, so the time matters. BLAKE3 takes 0.2 ms per MB on one core, what
``hashlib`` has about 1 ms. A hash that is faster still, but not made to withstand people, is of no use: whoever can
make two pictures with one digest gets the result of the one for the other from the server's cache.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from blake3 import blake3

from discomfort._system.descriptors import write_all

PIECE = 1 << 20
"""Bytes that are written and digested at a time; a multiple of every system's pages."""


def content_hash(data: bytes | memoryview) -> str:
    """The digest of these bytes, 64 hex digits."""
    return blake3(data).hexdigest()


def write_digested(descriptor: int, pieces: Iterable[bytes | memoryview]) -> str:
    """Write pieces to an empty open file; returns what :func:`content_hash` gives for all of them. Raises OSError.

    A second thread digests what stands in the file, mapped, while the next piece is written. So the digest is that of
    the file, whoever changes the given bytes meanwhile, and nothing is copied for that.
    """
    found, end, digested = blake3(), 0, 0
    windows: list[Future[None]] = []
    with ThreadPoolExecutor(1, "discomfort-digest") as follower:
        for part in _parts(pieces):
            write_all(descriptor, part)
            end += len(part)
            while end - digested >= PIECE:
                windows.append(follower.submit(_digest, found, descriptor, digested, PIECE))
                digested += PIECE
        for window in windows:
            window.result()
    if end > digested:
        _digest(found, descriptor, digested, end - digested)
    return found.hexdigest()


def _parts(pieces: Iterable[bytes | memoryview]) -> Iterable[memoryview]:
    """The pieces, none longer than ``PIECE``."""
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]


def _digest(found: blake3, descriptor: int, start: int, length: int) -> None:
    with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=start) as window:
        found.update(window)
