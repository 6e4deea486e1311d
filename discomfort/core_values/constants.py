"""Constants: values that may stand in an input of a prompt as they are, and the JSON that they become there."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from discomfort.context.tensors import is_tensor
from discomfort.context.trees import NodeList

NOT_CONSTANT = object()
"""What :func:`constant_of` gives for all other values."""

_DEEPEST = 100
_LONGEST = 10_000
"""Bits of a whole number: Python writes no number of more than 4,300 digits as text."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def constant_of(value: object, depth: int = 0) -> Any:
    """The JSON value that a server gets for a value, or :data:`NOT_CONSTANT`.

    Numbers and texts of any class, numpy's and torch's with no dimension among them, paths, and lists and dictionaries
    of these. Not NaN and infinity, tuples, half characters, and what a server would read in another way.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return NOT_CONSTANT if _SURROGATE.search(value) else str.__str__(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST else NOT_CONSTANT
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else NOT_CONSTANT
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return constant_of(path) if isinstance(path, str) else NOT_CONSTANT
    if isinstance(value, (list, dict)):
        return _container(value, depth)
    return _scalar(value)


def _container(value: list[Any] | dict[Any, Any], depth: int) -> Any:
    if depth > _DEEPEST or isinstance(value, NodeList):
        return NOT_CONSTANT
    items = value.values() if isinstance(value, dict) else value
    made = [constant_of(each, depth + 1) for each in items]
    if any(each is NOT_CONSTANT for each in made):
        return NOT_CONSTANT
    if isinstance(value, list):
        return made
    # The server takes an object with this key for a wrapped value.
    keys = [constant_of(key) for key in value]
    is_plain = all(isinstance(key, str) for key in keys) and "__value__" not in keys
    return dict(zip(keys, made, strict=True)) if is_plain else NOT_CONSTANT


def _scalar(value: object) -> Any:
    # Of numpy or torch, which need not be imported for this.
    item = getattr(value, "item", None)
    if getattr(value, "ndim", None) != 0 or not callable(item):
        return NOT_CONSTANT
    if not is_tensor(value) and type(value).__module__.partition(".")[0] != "numpy":
        return NOT_CONSTANT
    plain = item()
    return constant_of(plain) if isinstance(plain, (bool, int, float, str)) else NOT_CONSTANT
