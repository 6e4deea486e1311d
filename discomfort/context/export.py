"""Files that values become when they leave a context: a pickle, or what the suffix of the name says."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from discomfort._system.atomic_files import streamed
from discomfort.context import pictures, tensors
from discomfort.context.codecs import encode
from discomfort.context.file_values import FileValue
from discomfort.exceptions import UnsupportedValueError

_Writer = Callable[[Any, IO[bytes]], None]


def export(value: Any, destination: Path, *, overwrite: bool) -> None:
    """Write a value to a file, which appears complete or not at all. Missing folders are made.

    The suffixes ``.npy``, ``.safetensors``, ``.png`` and ``.json`` choose those formats. A :class:`FileValue` under its
    own suffix is written as it is; all else gets a pickle.

    Raises FileExistsError, IsADirectoryError, UnsupportedValueError if the format cannot hold the value, OSError.
    """
    check_destination(destination, overwrite=overwrite)
    suffix = destination.suffix.lower()
    is_file = isinstance(value, FileValue) and value.suffix == suffix
    write = _write_file if is_file else _WRITERS.get(suffix, _write_pickle)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with streamed(destination, overwrite=overwrite) as stream:
        write(value, stream)


def check_destination(destination: Path, *, overwrite: bool) -> None:
    """Refuse a folder, and an existing file without ``overwrite``. Raises FileExistsError, IsADirectoryError."""
    if destination.is_dir():
        raise IsADirectoryError(21, "is a folder; give the name of a file in it", str(destination))
    if not overwrite and (destination.exists() or destination.is_symlink()):
        raise FileExistsError(17, "exists already; give another name, or overwrite=True", str(destination))


def _write_file(value: FileValue, stream: IO[bytes]) -> None:
    stream.write(value.view)


def _write_pickle(value: Any, stream: IO[bytes]) -> None:
    pickle.dump(value, stream, protocol=5)


def _write_npy(value: Any, stream: IO[bytes]) -> None:
    array = _array_of(value)
    if array is None:
        raise _not_in(value, ".npy", "an array")
    np.save(stream, array, allow_pickle=False)


def _write_safetensors(value: Any, stream: IO[bytes]) -> None:
    encoded = encode(value)
    if encoded.codec != "tensors":
        raise _not_in(value, ".safetensors", "arrays")
    for piece in encoded.pieces():
        stream.write(piece)


def _write_json(value: Any, stream: IO[bytes]) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _not_in(value, ".json", "numbers, texts, lists and dictionaries only") from error
    stream.write(text.encode("utf-8", "surrogatepass"))


def _write_png(value: Any, stream: IO[bytes]) -> None:
    from PIL import Image

    picture = value if pictures.is_picture(value) else None
    array = None if picture is not None else _array_of(value)
    if array is not None:
        pixels = _pixels_of(array)
        picture = None if pixels is None else Image.fromarray(pixels)
    if picture is None:
        raise _not_in(value, ".png", "one picture: height, width and 1, 3 or 4 channels, maybe in a batch of one")
    try:
        picture.save(stream, format="PNG")
    except OSError as error:
        if error.errno is not None:
            raise
        # Pillow's words for a mode that the format lacks.
        raise _not_in(value, ".png", "a picture of a mode that PNG has") from error


def _pixels_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Eight bits for each channel, by the rule of ComfyUI's own SaveImage; ``None`` if it is not a picture."""
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    elif array.ndim == 3 and len(array) == 1 and array.shape[-1] not in (1, 3, 4):
        array = array[0]  # a mask
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[-1] in (3, 4)):
        return None
    if not array.size:
        return None
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        return None
    scaled: np.ndarray[Any, Any] = np.clip(np.nan_to_num(array.astype(np.float32)) * 255.0, 0, 255)
    return scaled.astype(np.uint8)


def _array_of(value: Any) -> np.ndarray[Any, Any] | None:
    if tensors.is_tensor(value):
        part, _ = tensors.tensor_part(value, "value")
        # A type that numpy lacks would be its bits.
        return part.array if str(value.dtype).removeprefix("torch.") not in tensors.FOREIGN else None
    return value if isinstance(value, np.ndarray) else None


def _not_in(value: object, suffix: str, what: str) -> UnsupportedValueError:
    return UnsupportedValueError(
        f"a {suffix} file holds {what}, not this {type(value).__name__}", remedy="Choose another suffix, such as .pkl"
    )


_WRITERS: Mapping[str, _Writer] = {
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
    ".png": _write_png,
    ".json": _write_json,
}
