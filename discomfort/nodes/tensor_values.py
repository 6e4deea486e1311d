"""Values as nodes have them: their arrays are tensors where there is torch, and the same object is recognised."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..context.codecs import EncodedValue
from ..context.file_values import FileValue
from ..context.tensors import made_of
from ..context.trees import NodeList
from .file_objects import object_of

_ATOMS = (str, int, float, bool, complex, type(None))
_MOST_OBJECTS = 1000


def with_tensors(value: Any) -> Any:
    """The value with tensors in place of numpy's arrays, if torch has their type, and with ComfyUI's objects for files.

    Raises UnsupportedValueError if this ComfyUI has no class for a file.
    """
    if type(value) is np.ndarray:
        with contextlib.suppress(TypeError):  # text and dates, and what an older torch lacks
            return made_of(value, "", "auto")
        return value
    if isinstance(value, dict):
        return {key: with_tensors(each) for key, each in value.items()}
    if isinstance(value, NodeList):
        return NodeList(with_tensors(each) for each in value)
    if type(value) in (list, tuple):
        return type(value)(with_tensors(each) for each in value)
    return object_of(value) if isinstance(value, FileValue) else value


class ObjectDigests:
    """Digests of values: the same for the very same objects, as ComfyUI hands them out while they are cached.

    Numbers are not read. What is in an object may be changed in place, though nodes must not do that; torch counts such
    changes, unless it is in inference mode.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[tuple[weakref.ref[Any], ...], str]] = {}

    def of(self, value: object, encoded: EncodedValue) -> str:
        """The digest of a value, 64 hex digits."""
        if not encoded.parts:
            return hashlib.sha256(encoded.head).hexdigest()
        objects = list(_objects(value))
        try:
            refs = tuple(map(weakref.ref, objects))
        except TypeError:
            return secrets.token_hex(32)
        key = (hashlib.sha256(encoded.head).digest(), *((id(each), _changes(each)) for each in objects))
        known = self._known.pop(key, None)
        if known is None or any(ref() is not each for ref, each in zip(known[0], objects)):  # noqa: B905 - equal keys
            known = refs, secrets.token_hex(32)
        self._forget_dead()
        self._known[key] = known
        return known[1]

    def _forget_dead(self) -> None:
        for key, (refs, _) in list(self._known.items()):
            if any(ref() is None for ref in refs):
                del self._known[key]
        while len(self._known) >= _MOST_OBJECTS:
            del self._known[next(iter(self._known))]


def _objects(value: Any) -> Iterator[Any]:
    """Everything in a value whose contents its encoded head does not have."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _objects(each)
    elif not isinstance(value, _ATOMS):
        yield value


def _changes(tensor: Any) -> int | None:
    try:
        return getattr(tensor, "_version", None)
    except RuntimeError:  # not counted in inference mode
        return None
