"""Values that ``--in`` gives to ports, read as the port's type wants them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from discomfort._error_text import joined, nearest
from discomfort.cli.inputs import UsageError
from discomfort.cli.port_table import PortFact, PortTable
from discomfort.context.file_values import FILE_3D, SVG, VIDEO, FileValue
from discomfort.exceptions import DamagedDataError
from discomfort.workflow.port_types import is_known

_MAX_FILE = 4 << 30
_PICTURES = frozenset({"IMAGE", "MASK"})
_FROM_FILES = _PICTURES | {"LATENT", "AUDIO", "SIGMAS"}
"""Types whose values stand in files, so that the ``@`` may be left out."""
_ARRAYS = frozenset({".npy", ".safetensors"})
_TEXTS = frozenset({"STRING", "COMBO"})
_RANGE = re.compile(r"\s*[+-]?\d+(\.\d+)?\.\.[+-]?\d+.*")


def read_inputs(given: Mapping[str, str], table: PortTable) -> dict[str, Any]:
    """The values of ports by name; those of files whose type is not known yet are left out.

    Raises UsageError for a name that no INPUT port has, for an INPUT port without a value, and for a text or file that
    is not of the port's type; OSError.
    """
    for name in given:
        if name not in table.inputs:
            raise UsageError(f"--in {name}: {_unknown(name, 'INPUT', list(table.inputs))}")
    missing = [_shown(name, fact) for name, fact in table.inputs.items() if fact.is_needed and name not in given]
    if missing:
        raise UsageError(f"values are missing for {joined(missing, ', ')}: give each with --in NAME=VALUE")
    values: dict[str, Any] = {}
    for name, text in given.items():
        fact = table.inputs[name]
        if fact.is_typed or not _names_file(text):
            values[name] = _value(name, text, fact)
        else:
            _readable(Path(text[1:]))
    return values


def unknown_output(name: str, table: PortTable) -> UsageError:
    """The error about ``--out`` for a port that is not there."""
    return UsageError(f"--out {name}: {_unknown(name, 'OUTPUT', list(table.outputs))}")


def is_of_files(kind: str) -> bool:
    """Whether the values of a type are files as they are, such as videos."""
    return kind in (VIDEO, SVG) or kind.startswith(FILE_3D)


def _shown(name: str, fact: PortFact) -> str:
    return f"{name} ({fact.type})" if is_known(fact.type) else name


def _unknown(name: str, role: str, known: list[str]) -> str:
    there = f"there are: {joined(nearest(name, known), ', ')}" if known else "there is none"
    return f"no {role} port has this unique_id; {there}"


def _value(name: str, text: str, fact: PortFact) -> Any:
    kind = fact.type.upper()
    is_file = _names_file(text)
    if is_file or is_of_files(kind) or (kind in _FROM_FILES and not text.startswith(("{", "["))):
        path = Path(text[1:] if is_file else text)
        _readable(path)
        try:
            return _read(path, kind)
        except (ValueError, DamagedDataError) as error:
            raise UsageError(f"--in {name}: {path}: {error}") from error
    plain = text[1:] if text.startswith("@@") else text
    if kind in _TEXTS:
        return plain
    if kind in ("INT", "FLOAT") and _RANGE.fullmatch(plain):
        raise UsageError(f"--in {name}: {plain!r} is a range; a port takes one value (ranges are for --set)")
    return _json_or_text(plain)


def _names_file(text: str) -> bool:
    return text.startswith("@") and not text.startswith("@@")


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is a word, not JSON")


def _readable(path: Path) -> None:
    with path.open("rb"):
        pass
    if path.stat().st_size > _MAX_FILE:
        raise UsageError(f"{path}: larger than {_MAX_FILE >> 30} GiB")


def _read(path: Path, kind: str) -> Any:
    """The content of a file for a port of this type. Raises ValueError, DamagedDataError."""
    if kind in _TEXTS:
        return _text(path)
    if is_of_files(kind):
        return FileValue.read(path)
    suffix = path.suffix.lower()
    if suffix in _READERS and (kind not in _PICTURES or suffix in _ARRAYS):
        return _READERS[suffix](path)
    if kind in _PICTURES or (kind not in _FROM_FILES and _is_picture(path)):
        return _picture(path, kind)
    if kind in _FROM_FILES:
        raise ValueError(f"{kind} is read from {', '.join(_READERS)}")
    return _json_or_text(_text(path))


def _text(path: Path) -> str:
    """Without the last line's end, which editors write."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _is_picture(path: Path) -> bool:
    from PIL import Image

    return path.suffix.lower() in Image.registered_extensions()


def _picture(path: Path, kind: str) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    from discomfort.core_values.picture_files import pixels_of

    try:
        with Image.open(path) as opened:
            is_light = kind == "MASK" and not opened.mode.startswith("I")
            pixels = pixels_of(ImageOps.exif_transpose(opened).convert("L") if is_light else opened)
    except UnidentifiedImageError:
        raise ValueError("is not a picture") from None
    return pixels[..., 0] if kind == "MASK" else pixels


def _json_file(path: Path) -> Any:
    return json.loads(_text(path))


def _array(path: Path) -> Any:
    import numpy as np

    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def _tree(path: Path) -> Any:
    from discomfort.context.codecs import decode

    return decode("tensors", memoryview(bytearray(path.read_bytes())))


def _latent(path: Path) -> Any:
    from discomfort.core_values.core_files import read_latent

    return {"samples": read_latent(path.read_bytes(), "numpy")}


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".npy": _array,
    ".safetensors": _tree,
    ".latent": _latent,
    ".json": _json_file,
}
