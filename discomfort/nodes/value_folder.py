"""The values of clients that share no files with this server: in a folder of the process, by their digest.

A value that nobody used for a day goes. If there is no room for a new one, those go first that were not used for the
longest time, but none that was used in the last minutes. All of it happens in calls: there is no thread for it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .._system.descriptors import open_existing
from ..context.blobs import BLOB_FILE, read_blob, write_blob
from ..context.codecs import EncodedValue
from ..context.exchange import DIGEST, RemoteLimits
from ..exceptions import ConfigurationError, DamagedDataError, DiskFullError, StateError, UnsupportedValueError

_log = logging.getLogger("discomfort.nodes")

PIECE = 64 << 20
"""Bytes of one request: less than proxies commonly take."""
IDLE = 600.0
"""Seconds after which a file that is being written is given up."""

_PROTECTED = 300.0
"""Seconds in which a value that was used stays, even if there is no room for another one."""
_RESERVE = 256 << 20
"""Bytes of the disk that are left to others."""
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True)
class FolderLimits:
    """``largest`` and ``total`` are bytes, of one value and of all; ``lifetime`` is seconds without use."""

    largest: int = 4 << 30
    total: int = 16 << 30
    lifetime: float = 24 * 3600.0

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> FolderLimits:
        """As the variables say. Raises ConfigurationError."""
        total = _number(environment, "DISCOMFORT_VALUES_GB", 16)
        largest = _number(environment, "DISCOMFORT_LARGEST_VALUE_GB", min(4, total))
        hours = _number(environment, "DISCOMFORT_VALUES_HOURS", 24)
        return cls(int(largest * 1e9), int(total * 1e9), hours * 3600)

    @property
    def told(self) -> RemoteLimits:
        """What a client has to know."""
        return RemoteLimits(min(self.largest, self.total), PIECE)


class _Entry(NamedTuple):
    used: float
    size: int
    name: str


class ValueFolder:
    """A folder with values, which names and removes its files. Thread-safe."""

    def __init__(self, path: Path, limits: FolderLimits, clock: Callable[[], float] = time.time) -> None:
        self.path, self.limits, self.clock = path, limits, clock
        self._lock = threading.Lock()

    def has(self, digest: str) -> bool:
        """Whether the value is here; if so, it counts as used now. Raises DamagedDataError for another name."""
        return self._touch(_checked(digest), self.clock())

    def read(self, digest: str) -> memoryview:
        """The bytes of a value, as :func:`read_blob` has them. Raises StateError if it is not here, OSError."""
        try:
            data = read_blob(self.path / _checked(digest))
        except FileNotFoundError as error:
            raise StateError(
                f"the value {digest} is gone: nobody used it for {self.limits.lifetime / 3600:g} hours, or others "
                "needed its room; DISCOMFORT_VALUES_HOURS and DISCOMFORT_VALUES_GB of the server say how much there is"
            ) from error
        self.has(digest)
        return data

    def open(self, digest: str) -> BinaryIO:
        """A value's file, to be read and closed. Raises FileNotFoundError, OSError."""
        descriptor = open_existing(self.path / _checked(digest))
        self.has(digest)
        return os.fdopen(descriptor, "rb")

    def save(self, encoded: EncodedValue) -> str:
        """Store a value, and return its digest. Raises UnsupportedValueError, DiskFullError, OSError."""
        digest = hashlib.sha256()
        for piece in encoded.pieces():
            digest.update(piece)
        name = digest.hexdigest()
        if not self.has(name):
            self.make_room(encoded.size)
            try:
                written = write_blob(self.path, encoded.pieces(), encoded.size, reserved=False)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DiskFullError(self.path, "storing a value", number=error.errno or 0) from error
                raise
            self.adopt(written, name)
        return name

    def adopt(self, name: str, digest: str) -> None:
        """Make a complete file the value with this digest. Raises OSError."""
        (self.path / name).replace(self.path / _checked(digest))
        self.has(digest)

    def release(self, digest: str) -> None:
        """Let a value go as soon as its room is needed, because its client has it now."""
        self._touch(_checked(digest), self.clock() - _PROTECTED)

    def remove(self, digest: str) -> bool:
        """Remove a value; returns whether it was here. Raises OSError."""
        try:
            (self.path / _checked(digest)).unlink()
        except FileNotFoundError:
            return False
        return True

    def make_room(self, size: int, promised: int = 0) -> None:
        """Make room for a value of ``size`` bytes, beside ``promised`` bytes of others that are yet to come.

        Raises UnsupportedValueError if it is larger than any may be, DiskFullError if there is no room.
        """
        limits = self.limits
        if size > limits.told.largest:
            raise UnsupportedValueError(
                f"has {size / 1e6:.1f} MB, and this server takes {limits.told.largest / 1e6:.1f}",
                remedy="Set DISCOMFORT_LARGEST_VALUE_GB in its environment",
            )
        with self._lock:
            entries = sorted(self._entries())
            over = sum(entry.size for entry in entries) + promised + size - limits.total
            short = size + promised + _RESERVE - shutil.disk_usage(self.path).free
            for entry in entries:
                if max(over, short) <= 0 or entry.used > self.clock() - _PROTECTED or not DIGEST.fullmatch(entry.name):
                    continue
                self._unlink(entry.name)
                over, short = over - entry.size, short - entry.size
        if short > 0:
            raise DiskFullError(self.path, "storing a value")
        if over > 0:
            raise DiskFullError(
                self.path, f"all values may have {limits.total / 1e9:g} GB", number=errno.EDQUOT,
                remedy="Set DISCOMFORT_VALUES_GB in the environment of the server, or send less at once",
            )  # fmt: skip

    def expire(self) -> None:
        """Remove what nobody used for a long time, and what was never finished."""
        now = self.clock()
        with self._lock:
            for entry in self._entries():
                age = now - entry.used
                if age > (self.limits.lifetime if DIGEST.fullmatch(entry.name) else IDLE):
                    self._unlink(entry.name)

    def usage(self) -> tuple[int, int]:
        """How many values there are, and their bytes."""
        sizes = [entry.size for entry in self._entries() if DIGEST.fullmatch(entry.name)]
        return len(sizes), sum(sizes)

    def _entries(self) -> Iterator[_Entry]:
        with os.scandir(self.path) as found:
            for each in found:
                if DIGEST.fullmatch(each.name) or BLOB_FILE.fullmatch(each.name):
                    with contextlib.suppress(FileNotFoundError):
                        status = each.stat(follow_symlinks=False)
                        yield _Entry(status.st_mtime, status.st_size, each.name)

    def _touch(self, digest: str, moment: float) -> bool:
        try:
            os.utime(self.path / digest, (moment, moment))
        except FileNotFoundError:
            return False
        return True

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.path / name).unlink()


def _checked(digest: object) -> str:
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise DamagedDataError(f"{str(digest)[:80]!r} is not the digest of a value")
    return digest


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or ""
    if not text:
        return default
    if not _NUMBER.fullmatch(text) or not float(text):
        raise ConfigurationError("must be a number above 0", key=name, value=text, source="the environment")
    return float(text)
