"""Uploads of values: in pieces, each checked for its place, and the whole for its digest before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from dataclasses import dataclass, field
from typing import Any

from .._system.descriptors import create, write_all
from ..context.blobs import PART
from ..exceptions import DamagedDataError, StateError
from .value_folder import IDLE, ValueFolder

UPLOAD = re.compile(r"[0-9a-f]{32}")
"""The id of an upload, which its client chooses at random."""
_MOST = 64
"""How many may be under way at once."""


@dataclass
class ValueUpload:
    """One upload. ``is_busy`` while a request writes to it."""

    name: str
    digest: str
    size: int
    descriptor: int
    used: float
    received: int = 0
    is_busy: bool = True
    content: Any = field(default_factory=hashlib.sha256)
    lock: threading.Lock = field(default_factory=threading.Lock)


class TooManyUploads(Exception):
    """No further upload can begin now."""


class ValueUploads:
    """The uploads into one folder. Blocking and thread-safe; one upload is written by one thread at a time."""

    def __init__(self, folder: ValueFolder) -> None:
        self._folder = folder
        self._uploads: dict[str, ValueUpload] = {}
        self._lock = threading.RLock()

    def piece(self, upload_id: str, digest: str, size: int, begin: int) -> ValueUpload:
        """The upload whose next piece begins at ``begin``, to be written now; :meth:`pause` or :meth:`drop` follows.

        Raises StateError if that is not its next piece, TooManyUploads, UnsupportedValueError, DiskFullError, OSError.
        """
        with self._lock:
            self._expire()
            found = self._uploads.get(upload_id)
            if found is None:
                if begin:
                    raise StateError(f"there is no upload {upload_id}, or it was given up; begin with the first byte")
                return self._begun(upload_id, digest, size)
            if found.is_busy or (found.digest, found.size, found.received) != (digest, size, begin):
                raise StateError(f"the upload {upload_id} has {found.received} of {found.size} bytes of {found.digest}")
            found.is_busy = True
            return found

    def write(self, upload: ValueUpload, data: bytes | bytearray | memoryview) -> None:
        """Add bytes. Raises DamagedDataError if they are too many, OSError."""
        if upload.received + len(data) > upload.size:
            raise DamagedDataError(f"has more than {upload.size} bytes")
        # A request may be given up while a thread still writes for it.
        with upload.lock:
            if upload.descriptor < 0:
                raise StateError("the upload was given up")
            write_all(upload.descriptor, memoryview(data))
        upload.content.update(data)
        upload.received += len(data)
        upload.used = self._folder.clock()

    def pause(self, upload: ValueUpload) -> bool:
        """End a piece; after the last one the value is there. Returns whether it is. Raises DamagedDataError, OSError.

        After an error the upload is to be dropped.
        """
        if upload.received < upload.size:
            upload.is_busy = False
            return False
        if upload.content.hexdigest() != upload.digest:
            raise DamagedDataError(f"its digest is {upload.content.hexdigest()}")
        self._folder.adopt(upload.name + PART, upload.digest)
        self._forget(upload)
        return True

    def drop(self, upload: ValueUpload) -> None:
        """Give an upload up, and remove what it wrote. Safe to call twice. Never raises."""
        with contextlib.suppress(OSError):
            (self._folder.path / (upload.name + PART)).unlink()
        self._forget(upload)

    def abandon(self, upload_id: str) -> None:
        """Drop the upload with this id, if there is one and no request writes to it. Never raises."""
        with self._lock:
            found = self._uploads.get(upload_id)
            if found is not None and not found.is_busy:
                self.drop(found)

    def _begun(self, upload_id: str, digest: str, size: int) -> ValueUpload:
        if len(self._uploads) >= _MOST:
            raise TooManyUploads
        promised = sum(each.size - each.received for each in list(self._uploads.values()))
        self._folder.make_room(size, promised)
        descriptor = create(self._folder.path / (upload_id + PART), 0o600)
        made = ValueUpload(upload_id, digest, size, descriptor, self._folder.clock())
        self._uploads[upload_id] = made
        return made

    def _forget(self, upload: ValueUpload) -> None:
        with upload.lock:
            descriptor, upload.descriptor = upload.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        with self._lock:
            if self._uploads.get(upload.name) is upload:
                del self._uploads[upload.name]

    def _expire(self) -> None:
        for upload in list(self._uploads.values()):
            if not upload.is_busy and self._folder.clock() - upload.used > IDLE:
                self.drop(upload)
