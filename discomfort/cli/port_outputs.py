"""Values of OUTPUT ports as files, in the format that the file's suffix names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from discomfort._system.filenames import candidates, safe_filename
from discomfort.cli.inputs import UsageError, check_directory
from discomfort.cli.port_inputs import is_of_files, unknown_output
from discomfort.cli.port_table import PortFact, PortTable
from discomfort.cli.report import Row
from discomfort.context.file_values import FileValue
from discomfort.exceptions import UnsupportedValueError
from discomfort.workflow.port_types import is_known
from discomfort.workflow.references import Reference
from discomfort.workflow.workflow_ports import PORT

_Writer = Callable[[Any, Path], list[Path]]
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_DATA = (".safetensors", ".npy")
_PLAIN = (".json", ".txt")
SUFFIXES = (*_PICTURES, *_DATA, ".latent", *_PLAIN)
"""All suffixes that ``--out`` takes."""
_OF_TYPE = {
    "IMAGE": (*_PICTURES, *_DATA),
    "MASK": (*_PICTURES, *_DATA),
    "LATENT": (".latent", ".safetensors"),
    "AUDIO": (".safetensors",),
    **dict.fromkeys(("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"), _PLAIN),
}
"""The suffixes of types whose values are known."""


def read_files(given: Mapping[str, str], table: PortTable) -> dict[str, Path]:
    """The file of each port that ``--out`` names. Raises UsageError, ConfigurationError for a folder."""
    files: dict[str, Path] = {}
    for name, text in given.items():
        if name not in table.outputs:
            raise unknown_output(name, table)
        path, kind = Path(text), table.outputs[name].type.upper()
        fitting = _OF_TYPE.get(kind, SUFFIXES)
        if path.suffix.lower() not in fitting and not _may_be_file(path, kind):
            what = f"{kind} is written to" if is_known(kind) and kind in _OF_TYPE else "known suffixes are"
            raise UsageError(f"--out {name}={text}: {what} {', '.join(fitting)}")
        if path.is_dir():
            raise UsageError(f"--out {name}={text}: is a folder; give the name of a file in it")
        if path in files.values():
            raise UsageError(f"--out {name}={text}: another port has the same file")
        check_directory(path.parent)
        files[name] = path
    return files


def _may_be_file(path: Path, kind: str) -> bool:
    """Whether the value may be a file with this suffix, such as a video."""
    if not path.suffix or (is_known(kind) and not is_of_files(kind)):
        return False
    try:
        return bool(FileValue(b"", path.suffix).kind)
    except ValueError:
        return False


def write_value(name: str, value: Any, path: Path) -> list[Path]:
    """Write a value to the file that ``--out`` names, replacing it; of several pictures, the others beside it.

    Raises UsageError if the format cannot hold the value, OSError.
    """
    try:
        if isinstance(value, FileValue):
            return [_with_suffix(value, path).save(path)]
        return _writer(path)(value, path)
    except (UnsupportedValueError, TypeError, ValueError) as error:
        if isinstance(error, OSError):
            raise
        problem = str(error).removesuffix(". Choose another suffix, such as .pkl")
        raise UsageError(f"--out {name}={path}: {problem}") from error


def _with_suffix(value: FileValue, path: Path) -> FileValue:
    if value.suffix != path.suffix.lower():
        raise ValueError(f"the value is a {value.suffix} file, and is not converted")
    return value


def _writer(path: Path) -> _Writer:
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"the value is not a {path.suffix} file; known suffixes are {', '.join(SUFFIXES)}")
    return _WRITERS[path.suffix.lower()]


def save_value(name: str, value: Any, fact: PortFact, folder: Path) -> list[Path]:
    """Save a value that no ``--out`` names. Nothing is overwritten. Texts and numbers are not saved: ``[]``."""
    suffix = _suffix(value, fact.type.upper())
    if not suffix:
        return []
    stem = safe_filename(name, "port")
    folder.mkdir(parents=True, exist_ok=True)
    free = next(each for each in candidates(stem + suffix) if not _is_taken(folder / each))
    return write_value(name, value, folder / free)


def rows(name: str, value: Any, fact: PortFact, paths: list[Path]) -> list[Row]:
    """How the report shows a value: its files, or what it is."""
    kind = "image" if paths and paths[0].suffix.lower() in _PICTURES else "file" if paths else ""
    shown = value
    if isinstance(value, Reference):
        kind, shown = kind or "reference", repr(value)
    made = [Row(fact.node_id, name, PORT, kind, name, path) for path in paths]
    return made or [
        Row(fact.node_id, name, PORT, kind or ("text" if isinstance(value, str) else "value"), name, None, shown)
    ]


def _is_taken(path: Path) -> bool:
    return path.exists() or path.is_symlink() or path.with_name(f"{path.stem}_2{path.suffix}").exists()


def _suffix(value: Any, kind: str) -> str:
    """The suffix by which a value is saved; empty for what is shown instead."""
    if isinstance(value, FileValue):
        return value.suffix
    first = value[0] if isinstance(value, list) and value else value
    if kind in ("IMAGE", "MASK") and _is_array(first):
        return ".png"
    if kind == "LATENT" and isinstance(value, dict) and value.keys() == {"samples"}:
        return ".latent"
    return ".safetensors" if _holds_arrays(value) else ""


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, Reference):
        return False
    if isinstance(value, dict | list | tuple):
        return any(_holds_arrays(each) for each in (value.values() if isinstance(value, dict) else value))
    return _is_array(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _items(value: Any) -> list[Any]:
    """The values of a list output; else the value itself."""
    from discomfort.context.trees import NodeList

    return list(value) if isinstance(value, NodeList) else [value]


def _write_pictures(value: Any, path: Path) -> list[Path]:
    from discomfort.core_values.picture_files import write_pictures

    if isinstance(value, Reference) or not all(_is_array(each) for each in _items(value)):
        raise ValueError(f"a picture is an array, not {type(value).__name__}")
    written: list[Path] = []
    for item in _items(value):
        for picture in item if _is_batch(item.shape) else [item]:
            number = len(written) + 1
            file = path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
            written += write_pictures(picture, file)
    return written


def _is_batch(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 or (len(shape) == 3 and shape[-1] not in (1, 3, 4))


def _write_exported(value: Any, path: Path) -> list[Path]:
    from discomfort.context.export import export

    export(value, path, overwrite=True)
    return [path]


def _write_json(value: Any, path: Path) -> list[Path]:
    return _write_exported(value.copy() if isinstance(value, Reference) else value, path)


def _write_text(value: Any, path: Path) -> list[Path]:
    from discomfort._system.atomic_files import write_atomically

    if _holds_arrays(value) or isinstance(value, Reference):
        raise ValueError(f"a .txt file holds text and numbers, not {type(value).__name__}")
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in _items(value)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ("\n".join(lines) + "\n").encode("utf-8", "replace"))
    return [path]


def _write_latent(value: Any, path: Path) -> list[Path]:
    from discomfort._system.atomic_files import write_atomically
    from discomfort.core_values.core_files import array_of, latent_file

    samples = array_of(value.get("samples")) if isinstance(value, dict) else None
    if samples is None:
        raise ValueError("a .latent file holds a LATENT: a dictionary with the array 'samples'")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, latent_file(samples).data)
    return [path]


_WRITERS: Mapping[str, _Writer] = {
    **dict.fromkeys(_PICTURES, _write_pictures),
    **dict.fromkeys(_DATA, _write_exported),
    ".latent": _write_latent,
    ".json": _write_json,
    ".txt": _write_text,
}
