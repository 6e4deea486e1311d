"""Full disks: which errors mean one, which folder is on it."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from discomfort.exceptions import DiskFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOTHING = 1 << 20
"""Bytes free on a disk that count as none: a picture needs more."""


@contextlib.contextmanager
def writing_to(folder: Path, what: str, filename: Path | None = None) -> Iterator[None]:
    """Makes its block raise DiskFullError for ``folder`` if the disk is full; ``what`` says what was being written."""
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(folder, what, filename=filename, number=error.errno) from error
        raise


def full_among(folders: Iterable[Path]) -> list[Path]:
    """Those of the folders, or of the nearest ones above them that exist, whose disks have nothing left."""
    return [folder for folder in dict.fromkeys(folders) if _is_full(folder)]


def _is_full(folder: Path) -> bool:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None:
        return False
    try:
        return shutil.disk_usage(existing).free < _NOTHING
    except OSError:
        return False
