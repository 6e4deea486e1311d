"""Reader and writer for safetensors files of arrays: a length, a JSON header, then the data."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MAX_HEADER = 100 * 1024 * 1024
"""Longer headers are rejected, as in the safetensors library."""

_TYPES: dict[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "U8": np.uint8}


class SafetensorError(ValueError):
    """Raised if a file is not safetensors or cannot be written. Name and texts are those of the safetensors library."""

    __module__ = "safetensors._safetensors_rust"


def write_tensors(path: Path, tensors: dict[str, npt.NDArray[np.float32]], metadata: dict[str, str] | None) -> None:
    """Write float32 arrays under their names. The header is padded to a multiple of 8 bytes.

    Raises :class:`SafetensorError` if the file cannot be written.
    """
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    offset = 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in tensors.values())
    try:
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    except (OSError, ValueError) as error:
        # Python itself rejects a null character in a name; the library gets the system's error for it.
        number = getattr(error, "errno", None) or errno.EINVAL
        told = f"I/O error: {os.strerror(number)} (os error {number})"
        raise SafetensorError(f"Error while serializing: {told}") from error


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file by name.

    Raises :class:`SafetensorError` for other files, ``ValueError`` for unsupported number types.
    """
    data = path.read_bytes()
    if len(data) < 8:
        raise SafetensorError("Error while deserializing header: header too small")
    (length,) = struct.unpack("<Q", data[:8])
    if length > _MAX_HEADER:
        raise SafetensorError("Error while deserializing header: header too large")
    if length > len(data) - 8:
        raise SafetensorError("Error while deserializing header: invalid header length")
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _TYPES:
            raise ValueError(f"{path.name}: numbers of type {entry['dtype']} are not supported")
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<")
        arrays[name] = np.frombuffer(data[start:end], dtype=kind).reshape(entry["shape"])
    return arrays
