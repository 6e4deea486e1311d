"""Safe file names for every system, and folders that are opened without following links out of them."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from discomfort._system.descriptors import open_folder
from discomfort._system.filenames import is_device
from discomfort.exceptions import UploadError

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder below a root, as opened: ``path`` is real (no link in it), ``fd`` its descriptor.

    ``created`` are the folders that opening it made, the outermost first.
    """

    root: Path
    path: Path
    fd: int
    created: tuple[Path, ...] = ()


def check_name(name: str, what: str) -> None:
    """Refuse one component of a path that would not be a plain name everywhere. Raises :class:`UploadError`."""
    problem = ""
    if name in {"", ".", ".."}:
        problem = "is not a name"
    elif "/" in name or "\\" in name:
        problem = "contains a path separator"
    elif any(ord(char) < 32 or ord(char) == 127 for char in name):
        problem = "contains a control character"
    elif any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        problem = "is not valid UTF-8"
    elif _DRIVE.match(name):
        problem = "begins with a drive letter"
    elif is_device(name):
        problem = "is the name of a device on Windows"
    elif name.endswith((".", " ")):
        problem = "ends with a dot or a space"
    if problem:
        raise UploadError(f"{what} {name!r} {problem}")


def subfolder_parts(subfolder: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Split a subfolder into safe names; ``None``, ``""`` and ``"."`` are the folder itself.

    Raises :class:`UploadError` for what is absolute, goes up, or is not made of plain names.
    """
    text = "" if subfolder is None else os.fspath(subfolder)
    if not isinstance(text, str):
        raise UploadError(f"subfolder {text!r} is not a string")
    if text.startswith("/"):
        raise UploadError(f"subfolder {text!r} is absolute; it must stay within its folder")
    parts = tuple(part for part in text.split("/") if part not in {"", "."})
    for part in parts:
        if part == "..":
            raise UploadError(f"subfolder {text!r} contains '..'; it must stay within its folder")
        check_name(part, "subfolder")
    return parts


@contextlib.contextmanager
def open_place(root: Path, parts: tuple[str, ...], *, create: bool = False) -> Iterator[Place]:
    """Open the folder ``parts`` below ``root`` for as long as the block lasts.

    Links inside the root are followed if they stay inside it. The result is then opened name by name without following
    any link, so that one created meanwhile cannot lead elsewhere. With ``create``, missing folders are created, and
    removed again if the block raises.

    Raises :class:`UploadError` if a link leads out of the root, and the system's ``OSError``.
    """
    real_root = Path(os.path.realpath(root))
    real = Path(os.path.realpath(real_root.joinpath(*parts)))
    if not real.is_relative_to(real_root):
        raise UploadError(f"{root.joinpath(*parts)} leads out of {root} by a symbolic link, to {real}")
    created: list[Path] = []
    try:
        with contextlib.ExitStack() as stack:
            fd = open_folder(real_root)
            stack.callback(os.close, fd)
            at = real_root
            for name in real.relative_to(real_root).parts:
                at /= name
                if create and _make_folder(name, fd):
                    created.append(at)
                fd = open_folder(name, within=fd)
                stack.callback(os.close, fd)
            yield Place(real_root, real, fd, tuple(created))
    except BaseException:
        for folder in reversed(created):
            # Another program may have put something there, or removed it: then it is no longer ours to remove.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _make_folder(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def stat_in(name: str, fd: int) -> os.stat_result | None:
    """The status of a name in an open folder (a link is not followed), or ``None``."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_folder(status: os.stat_result) -> bool:
    """Whether a status is that of a folder."""
    return stat.S_ISDIR(status.st_mode)
