"""JSON as ComfyUI uses it: fast with orjson, and tolerant of the bare ``NaN`` and ``Infinity`` that servers send."""

from __future__ import annotations

import json
import marshal
import re
from typing import Any

import orjson

from discomfort._json_objects import JsonObject, copied

__all__ = ["JsonObject", "copied", "dumps", "loads"]


def loads(data: bytes | str) -> Any:
    """Parse JSON; ``NaN`` and ``Infinity`` become floats (ComfyUI sends them, although RFC 8259 has no such numbers).

    Raises ``ValueError`` if the text is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def dumps(value: object) -> bytes:
    """Serialize to UTF-8 JSON; integers beyond 64 bits and non-finite floats are kept as Python's ``json`` writes them.

    Raises ``TypeError`` for values that JSON cannot represent.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()
    # orjson writes NaN as null, which would silently change the value. Most nulls are None, though.
    return json.dumps(value).encode() if b"null" in text and _may_be_non_finite(value) else text


_EXPONENT_FULL = re.compile(rb"[g\xe7].{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
"""A float in :mod:`marshal`'s form (``g`` and eight bytes, little-endian) whose exponent is all ones: NaN, infinity."""


def _may_be_non_finite(value: Any) -> bool:
    """Whether some number in a value may be NaN or infinite; text that looks like one counts too.

    Searching the output of marshal takes a tenth of the time of a walk through the value.
    """
    try:
        return _EXPONENT_FULL.search(marshal.dumps(value)) is not None
    except ValueError:  # a type that marshal does not know, such as a subclass of dict
        return True
