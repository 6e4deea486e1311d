"""Reads file objects of the caller: whole, in a thread, and without moving those that can seek."""

from __future__ import annotations

import inspect
import threading
from typing import Any, BinaryIO

from discomfort.functions.value_checks import ValueTrouble

_reading = threading.Lock()
"""Held while a file object that can seek is read: two calls may have the same one."""


def read_whole(stream: BinaryIO) -> bytes:
    """All bytes from the start; of one that cannot seek, what is left in it. Raises ValueTrouble, OSError."""
    if not _can_seek(stream):
        return _bytes_of(stream, -1)
    with _reading:
        return _from_start(stream, -1)


def is_empty(stream: BinaryIO) -> bool:
    """Whether there are no bytes in it; ``False`` for one that cannot seek. Raises ValueTrouble, OSError."""
    if not _can_seek(stream):
        return False
    with _reading:
        return not _from_start(stream, 1)


def _from_start(stream: BinaryIO, count: int) -> bytes:
    place = stream.tell()
    stream.seek(0)
    try:
        return _bytes_of(stream, count)
    finally:
        stream.seek(place)


def _can_seek(stream: Any) -> bool:
    """Whether it says so, or has what is needed. Raises ValueTrouble if it is closed."""
    if getattr(stream, "closed", False) is True:
        raise ValueTrouble("the file object is closed")
    told = getattr(stream, "seekable", None)
    if callable(told):
        return bool(told())
    return callable(getattr(stream, "seek", None)) and callable(getattr(stream, "tell", None))


def _bytes_of(stream: Any, count: int) -> bytes:
    try:
        data = stream.read(count) if count >= 0 else stream.read()
    except ValueError as error:  # closed meanwhile, or opened for writing
        raise ValueTrouble("the file object cannot be read: open it for reading, as open(path, 'rb')") from error
    if inspect.iscoroutine(data):
        data.close()
    if not isinstance(data, bytes | bytearray | memoryview):
        given = type(data).__name__
        raise ValueTrouble(f"the file object gives {given}, not bytes: open it in binary mode, as open(path, 'rb')")
    return bytes(data)
