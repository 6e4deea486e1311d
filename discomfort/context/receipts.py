"""The file ``receipts.json`` of a context: what is stored where, for every process that has the context open.

It is one JSON object whose last key, ``changes``, grows at its end, a line for each change. So a save costs the same
however much is stored, and readers read only what is new. A lock on the file keeps writers and readers apart. The owner
of the context writes the file again, shorter, when most of its lines are obsolete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from discomfort._system import locks
from discomfort._system.descriptors import create, open_existing, write_all
from discomfort.exceptions import DamagedDataError, StateError

Change = dict[str, Any]

FILENAME = "receipts.json"
FORMAT = 1
_END = b"]}\n"
_LOCK_SECONDS = 10.0
_COMPACT_FROM = 1 << 20
"""Bytes from which the file is written again if it is more than four times as long as necessary."""


class Receipts:
    """The open file. For one thread at a time."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._name = str(path)
        # Until where it was read, and how it looked then.
        self._at, self._seen = 0, (-1, -1, -1)
        self._compact_at = _COMPACT_FROM
        locks.keep_from_children(self)

    @classmethod
    def create(cls, folder: Path, run_id: str) -> Receipts:
        """Make the file of a new context. Raises OSError."""
        path = folder / FILENAME
        descriptor = create(path, 0o600)
        try:
            length = _begin(descriptor, run_id, {})
        except BaseException:
            os.close(descriptor)
            raise
        receipts = cls(path, descriptor)
        receipts._at = length
        receipts._look()
        return receipts

    @classmethod
    def open(cls, folder: Path) -> Receipts:
        """Open the file of a context that exists. Raises FileNotFoundError, OSError."""
        return cls(folder / FILENAME, open_existing(folder / FILENAME, writable=True))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def leave_to_parent(self) -> None:
        """In a forked child: close the descriptor, since a lock through it would be the parent's."""
        self.close()

    def changed(self) -> bool:
        """Whether there may be news. Raises FileNotFoundError if the context is gone."""
        return self._descriptor < 0 or self._look_by_name() != self._seen

    def news(self) -> tuple[bool, list[Change]]:
        """The changes since the last call; true first if they replace everything that was known.

        Call it with the lock held. Raises DamagedDataError.
        """
        starts_again = self._at == 0
        data = self._read(self._at, os.fstat(self._descriptor).st_size - self._at)
        lines = data.split(b"\n")
        # The last line is the end of the object, or what a killed writer left.
        whole = [line for line in lines[:-1] if line[:1] in (b"{", b",")]
        self._at += sum(len(line) + 1 for line in whole)
        self._look()
        try:
            changes = [orjson.loads(line[1:]) for line in whole if line[:1] == b","]
            if starts_again:
                changes = [_first_change(whole[0]), *changes]
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise DamagedDataError(f"is not an index of ours: {error}", source=self.path) from error
        return starts_again, changes

    def read_again(self) -> None:
        """Make the next :meth:`news` give everything."""
        self._at, self._seen = 0, (-1, -1, -1)

    def append(self, change: Change) -> None:
        """Write a change at the end. Call it with the lock held, after :meth:`news`. Raises OSError."""
        line = b"," + orjson.dumps(change) + b"\n"
        os.lseek(self._descriptor, self._at, os.SEEK_SET)
        try:
            write_all(self._descriptor, line + _END)
        except BaseException:
            # A full disk: what was written of the line must not count.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._at)
                os.lseek(self._descriptor, self._at, os.SEEK_SET)
                write_all(self._descriptor, _END)
            raise
        self._at += len(line)
        end = self._at + len(_END)
        if self._seen[1] > end:  # a killed writer left more than that
            os.ftruncate(self._descriptor, end)
        self._look()

    def may_shrink(self) -> bool:
        """Whether the file is so long that :meth:`shrink` may be worth it."""
        return self._at >= self._compact_at

    def shrink(self, run_id: str, change: Change) -> None:
        """Write the file again with everything in one change. For the owner, with the lock held. Raises OSError."""
        temporary = self.path.with_name(f".{FILENAME}-{secrets.token_hex(4)}")
        descriptor = create(temporary, 0o600)
        try:
            # Others may wait for the lock of the old file. They see then that it is no longer the one of that name.
            length = _begin(descriptor, run_id, change)
            temporary.replace(self.path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        old, self._descriptor, self._at = self._descriptor, descriptor, length
        os.close(old)
        self._look()
        self._compact_at = max(_COMPACT_FROM, 4 * self._at)

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the lock of the file, which is the one of that name then. Gives whether there may be news.

        Raises StateError, FileNotFoundError.
        """
        deadline = time.monotonic() + _LOCK_SECONDS
        while not (found := self._try_lock()):
            if time.monotonic() > deadline:
                raise StateError(f"another process has held {self.path} for {_LOCK_SECONDS:.0f} s; end that process")
            time.sleep(0.001)
        descriptor = self._descriptor
        try:
            yield found != self._seen
        finally:
            # After shrink() the old file is closed, and with it its lock.
            if self._descriptor == descriptor:
                locks.unlock(descriptor)

    def _try_lock(self) -> tuple[int, int, int] | None:
        """Lock the file and return its look; ``None`` if another process holds it, or has replaced it."""
        if self._descriptor < 0:
            self._reopen()
        if locks.AVAILABLE and not locks.try_lock(self._descriptor):
            return None
        found = self._look_by_name()
        if found[0] == self._seen[0] or found[0] == os.fstat(self._descriptor).st_ino:
            return found
        self._reopen()
        return None

    def _reopen(self) -> None:
        self.close()
        self._descriptor = open_existing(self.path, writable=True)
        self.read_again()
        locks.keep_from_children(self)

    def _read(self, at: int, size: int) -> bytes:
        os.lseek(self._descriptor, at, os.SEEK_SET)
        pieces = []
        while size > 0 and (piece := os.read(self._descriptor, size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _look_by_name(self) -> tuple[int, int, int]:
        return _look_of(os.stat(self._name))  # noqa: PTH116 - a path object would cost more than the call

    def _look(self) -> None:
        self._seen = _look_of(os.fstat(self._descriptor))


def _begin(descriptor: int, run_id: str, change: Change) -> int:
    """Write a new file with one change, and return where the next one goes."""
    head = orjson.dumps({"format": FORMAT, "run_id": run_id})[:-1] + b',"changes":['
    start = head + orjson.dumps(change) + b"\n"
    write_all(descriptor, start + _END)
    return len(start)


def _look_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _first_change(line: bytes) -> Change:
    """The change in the first line, which also has the format."""
    found = orjson.loads(line + _END)
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']}, but this version reads {FORMAT}")
    change = found["changes"][0]
    if not isinstance(change, dict):
        raise TypeError("a change is not an object")
    return change
