"""A file of a context that is written piece by piece, as a value arrives from another machine."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from discomfort._system.descriptors import create
from discomfort.context.blobs import PART
from discomfort.context.capacity import raise_if_full
from discomfort.context.folders import remove_file
from discomfort.context.records import StorageType
from discomfort.context.storage import Storage


class ArrivingFile:
    """A new file of ``storage``, with room for ``size`` bytes if it is in memory. Blocking.

    ``stream`` is to be written; then :meth:`complete` gives it its name, and :meth:`Storage.adopt` takes it. Without
    that, :meth:`discard` removes it.
    """

    def __init__(self, storage: Storage, size: int, *, use_ram: bool) -> None:
        """It is in memory if ``use_ram`` and there is room, else on disk. Raises DiskFullError, OSError."""
        self.name = secrets.token_hex(16)
        self._size, self._home = size, storage.home
        folder = storage.memory_folder if use_ram else None
        obstacle = "" if folder is None else storage.room.obstacle(size, storage.usage()[0])
        self.place: StorageType = "disk"
        self.stream: BinaryIO
        if folder is not None and not obstacle:
            try:
                self._open(folder, reserved=True)
            except OSError as error:
                obstacle = str(error)
            else:
                self.place = "ram"
                return
        try:
            self._open(storage.home, reserved=False)
        except OSError as error:
            raise_if_full(error, storage.home, "a value", obstacle)
            raise

    def _open(self, folder: Path, *, reserved: bool) -> None:
        self._path = folder / (self.name + PART)
        descriptor = create(self._path, 0o600)
        try:
            if reserved and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self._size)
            self.stream = os.fdopen(descriptor, "wb", buffering=0)
        except BaseException:
            os.close(descriptor)
            remove_file(self._path)
            raise

    def write(self, data: bytes) -> None:
        """Add bytes. Raises DiskFullError, OSError."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.stream.write(rest) :]
        except OSError as error:
            raise_if_full(error, self._home, "a value")
            raise

    def complete(self) -> str:
        """Close it and give it its name, which is returned. Raises OSError."""
        self.stream.close()
        self._path = self._path.replace(self._path.with_name(self.name))
        return self.name

    def discard(self) -> None:
        """Remove it. Never raises."""
        with contextlib.suppress(OSError):
            self.stream.close()
        remove_file(self._path)
