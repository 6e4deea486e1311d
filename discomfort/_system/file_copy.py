"""The cheapest copy that the file system offers: shared blocks, a copy in the kernel, or a copy in pieces."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from discomfort._system.descriptors import write_all

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_IN_KERNEL = 64 * 1024 * 1024  # bytes per call, which a signal may have to wait for
_CHUNK = 1024 * 1024
# Errors that mean "not supported here", unlike those of a full or broken disk.
_NOT_HERE = frozenset(
    {
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.EPERM,
        errno.EBADF,
        errno.ETXTBSY,
        errno.ENOTSOCK,
    }
)


def copy_contents(source: int, target: int) -> None:
    """Copy all of one open file into another, empty one. The two stay independent: a later write changes only one.

    Uses at most 1 MiB of memory. Raises ``OSError`` (disk full, quota, input/output).
    """
    if _reflink(source, target):
        return
    if hasattr(os, "copy_file_range") and _in_kernel_range(source, target):
        return
    if not (hasattr(os, "sendfile") and _in_kernel_send(source, target)):
        os.lseek(source, os.lseek(target, 0, os.SEEK_END), os.SEEK_SET)
    # Also after a copy in the kernel, which sees files in /proc and the like as empty.
    while chunk := os.read(source, _CHUNK):
        write_all(target, chunk)


def _reflink(source: int, target: int) -> bool:
    if fcntl is None or sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def _in_kernel_range(source: int, target: int) -> bool:
    """Copy with ``copy_file_range``. False if unsupported or if nothing was copied; the file positions stay valid."""
    copied = 0
    while True:
        try:
            count = os.copy_file_range(source, target, _IN_KERNEL)
        except OSError as error:
            if error.errno in _NOT_HERE:
                return False
            raise
        if not count:
            return copied > 0
        copied += count


def _in_kernel_send(source: int, target: int) -> bool:
    """Continue the copy with ``sendfile``. False if it is not supported here."""
    try:
        while os.sendfile(target, source, None, _IN_KERNEL):
            pass
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def keep_times(source: os.stat_result, target: int) -> None:
    """Give the copy the source's times. Does not fail on a file system that stores none."""
    with contextlib.suppress(PermissionError):
        os.utime(target, ns=(source.st_atime_ns, source.st_mtime_ns))
