"""JSON as ComfyUI speaks it: fast by orjson, and tolerant of the bare ``NaN`` and ``Infinity`` that servers emit."""

from __future__ import annotations

import json
from typing import Any

import orjson

JsonObject = dict[str, Any]


def loads(data: bytes | str) -> Any:
    """Parse JSON; ``NaN`` and ``Infinity`` become floats (ComfyUI sends them, RFC 8259 does not know them).

    Raises ``ValueError`` where the text is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def dumps(value: object) -> bytes:
    """Serialize to UTF-8 JSON; integers beyond 64 bits and non-finite floats are kept as Python's ``json`` writes them.

    Raises ``TypeError`` for what JSON can not hold.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()
    # orjson writes NaN as null, which would change the value without a word.
    return text if b"null" not in text else json.dumps(value).encode()
