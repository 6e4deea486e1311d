"""JSON values reduced to the types of what they hold, so that two servers' answers can be compared by their form."""

from __future__ import annotations

import re
from typing import Any

_IDS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[a-z]{0,2}\d+([.:].*)?")
"""Keys that name one thing (a prompt, a node, a hash), and not a field."""
_KINDS = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "null"}


def kinds(value: Any) -> Any:
    """A value with the types of its leaves; of a list, and of an object by ids, those of its elements, each once."""
    if isinstance(value, list):
        return distinct(kinds(item) for item in value)
    if not isinstance(value, dict):
        return _KINDS[type(value)]
    found = {key: kinds(item) for key, item in value.items() if not _IDS.fullmatch(key)}
    named = distinct(kinds(item) for key, item in value.items() if _IDS.fullmatch(key))
    return found | ({"<id>": named} if named else {})


def distinct(values: Any) -> list[Any]:
    """The values, each once."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def merged(one: Any, other: Any) -> Any:
    """The form of a thing of which two forms were seen: fields of both, alternatives of both."""
    if one is None or one == other:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: merged(one.get(key), other.get(key, one.get(key))) for key in sorted(one.keys() | other.keys())}
    if isinstance(one, list) and isinstance(other, list):
        return alternatives(one, other)
    texts = {text for value in (one, other) for text in (value.split(" or ") if isinstance(value, str) else ["more"])}
    return " or ".join(sorted(texts))


def alternatives(one: list[Any], other: list[Any]) -> list[Any]:
    """The elements of two lists of forms; objects are merged into one."""
    objects = [item for item in (*one, *other) if isinstance(item, dict)]
    form: Any = None
    for item in objects:
        form = merged(form, item)
    plain = distinct(item for item in (*one, *other) if not isinstance(item, dict))
    return [*sorted(plain, key=repr), *([form] if objects else [])]
