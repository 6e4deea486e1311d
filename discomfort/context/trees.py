"""Values as JSON trees, whose arrays are taken out: everything else is in the tree, with markers for what JSON lacks.

A marker is an object with the key ``$``, the name of its kind, such as ``{"$": "tuple", "v": [1, 2]}``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..exceptions import DamagedDataError, UnsupportedValueError
from . import pictures, tensors
from .arrays import Array, ArrayPart, RawTensor, array_at, array_part, foreign_part
from .file_values import FileValue, file_of
from .layout import ArraySpan

DEEPEST = 200
"""How deep lists and dictionaries may be nested."""

_MARK = "$"
_ATOMS = frozenset({str, int, float, bool, type(None)})
_SMALL = 1 << 62
_SURROGATE = re.compile("[\ud800-\udfff]")
_INLINE_BYTES = 4096
"""Bytes from which a ``bytes`` object is stored as an array instead of as text."""
_REMEDY = "Store numbers, texts, arrays, pictures, or lists and dictionaries of them"


_PLAIN: tuple[type, ...] = (dict, list, tuple, str, bool, int, float, bytes, bytearray, set, frozenset)
"""Values of classes below these, such as results of runs, named tuples and members of IntEnum, become plain ones."""


class NodeList(list[Any]):
    """What an output that ComfyUI calls a list gave: each item is a value of its own, not the whole a single one."""

    __slots__ = ()


class TreeWriter:
    """Makes the tree of one value; ``parts`` has its arrays by name afterwards, in the order of the tree."""

    def __init__(self) -> None:
        self.parts: dict[str, ArrayPart] = {}

    def tree(self, value: object, keys: tuple[object, ...] = ()) -> Any:
        """The JSON value for ``value``, which is at ``keys`` of the whole. Raises UnsupportedValueError."""
        kind = type(value)
        if kind in _ATOMS:
            return _atom(value)
        if len(keys) > DEEPEST:
            raise UnsupportedValueError(
                f"is nested deeper than {DEEPEST} levels, or contains itself", place=_place(keys[:3]) + "…"
            )
        write = _WRITERS.get(kind)
        if write is not None:
            return write(self, value, keys)
        return self._other(value, keys)

    def _list(self, value: list[Any], keys: tuple[object, ...]) -> Any:
        return [
            _atom(each) if each.__class__ in _ATOMS else self.tree(each, (*keys, index))
            for index, each in enumerate(value)
        ]

    def _tuple(self, value: tuple[Any, ...], keys: tuple[object, ...]) -> Any:
        return {_MARK: "tuple", "v": self._list(list(value), keys)}

    def _node_list(self, value: NodeList, keys: tuple[object, ...]) -> Any:
        return {_MARK: "node list", "v": self._list(value, keys)}

    def _set(self, value: set[Any] | frozenset[Any], keys: tuple[object, ...]) -> Any:
        return {_MARK: type(value).__name__, "v": self._list(list(value), keys)}

    def _dict(self, value: dict[Any, Any], keys: tuple[object, ...]) -> Any:
        if all(type(key) is str and (key.isascii() or not _SURROGATE.search(key)) for key in value):
            tree = {
                key: _atom(each) if each.__class__ in _ATOMS else self.tree(each, (*keys, key))
                for key, each in value.items()
            }
            return {_MARK: "dict", "v": tree} if _MARK in tree else tree
        pairs = [[self.tree(key, (*keys, key)), self.tree(each, (*keys, key))] for key, each in value.items()]
        return {_MARK: "pairs", "v": pairs}

    def _complex(self, value: complex, keys: tuple[object, ...]) -> Any:
        return {_MARK: "complex", "v": [value.real, value.imag]}

    def _path(self, value: PurePath, keys: tuple[object, ...]) -> Any:
        return {_MARK: "path", "v": self.tree(str(value), keys)}

    def _bytes(self, value: bytes | bytearray, keys: tuple[object, ...]) -> Any:
        kind = type(value).__name__
        if len(value) <= _INLINE_BYTES:
            return {_MARK: kind, "v": _text64(value)}
        return {_MARK: kind, "n": self._keep(array_part(np.frombuffer(value, np.uint8), _place(keys))[0], keys)}

    def _array(self, value: Array, keys: tuple[object, ...]) -> Any:
        return self._marked("array", *array_part(value, _place(keys)), keys)

    def _raw(self, value: RawTensor, keys: tuple[object, ...]) -> Any:
        return self._marked("tensor", foreign_part(value, _place(keys)), "", keys)

    def _scalar(self, value: np.generic, keys: tuple[object, ...]) -> Any:
        part, code = array_part(np.asarray(value), _place(keys))
        data = b"".join(part.pieces())
        return {_MARK: "scalar", "t": part.dtype, "s": list(part.shape), "d": code, "v": _text64(data)}

    def _other(self, value: object, keys: tuple[object, ...]) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(value, keys)
        if isinstance(value, np.generic):
            return self._scalar(value, keys)
        if tensors.is_tensor(value):
            return self._marked("tensor", *tensors.tensor_part(value, _place(keys)), keys)
        if pictures.is_picture(value):
            data, facts = pictures.pixels(value, _place(keys))
            return {_MARK: "picture", "n": self._keep(array_part(data, _place(keys))[0], keys), **facts}
        if isinstance(value, PurePath):
            return self._path(value, keys)
        file = file_of(value, _place(keys))
        if file is not None:
            part = array_part(np.frombuffer(file.view, np.uint8), _place(keys))[0]
            return {_MARK: "file", "n": self._keep(part, keys), "suffix": file.suffix}
        for plain in _PLAIN:
            if isinstance(value, plain):
                return self.tree(plain(value), keys)
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise UnsupportedValueError(f"an object of type {kind} cannot be stored", place=_place(keys), remedy=_REMEDY)

    def _marked(self, kind: str, part: ArrayPart, code: str, keys: tuple[object, ...]) -> dict[str, str]:
        marker = {_MARK: kind, "n": self._keep(part, keys)}
        return {**marker, "d": code} if code else marker

    def _keep(self, part: ArrayPart, keys: tuple[object, ...]) -> str:
        """Give an array a name: its place, so that other programs show something that people recognise."""
        name = ".".join(map(str, keys))[:200] or "value"
        if name in self.parts or name.startswith("_") or _SURROGATE.search(name):
            name = f"array {len(self.parts)}"
        while name in self.parts:
            name += "'"
        self.parts[name] = part
        return name


_WRITERS: Mapping[type, Callable[[TreeWriter, Any, tuple[object, ...]], Any]] = {
    list: TreeWriter._list,
    dict: TreeWriter._dict,
    tuple: TreeWriter._tuple,
    NodeList: TreeWriter._node_list,
    set: TreeWriter._set,
    frozenset: TreeWriter._set,
    complex: TreeWriter._complex,
    bytes: TreeWriter._bytes,
    bytearray: TreeWriter._bytes,
    np.ndarray: TreeWriter._array,
    RawTensor: TreeWriter._raw,
}


class TreeReader:
    """Makes the value of a tree, with the arrays of ``spans``, whose numbers are in ``data`` and stay there."""

    def __init__(
        self,
        spans: Mapping[str, ArraySpan] | None = None,
        data: memoryview | None = None,
        tensor_kind: tensors.TensorKind = "auto",
    ) -> None:
        self._spans, self._data, self._tensor_kind = spans or {}, data, tensor_kind

    def value(self, tree: Any) -> Any:
        """The value. Raises DamagedDataError."""
        try:
            return self._value(tree)
        except DamagedDataError:
            raise
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError, AttributeError) as error:
            raise DamagedDataError(f"its tree is not one of ours: {type(error).__name__}: {error}") from error

    def _value(self, tree: Any) -> Any:
        kind = type(tree)
        if kind is list:
            return [each if each.__class__ in _ATOMS else self._value(each) for each in tree]
        if kind is dict:
            mark = tree.get(_MARK)
            if mark is None:
                return {key: each if each.__class__ in _ATOMS else self._value(each) for key, each in tree.items()}
            return _READERS[mark](self, tree)
        return tree

    def _items(self, marker: dict[str, Any]) -> list[Any]:
        if type(marker["v"]) is not list:
            raise DamagedDataError(f"a {marker[_MARK]} has no list of items")
        return [self._value(each) for each in marker["v"]]

    def _dict(self, marker: dict[str, Any]) -> Any:
        return {key: self._value(each) for key, each in marker["v"].items()}

    def _pairs(self, marker: dict[str, Any]) -> Any:
        return {self._value(key): self._value(each) for key, each in marker["v"]}

    def _path(self, marker: dict[str, Any]) -> Any:
        return Path(self._value(marker["v"]))

    def _bytes(self, marker: dict[str, Any]) -> bytes:
        return self._numbers(marker).tobytes() if "n" in marker else base64.b64decode(marker["v"], validate=True)

    def _array(self, marker: dict[str, Any]) -> Array:
        return self._numbers(marker)

    def _tensor(self, marker: dict[str, Any]) -> Any:
        return tensors.made_of(self._numbers(marker), self._spans[marker["n"]].dtype, self._tensor_kind)

    def _scalar(self, marker: dict[str, Any]) -> Any:
        data = memoryview(base64.b64decode(marker["v"], validate=True))
        array = array_at(data, 0, marker["t"], tuple(marker["s"]), marker["d"])
        if array.shape != () or array.nbytes != len(data):
            raise DamagedDataError("a number has more than one item")
        return array[()]

    def _picture(self, marker: dict[str, Any]) -> Any:
        return pictures.picture_of(self._numbers(marker), marker)

    def _file(self, marker: dict[str, Any]) -> FileValue:
        numbers = self._numbers(marker)
        if numbers.dtype != np.uint8 or numbers.ndim != 1:
            raise DamagedDataError("a file does not consist of bytes")
        return FileValue(numbers.data, marker["suffix"])

    def _numbers(self, marker: dict[str, Any]) -> Array:
        span = self._spans.get(marker["n"])
        if span is None or self._data is None:
            raise DamagedDataError(f"its tree names array {marker['n']!r}, which is not there")
        return array_at(self._data, span.begin, span.dtype, span.shape, marker.get("d", ""))


_READERS: Mapping[str, Callable[[TreeReader, dict[str, Any]], Any]] = {
    "int": lambda _, marker: int(marker["v"], 16),
    "text": lambda _, marker: base64.b64decode(marker["v"], validate=True).decode("utf-32-le", "surrogatepass"),
    "tuple": lambda self, marker: tuple(self._items(marker)),
    "node list": lambda self, marker: NodeList(self._items(marker)),
    "set": lambda self, marker: set(self._items(marker)),
    "frozenset": lambda self, marker: frozenset(self._items(marker)),
    "dict": TreeReader._dict,
    "pairs": TreeReader._pairs,
    "complex": lambda _, marker: complex(*marker["v"]),
    "path": TreeReader._path,
    "bytes": TreeReader._bytes,
    "bytearray": lambda self, marker: bytearray(self._bytes(marker)),
    "array": TreeReader._array,
    "tensor": TreeReader._tensor,
    "scalar": TreeReader._scalar,
    "picture": TreeReader._picture,
    "file": TreeReader._file,
}


def _atom(value: Any) -> Any:
    """An atom as JSON has it, marked if JSON or its parser would change it."""
    if value.__class__ is int:
        return value if -_SMALL < value < _SMALL else {_MARK: "int", "v": hex(value)}
    if value.__class__ is not str or value.isascii() or not _SURROGATE.search(value):
        return value
    return {_MARK: "text", "v": _text64(value.encode("utf-32-le", "surrogatepass"))}


def _place(keys: tuple[object, ...]) -> str:
    return "value" + "".join(f"[{str(key)[:40]!r}]" if isinstance(key, str) else f"[{key!r:.40}]" for key in keys)


def _text64(data: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(data).decode("ascii")
