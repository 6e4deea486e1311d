"""Digests of files, of the kinds by which models are known."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from discomfort.planning.needs import FileDigest

_PIECE = 1 << 20


class Digesting(Protocol):
    """A digest that is being made."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in small hex digits."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def begin_digest(wanted: FileDigest) -> Digesting:
    """A digest of that kind, of no bytes yet."""
    if wanted.algorithm == "crc32":
        return _Crc32()
    if wanted.algorithm == "blake3":
        return blake3()
    # They find damage. People can make two files with one md5 or sha1, so neither is relied upon against them.
    return hashlib.new(wanted.algorithm, usedforsecurity=False)


def has_digest(path: Path, wanted: FileDigest) -> bool:
    """Whether a file has that digest. Blocking, for as long as it takes to read the file. Raises OSError."""
    made = begin_digest(wanted)
    buffer = bytearray(_PIECE)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            made.update(view[:count])
    return made.hexdigest() == wanted.digits.lower()
