"""numpy arrays as parts of a stored value: their types by name, and their bytes in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import DamagedDataError, UnsupportedValueError

Array = np.ndarray[Any, Any]

_PLAIN: Mapping[str, str] = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "C64": "<c8",
}
"""The types that the layout and numpy both have."""
_NAMES = {np.dtype(code): name for name, code in _PLAIN.items()}
_ITEMS_OF_FOREIGN: Mapping[int, str] = {1: "|u1", 2: "<u2"}
"""How numpy holds an item of a type that it lacks, by the bytes of one."""
_SPECIAL = re.compile(r"<c16|<[Mm]8(\[\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?|\|S[1-9]\d{0,9}|<U[1-9]\d{0,9}")
"""Types that numpy has and the layout lacks; their items are stored as several plain ones."""
_PIECE = 16 << 20
"""Bytes that are copied at a time from an array whose items do not lie in order."""
_LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True, eq=False)
class RawTensor:
    """A tensor of a type that numpy lacks, where torch is not installed: it can be saved again, unchanged.

    ``dtype`` is the type's name in the safetensors layout, such as ``BF16``; ``data`` has the bits of each item.
    """

    dtype: str
    data: Array


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPart:
    """An array of a value: the name of its type and its shape in the layout, and the array itself."""

    dtype: str
    shape: tuple[int, ...]
    array: Array

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes in order. Only an array whose items do not lie in order is copied, a piece at a time."""
        if self.array.size:
            yield from _pieces(self.array)


def array_part(array: Array, place: str) -> tuple[ArrayPart, str]:
    """The part, and numpy's own name of the type, empty if the layout has it. Raises UnsupportedValueError."""
    if type(array) not in (np.ndarray, np.memmap):
        raise UnsupportedValueError(
            f"a {type(array).__name__} cannot be stored", place=place, remedy="Store numpy.asarray() of it"
        )
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not _IS_LITTLE):
        array = array.astype(array.dtype.newbyteorder("<"))
    name = _NAMES.get(array.dtype)
    if name is not None:
        return ArrayPart(name, array.shape, array), ""
    code = array.dtype.str
    if not _SPECIAL.fullmatch(code):
        raise UnsupportedValueError(
            f"an array of type {array.dtype} cannot be stored", place=place, remedy="Convert it to numbers or text"
        )
    return ArrayPart(*_stored_as(code, array.shape), array), code


def foreign_part(tensor: RawTensor, place: str) -> ArrayPart:
    """The part of a tensor of a type that numpy lacks. Raises UnsupportedValueError."""
    from .layout import ITEM_SIZES

    if tensor.dtype in _PLAIN or ITEM_SIZES.get(tensor.dtype) != tensor.data.dtype.itemsize:
        raise UnsupportedValueError(f"a RawTensor cannot have the type {tensor.dtype!r}", place=place)
    return ArrayPart(tensor.dtype, tensor.data.shape, tensor.data)


def array_at(buffer: memoryview, begin: int, dtype: str, shape: tuple[int, ...], code: str = "") -> Array:
    """An array whose numbers are those in ``buffer``, shared with it. Raises DamagedDataError.

    ``code`` is numpy's own name of the type, if the layout lacks it. An item of a type that numpy lacks becomes an
    integer with the same bits.
    """
    if code:
        shape = _unpacked(code, dtype, shape)
    elif dtype not in _PLAIN:
        from .layout import ITEM_SIZES

        code = _ITEMS_OF_FOREIGN[ITEM_SIZES[dtype]]
    else:
        code = _PLAIN[dtype]
    try:
        array: Array = np.ndarray(shape, np.dtype(code), buffer, begin)
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedDataError(f"an array of shape {shape} cannot be made: {error}") from error
    if code.startswith("<U"):
        _check_text(buffer, begin, array)
    return array


def _stored_as(code: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The type and the shape in the layout of an array of a special type."""
    if code == "<c16":
        return "F64", (*shape, 2)
    if code[1] in "Mm":
        return "I64", shape
    count = int(code[2:])
    return ("U8" if code[1] == "S" else "U32"), (*shape, count)


def _unpacked(code: str, dtype: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not _SPECIAL.fullmatch(code):
        raise DamagedDataError(f"an array has the unknown type {code!r}")
    outer = shape if code[1] in "Mm" else shape[:-1]
    if _stored_as(code, outer) != (dtype, shape):
        raise DamagedDataError(f"an array of type {code!r} is stored as {dtype} of shape {shape}")
    return outer


def _check_text(buffer: memoryview, begin: int, array: Array) -> None:
    # Reading an item that is not a character would raise far away from here.
    if array.size:
        characters = np.ndarray((array.nbytes // 4,), np.dtype("<u4"), buffer, begin)
        if int(characters.max()) > _LAST_CHARACTER:
            raise DamagedDataError("an array of text has items that are not characters")


def _pieces(array: Array) -> Iterator[memoryview]:
    if array.flags.c_contiguous:
        yield _bytes_of(array)
        return
    if array.ndim > 1 and array.nbytes > _PIECE:
        step = max(1, len(array) * _PIECE // array.nbytes)
        for start in range(0, len(array), step):
            yield from _pieces(array[start : start + step]) if step < len(array) else _pieces(array[start])
        return
    yield _bytes_of(np.ascontiguousarray(array))


def _bytes_of(array: Array) -> memoryview:
    # Dates and text have no buffer of their own.
    return array.reshape(-1).view(np.uint8).data


_IS_LITTLE = np.dtype("=u2").str == "<u2"
