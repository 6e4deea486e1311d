"""File names that are valid on every system, made from names given by a server or a user. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 180
"""Maximum length of a name in bytes of UTF-8: file systems allow 255, and a suffix must fit too."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\u2028\u2029\u202a-\u202e\u2066-\u2069]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def safe_filename(name: str, fallback: str = "output") -> str:
    """The last part of ``name`` as a plain file name that is safe on every system.

    It has no path separators, ``..``, control or text-direction characters, leading dots, Windows device names, or
    trailing dots and blanks. It has at most 180 bytes and keeps the extension.
    """
    last = name.encode("utf-8", "replace").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    plain = _FORBIDDEN.sub("_", last).strip(". ") or fallback
    if is_device(plain):
        plain = "_" + plain
    return _shortened(plain)


def is_device(name: str) -> bool:
    """Whether Windows reserves that name for a device, in any folder and with any suffix."""
    return _DEVICE.fullmatch(name.rstrip(". ")) is not None


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension.encode()) > 20:
        stem, extension = name, ""
    else:
        extension = "." + extension
    room = _LONGEST - len(extension.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + extension


def candidates(name: str) -> Iterator[str]:
    """``name``, then ``name (2)``, ``name (3)`` …, with the number before the extension."""
    yield name
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    for number in range(2, 1_000_000):
        yield f"{stem} ({number}){dot}{extension}"
