"""Finds and reads sidecars: the one that a caller names, or the one beside a workflow's file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discomfort._error_text import nearest
from discomfort.connector.payloads import Payload, own_copy, payload_name
from discomfort.exceptions import PayloadError
from discomfort.workflow.interface.sidecar_names import SIDECAR_SUFFIXES, sidecar_path
from discomfort.workflow.interface.sidecar_text import parse_sidecar
from discomfort.workflow.json_values import describe

LARGEST = 1 << 20
"""Bytes of a sidecar; reading YAML of this size takes seconds."""
_MOST_NAMES = 1000


def read_sidecar(
    workflow: Payload, given: Mapping[str, Any] | str | os.PathLike[str] | None
) -> Mapping[str, Any] | None:
    """The given sidecar, or the one beside the workflow's file, if there is one.

    Raises PayloadError, which names the file; FileNotFoundError if the given one is not there.
    """
    if isinstance(given, Mapping):
        return own_copy(given)
    if isinstance(given, str | os.PathLike):
        return _read(Path(given))
    if given is not None:
        raise PayloadError(f"interface is {describe(given)}: give a mapping, or the path of a sidecar")
    if not payload_name(workflow) or isinstance(workflow, Mapping):
        return None
    path = Path(workflow)
    # Also a folder or a broken link: what has the name of a sidecar is not passed over.
    found = [each for suffix in SIDECAR_SUFFIXES if os.path.lexists(each := sidecar_path(path, suffix))]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise PayloadError(f"{path.name} has more than one sidecar: {names}. Remove one, or pass interface=")
    return _read(found[0]) if found else None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = _content(path).decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"{path}: the sidecar is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    try:
        return parse_sidecar(text, path.suffix)
    except PayloadError as error:
        raise PayloadError(f"{path}: {error}") from error


def _content(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise PayloadError(f"{path}: the sidecar is {what}: it is one file of YAML, JSON or TOML")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, f"there is no such sidecar{_meant(path)}", str(path)) from error
    except OSError as error:
        shown = str(path) if len(str(path)) < 300 else f"{str(path)[:300]}…"
        raise PayloadError(f"{shown}: the sidecar cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f"interface is {describe(str(path))}, which cannot be a path: {error}") from error
    if len(content) > LARGEST:
        raise PayloadError(f"{path}: the sidecar is larger than {LARGEST >> 20} MiB: is it another file?")
    return content


def _meant(path: Path) -> str:
    """The sidecar in the same folder that is probably meant."""
    if path.is_symlink():
        return ": the link leads nowhere"
    try:
        with os.scandir(path.parent) as entries:
            known = [entry.name for entry, _ in zip(entries, range(_MOST_NAMES), strict=False)]
    except OSError:
        return ""
    near = nearest(path.name, sorted(name for name in known if name.endswith(SIDECAR_SUFFIXES)), cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
