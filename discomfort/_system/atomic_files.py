"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from discomfort._system.descriptors import create, sync_folder
from discomfort._system.disk_space import writing_to
from discomfort._system.filenames import candidates

_NO_LINKS_HERE = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
"""Errors of file systems that have no hard links, or that allow no more of them."""


def write_atomically(file: Path, data: bytes, *, private: bool = False) -> None:
    """Write ``file`` completely or not at all, replacing an existing one. Raises OSError, DiskFullError among them.

    A ``private`` file is readable only by this user; others get the usual permissions. Devices are written to directly.
    """
    if file.exists() and not file.is_file():
        # /dev/stdout or a named pipe must be written to, not replaced.
        file.write_bytes(data)
        return
    temporary = file.with_name(f".discomfort-{secrets.token_hex(8)}")
    with writing_to(file.parent, "writing", file):
        _write_and_rename(temporary, file, data, 0o600 if private else 0o666)


def _write_and_rename(temporary: Path, file: Path, data: bytes, mode: int) -> None:
    descriptor = create(temporary, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def streamed(file: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A stream into ``file``, which appears when the block ends, complete and safe from a power failure.

    If the block raises, nothing appears. Without ``overwrite`` an existing file is never replaced. Raises OSError,
    FileExistsError and DiskFullError among them.
    """
    temporary = file.with_name(f".discomfort-{secrets.token_hex(8)}")
    with writing_to(file.parent, "writing", file):
        descriptor = create(temporary, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if overwrite:
                temporary.replace(file)
            else:
                give_name(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(file.parent)


def publish(temporary: Path, directory: Path, name: str) -> Path:
    """Give a finished file its name, or the first free one of :func:`candidates`, without replacing a file.

    Safe when other processes do the same at the same time. Raises OSError.
    """
    for candidate in candidates(name):
        target = directory / candidate
        with contextlib.suppress(FileExistsError):
            give_name(temporary, target)
            return target
    raise FileExistsError(f"{directory / name} and all names after it are taken")


def give_name(temporary: str | Path, name: str | Path, *, within: int | None = None) -> None:
    """Rename a finished file without replacing another one. ``within`` is the descriptor of the folder of both names.

    If several processes take one name at the same time, one gets it and the others FileExistsError. Raises OSError.
    """
    try:
        if within is None:
            os.link(temporary, name)
        else:
            os.link(temporary, name, src_dir_fd=within, dst_dir_fd=within, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS_HERE:
            raise
    else:
        os.unlink(temporary, dir_fd=within)
        return
    # No hard links on this file system: create an empty file to claim the name, then replace it.
    os.close(create(name, 0o666, within=within))
    try:
        os.replace(temporary, name, src_dir_fd=within, dst_dir_fd=within)
    except BaseException:
        os.unlink(name, dir_fd=within)
        raise
