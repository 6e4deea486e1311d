"""Paths of the emulator: ComfyUI's file references, containment, counters and tokens in file names."""

from __future__ import annotations

import logging
import mimetypes
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from comfyui_emulator.runtime import Folders

if TYPE_CHECKING:
    from comfyui_emulator.settings import EmulatorConfig

log = logging.getLogger("comfyui_emulator")


def default_base_directory() -> Path:
    """The default base folder: this application's folder in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("discomfort", appauthor=False) / "emulator"


def resolve_folders(config: EmulatorConfig, temp: Path) -> Folders:
    """The absolute folders for ``config``; creates input, output and user."""
    base = Path(config.base_directory or default_base_directory()).absolute()
    folders = Folders(
        input=Path(config.input_directory or base / "input").absolute(),
        output=Path(config.output_directory or base / "output").absolute(),
        temp=temp,
        user=Path(config.user_directory or base / "user").absolute(),
        base=base,
        models=None if config.models_directory is None else Path(config.models_directory).absolute(),
    )
    for path in (folders.input, folders.output, folders.user):
        path.mkdir(parents=True, exist_ok=True)
    return folders


def contained(root: Path, *parts: str) -> Path | None:
    """``root/parts`` if that is inside ``root`` once symbolic links of its folders are resolved, else ``None``."""
    if any("\0" in part for part in parts):
        return None
    real_root = Path(os.path.realpath(root))
    target = Path(os.path.realpath(real_root.joinpath(*parts)))
    return target if target == real_root or real_root in target.parents else None


def split_annotation(name: str) -> tuple[str, str | None]:
    """Split ``"a.png [output]"`` into name and folder type; the type is ``None`` without a known suffix."""
    for kind in ("output", "input", "temp"):
        if name.endswith(f"[{kind}]"):
            # ComfyUI cuts the bracket and the character before it, even if that is not a space.
            return name[: -len(kind) - 3], kind
    return name, None


def annotated_path(folders: Folders, name: str) -> Path | None:
    """The file that a loader's value names: in the input folder unless annotated; ``None`` if outside its folder."""
    plain, kind = split_annotation(name)
    root = folders.by_type(kind or "input")
    return None if root is None else contained(root, plain)


def image_files(folder: Path) -> list[str]:
    """Names of the image files directly in ``folder``, sorted; recognised by file name, as in ComfyUI."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    except FileNotFoundError:
        return []
    return sorted(name for name in names if media_kind(name) == "image")


_EXTRA_TYPES = {"webp": "image", "fbx": "model", "jxl": "image", "avif": "image"}


def media_kind(name: str) -> str:
    """The first half of the media type that the file name suggests, or an empty string."""
    guess, _ = mimetypes.guess_type(name)
    if guess:
        return guess.split("/", 1)[0]
    return _EXTRA_TYPES.get(name.rsplit(".", 1)[-1].lower(), "")


def expand_tokens(prefix: str, width: int, height: int) -> str:
    """Replace ``%width%``, ``%height%`` and, from the local time, ``%year%`` to ``%second%``."""
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    values = {
        "width": str(width),
        "height": str(height),
        "year": str(now.tm_year),
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for token, value in values.items():
        prefix = prefix.replace(f"%{token}%", value)
    return prefix


class OutsideError(Exception):
    """A saver would write outside its folder. Clients see a plain ``Exception``, as from ComfyUI."""


OutsideError.__name__ = OutsideError.__qualname__ = "Exception"
OutsideError.__module__ = "builtins"


def _outside(root: Path, subfolder: str) -> str:
    """ComfyUI's text, which clients may match."""
    folder = os.path.abspath(root / subfolder)  # noqa: PTH100 - symbolic links are not followed in the text
    return (
        "**** ERROR: Saving image outside the output folder is not allowed."
        f"\n full_output_folder: {folder}\n         output_dir: {root}"
    )


def next_save_path(prefix: str, root: Path, width: int = 0, height: int = 0) -> tuple[Path, str, int, str]:
    """The next path for a saver, as (folder, file stem, counter, subfolder), counted as in ComfyUI.

    The counter is one more than the highest number among entries that start with ``stem_``. Raises
    :class:`OutsideError` for a prefix that leaves ``root``.
    """
    prefix = expand_tokens(prefix, width, height)
    normal = os.path.normpath(prefix)
    subfolder, stem = os.path.dirname(normal), os.path.basename(normal)  # noqa: PTH119, PTH120 - a text, not a path
    folder = contained(root, subfolder)
    if folder is None:
        raise OutsideError(_outside(root, subfolder))
    folder = root / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    return folder, stem, _next_counter(folder, stem), subfolder


_counters: dict[tuple[Path, str], tuple[int, int]] = {}
"""For folder and stem: the next counter, and the folder's modification time at that point. Bounded."""

_COUNTERS_KEPT = 1000


def _next_counter(folder: Path, stem: str) -> int:
    """One more than the highest counter. The folder is listed again only if something else has changed it."""
    known = _counters.get((folder, stem))
    if known is not None and known[1] == folder.stat().st_mtime_ns and not _taken(folder, stem, known[0]):
        return known[0]
    pattern = re.compile(re.escape(stem) + r"_(\d+)")
    numbers = [int(found[1]) for entry in os.scandir(folder) if (found := pattern.match(entry.name))]
    return max(numbers, default=0) + 1


def _taken(folder: Path, stem: str, counter: int) -> bool:
    # Not with pathlib: it interns every name, and Python's table of interned strings never shrinks.
    return os.path.exists(os.path.join(folder, f"{stem}_{counter:05}_.png"))  # noqa: PTH110, PTH118 - see above


def remember_counter(folder: Path, stem: str, counter: int) -> None:
    """Note, after saving, which counter comes next."""
    if len(_counters) >= _COUNTERS_KEPT:
        _counters.clear()
    _counters[folder, stem] = counter, folder.stat().st_mtime_ns


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file into an existing folder; a reader sees either the old content or the new. Blocking."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
