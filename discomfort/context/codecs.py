"""The two forms of a stored value: JSON text, or the safetensors layout if the value has arrays. No pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..exceptions import DamagedDataError, UnsupportedValueError
from . import layout
from .arrays import ArrayPart
from .tensors import TensorKind
from .trees import TreeReader, TreeWriter

Codec = Literal["json", "tensors"]
CODECS: tuple[Codec, ...] = ("json", "tensors")

_FORMAT = "1"
_FORMAT_KEY, _TREE_KEY = "discomfort_format", "discomfort_tree"


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """A value ready to be written: ``head``, then the arrays. It shares the arrays with the value until then.

    With the codec ``json`` the head is everything. ``size`` is the total in bytes.
    """

    codec: Codec
    head: bytes
    parts: tuple[ArrayPart, ...]
    size: int

    def pieces(self) -> Iterator[bytes | memoryview]:
        """All bytes, in order."""
        yield self.head
        for part in self.parts:
            yield from part.pieces()


def encode(value: object) -> EncodedValue:
    """Encode a value. Raises UnsupportedValueError, which names the place in the value."""
    writer = TreeWriter()
    text = json.dumps(writer.tree(value), separators=(",", ":"))
    if not writer.parts:
        head = text.encode("ascii")
        return EncodedValue("json", head, (), len(head))
    names = list(writer.parts)
    parts = [writer.parts[name] for name in names]
    order = layout.storage_order([part.dtype for part in parts])
    arrays = [(names[index], parts[index].dtype, parts[index].shape) for index in order]
    try:
        head = layout.header(arrays, {_FORMAT_KEY: _FORMAT, _TREE_KEY: text})
    except ValueError as error:
        raise UnsupportedValueError(
            f"has {len(text) / 1e6:.0f} MB of text beside its arrays, and at most {layout.MAX_HEADER / 1e6:.0f} can be",
            remedy="Store texts and arrays as two values",
        ) from error
    stored = tuple(parts[index] for index in order)
    return EncodedValue("tensors", head, stored, len(head) + sum(part.array.nbytes for part in stored))


def decode(codec: str, data: bytes | memoryview, tensor_kind: TensorKind = "auto") -> Any:
    """The value of these bytes. Its arrays share memory with ``data``, and are writable if that is.

    Raises DamagedDataError for bytes that :func:`encode` does not make. Nothing is allocated that they only claim to
    have.
    """
    if codec == "json":
        return TreeReader().value(_json_of(bytes(data)))
    if codec != "tensors":
        raise DamagedDataError(f"has the unknown form {codec!r}")
    view = memoryview(data)
    metadata, spans = layout.parsed(view)
    if metadata.get(_FORMAT_KEY) != _FORMAT or _TREE_KEY not in metadata:
        raise DamagedDataError(f"is not of format {_FORMAT}, but of {metadata.get(_FORMAT_KEY)!r}")
    return TreeReader(spans, view, tensor_kind).value(_json_of(metadata[_TREE_KEY].encode("ascii", "replace")))


def _json_of(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedDataError(f"its tree is not JSON: {error}") from error
