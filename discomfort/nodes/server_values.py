"""The values of contexts as the server sees them: files in folders that the client named when it started the server.

A prompt names folders and files; it never has a path. Every folder on the way must belong to this user alone, no link
is followed, and nothing outside of the two folders of the environment is opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._system.descriptors import open_existing, open_folder
from .._system.user import is_ours
from ..context.blobs import NAME, read_blob, write_blob
from ..context.codecs import EncodedValue, decode
from ..context.exchange import (
    PROBES,
    VARIABLE,
    VERSION,
    Handshake,
    ServerPlaces,
    Storage,
    end_mark,
    is_folder_name,
    probe_name,
)
from ..exceptions import DamagedDataError, DiskFullError, StateError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_A_FILE = (errno.ELOOP, errno.EMLINK)
_RESERVE = 16 << 20
"""Bytes that are left free in memory for other programs."""


@dataclass(frozen=True)
class ValuePlace:
    """Names of the folders of one context: on disk ``contexts/run_id``, in memory ``memory``, else ``run_id``."""

    run_id: str
    contexts: str = "contexts"
    memory: str = ""

    def folders(self, storage: str) -> tuple[str, ...]:
        """The folders on the way to a file, below the root. Raises DamagedDataError for what is not a name."""
        if storage not in ("ram", "disk"):
            raise DamagedDataError(f"storage is {str(storage)[:40]!r}, which is neither 'ram' nor 'disk'")
        names = (self.memory or self.run_id,) if storage == "ram" else (self.contexts, self.run_id)
        for name in names:
            if not is_folder_name(name):
                raise DamagedDataError(f"{str(name)[:80]!r} is not the name of a context")
        return names


def load_value(place: ValuePlace, storage: str, name: str, codec: str) -> Any:
    """The value of a file. Raises DamagedDataError, StateError, OSError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DamagedDataError(f"{str(name)[:80]!r} is not the name of a value")
    with _opened(place, storage) as folder:
        try:
            data = read_blob(Path(name), within=folder)
        except FileNotFoundError as error:
            raise StateError(f"the value {name} is gone: its context was shut down, or has another one") from error
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                raise DamagedDataError("is a link, not a file", source=name) from error
            raise
    return decode(codec, data)


def save_value(place: ValuePlace, encoded: EncodedValue, *, room: int, prefix: str) -> tuple[Storage, str]:
    """Write a value, into memory if it needs at most ``room`` bytes and there is a place, else on disk.

    The file's name begins with ``prefix``. Returns where it is, and its name. Raises DiskFullError, OSError, and
    StateError also if the run has ended, because it was cancelled; then no file is left.
    """
    storage, name = _written(place, encoded, room=room, prefix=prefix)
    if prefix and _has_ended(place, prefix):
        # The client has looked for files of this run already.
        with contextlib.suppress(OSError, StateError), _opened(place, storage) as folder:
            os.unlink(name, dir_fd=folder)
        raise StateError("the run has ended; nobody will read this value")
    return storage, name


def _written(place: ValuePlace, encoded: EncodedValue, *, room: int, prefix: str) -> tuple[Storage, str]:
    if encoded.size <= room:
        with contextlib.suppress(OSError, StateError), _opened(place, "ram") as folder:
            if shutil.disk_usage(folder).free >= encoded.size + _RESERVE:
                return "ram", write_blob(folder, encoded.pieces(), encoded.size, reserved=True, prefix=prefix)
    with _opened(place, "disk") as folder:
        try:
            return "disk", write_blob(folder, encoded.pieces(), encoded.size, reserved=False, prefix=prefix)
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(_places().disk, "storing a value", number=error.errno or 0) from error
            raise


def _has_ended(place: ValuePlace, prefix: str) -> bool:
    try:
        with _opened(place, "disk") as folder:
            os.stat(end_mark(prefix), dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except (OSError, StateError):
        pass  # so the context has ended
    return True


def handshake() -> Handshake:
    """What the nodes say of themselves in ``/object_info``. Never raises."""
    sees: list[Storage] = []
    for storage in ("ram", "disk"):
        with contextlib.suppress(OSError, StateError, DamagedDataError):
            probe = probe_name(_places().token)
            with _opened(ValuePlace(probe, PROBES), storage) as folder:
                os.close(open_existing("owner", within=folder))
                sees.append(storage)
    return Handshake(VERSION, tuple(sees))


def _places() -> ServerPlaces:
    text = os.environ.get(VARIABLE)
    if not text:
        raise StateError(
            "this server was not started by Discomfort, so it cannot see the values of contexts; "
            "these nodes are for Discomfort runs only"
        )
    try:
        return ServerPlaces.of_text(text)
    except ValueError as error:
        raise StateError(f"the variable {VARIABLE} {error}") from error


@contextlib.contextmanager
def _opened(place: ValuePlace, storage: str) -> Iterator[int]:
    """The descriptor of the folder of a context. Raises DamagedDataError, StateError, OSError."""
    names = place.folders(storage)
    places = _places()
    root = places.memory if storage == "ram" else places.disk
    if root is None:
        raise StateError("the client has no folder in memory")
    descriptor = -1
    try:
        for name in (root, *names):
            within, descriptor = descriptor, _open_private(name, descriptor)
            if within >= 0:
                os.close(within)
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _open_private(name: str, within: int) -> int:
    """Open a folder of this user that nobody else may enter. Closes nothing. Raises StateError, OSError."""
    try:
        descriptor = open_folder(name, within=within if within >= 0 else None)
    except FileNotFoundError as error:
        raise StateError(f"there is no folder {name}: the context was shut down, or is another user's") from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, *_NOT_A_FILE):
            raise StateError(f"{name} is a link or a file, not a folder of a context") from error
        raise
    status = os.fstat(descriptor)
    if is_ours(status) and not stat.S_IMODE(status.st_mode) & 0o077:
        return descriptor
    os.close(descriptor)
    raise StateError(f"the folder {name} is not private to the user that ComfyUI runs as")
