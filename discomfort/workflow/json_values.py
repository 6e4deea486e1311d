"""Helpers for JSON values that do not recurse, so that deep nesting cannot exhaust the stack."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 200
"""Maximum depth of nesting. Python's JSON parser fails near 1,000, as does a server's hashing of inputs."""


def describe(value: object) -> str:
    """Describe a value briefly for error messages: ``a list of 3 items``, ``the number 7``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {str(value)[:40]}" if not isinstance(value, int) or value.bit_length() < 128 else "a number"
    if isinstance(value, str):
        return f"the string {value[:40]!r}{'…' if len(value) > 40 else ''}" if value else "an empty string"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} item{'' if len(value) == 1 else 's'}" if value else "an empty list"
    if isinstance(value, dict):
        if not value:
            return "an empty object"
        keys = ", ".join(repr(str(key)[:30]) for key in list(value)[:5])
        return f"an object with the keys {keys}{', …' if len(value) > 5 else ''}"
    return f"a Python object of type {type(value).__name__}"


def is_link(value: object) -> bool:
    """Return whether a server reads this input value as a link: a pair of string and number.

    Fractions and booleans count as numbers, because the server follows even such pairs during execution.
    """
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def json_problem(value: object, limit: int = MAX_DEPTH) -> str | None:
    """Return why a value cannot be sent as JSON, or ``None`` if it can.

    Linear in the size of the value; a container that contains itself is reported as nested too deeply.
    """
    checked: dict[int, int] = {}
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if item is None or isinstance(item, str | int | float):
            continue
        if not isinstance(item, dict | list | tuple):
            return f"{type(item).__name__} is not a JSON type"
        if depth >= limit:
            return f"nested deeper than {limit} levels"
        # A shared container is visited again only at a greater depth. That bounds the work even if it contains itself.
        if checked.get(id(item), -1) >= depth:
            continue
        checked[id(item)] = depth
        children: Any = item
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    return f"the key {str(key)[:40]!r} is of type {type(key).__name__}, not a string"
            children = item.values()
        stack.extend((child, depth + 1) for child in children)
    return None
