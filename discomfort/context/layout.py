"""The safetensors layout: eight bytes of length, a JSON header, then the raw numbers of each array without gaps.

Arrays with the largest items come first, so each is aligned for its items.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import DamagedDataError

ITEM_SIZES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Bytes of one item by the name of its type."""

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_ALIGNMENT = 64
MAX_HEADER = 100 << 20
"""The layout's own limit, in bytes."""
_MAX_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class ArraySpan:
    """One array of a file: the name of its type, its shape, and where its numbers begin in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int


def byte_count(dtype: str, shape: Sequence[int]) -> int:
    """The bytes of an array."""
    return ITEM_SIZES[dtype] * math.prod(shape)


def storage_order(dtypes: Sequence[str]) -> list[int]:
    """The positions of arrays in the order in which their numbers are stored."""
    return sorted(range(len(dtypes)), key=lambda index: -ITEM_SIZES[dtypes[index]])


def header(arrays: Sequence[tuple[str, str, Sequence[int]]], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a file, up to the first number. ``arrays`` has name, type and shape of each, as stored.

    Raises ValueError if it is longer than the layout allows.
    """
    table: dict[str, Any] = {_METADATA: dict(metadata)}
    begin = 0
    for name, dtype, shape in arrays:
        end = begin + byte_count(dtype, shape)
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(table, separators=(",", ":")).encode("ascii")
    text += b" " * (-(len(text) + _LENGTH.size) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ValueError(f"a header of {len(text)} bytes is longer than the layout allows")
    return _LENGTH.pack(len(text)) + text


def parsed(data: memoryview) -> tuple[dict[str, str], dict[str, ArraySpan]]:
    """The metadata and the arrays of a whole file. Allocates nothing that the file only claims to have.

    Raises DamagedDataError.
    """
    if len(data) < _LENGTH.size:
        raise DamagedDataError(f"has {len(data)} bytes, too few for a header")
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    if length > MAX_HEADER or start > len(data):
        raise DamagedDataError(f"has {len(data)} bytes and a header that would have {length}")
    try:
        table = json.loads(bytes(data[_LENGTH.size : start]))
    except (ValueError, RecursionError) as error:
        raise DamagedDataError(f"its header is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise DamagedDataError("its header is not an object")
    metadata = table.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
        raise DamagedDataError("its metadata are not texts")
    spans = {name: _span(name, entry, len(data) - start) for name, entry in table.items()}
    _check_without_gaps(spans, len(data) - start)
    return metadata, {name: ArraySpan(span.dtype, span.shape, start + span.begin) for name, span in spans.items()}


def _span(name: str, entry: object, room: int) -> ArraySpan:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise DamagedDataError(f"array {name!r} has no type, shape and place")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise DamagedDataError(f"array {name!r} has the unknown type {dtype!r}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise DamagedDataError(f"array {name!r} has no valid shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= room:
        raise DamagedDataError(f"array {name!r} is not inside the file")
    if byte_count(dtype, shape) != offsets[1] - offsets[0]:
        raise DamagedDataError(f"array {name!r} has another size than its shape")
    return ArraySpan(dtype, tuple(shape), offsets[0])


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _check_without_gaps(spans: Mapping[str, ArraySpan], room: int) -> None:
    at = 0
    # An empty array begins where another one does, so it comes first.
    for begin, size in sorted((span.begin, byte_count(span.dtype, span.shape)) for span in spans.values()):
        if begin != at:
            raise DamagedDataError("its arrays overlap or have gaps")
        at += size
    if at != room:
        raise DamagedDataError(f"has {room} bytes of numbers, but its arrays have {at}")
