"""Names for files that are saved here under a name that a server chose. Pure, except for :func:`publish`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 180
"""Bytes of UTF-8 that a name may have: file systems allow 255, and a suffix must fit too."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\u2028\u2029\u202a-\u202e\u2066-\u2069]')
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=$|[. ])", re.IGNORECASE)


def safe_filename(name: str, fallback: str = "output") -> str:
    """The last part of ``name`` as a plain file name that no system reads as anything else.

    No separators of any system, ``..``, control or text-direction characters, hidden files, Windows device names,
    trailing dots or blanks, and at most 180 bytes, of which the extension is kept.
    """
    last = name.encode("utf-8", "replace").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    plain = _FORBIDDEN.sub("_", last).strip(". ") or fallback
    if _RESERVED.match(plain):
        plain = "_" + plain
    return _shortened(plain)


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


def publish(temporary: Path, directory: Path, name: str) -> Path:
    """Give a finished file its name, or the first free one of :func:`candidates`; never replaces a file.

    Safe against others who do the same at the same moment. Raises OSError.
    """
    for candidate in candidates(name):
        target = directory / candidate
        try:
            os.link(temporary, target)
        except FileExistsError:
            continue
        except OSError:
            # A file system without hard links: an empty file takes the name first.
            try:
                target.open("xb").close()
            except FileExistsError:
                continue
            try:
                temporary.replace(target)
            except OSError:
                target.unlink(missing_ok=True)
                raise
            return target
        temporary.unlink()
        return target
    raise FileExistsError(f"{directory / name} and all names after it are taken")
