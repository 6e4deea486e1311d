"""What JavaScript makes of values that pass through it. Pure."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

Value = str | int | float | bool
"""A plain value of a widget."""

_SAFE: Final = 1 << 53
_EXPONENT: Final = 1e21
"""From here on JavaScript writes numbers with an exponent, which Python reads as floats."""


def through_javascript(value: Value) -> Value:
    """What a value is after JavaScript has read and written it: numbers are doubles, and whole ones have no point.

    ``JSON.stringify`` writes the shortest digits that mean the same double, as Python's ``repr`` does, and fills up
    with zeros below 1e21.
    """
    if isinstance(value, str | bool) or (isinstance(value, int) and abs(value) <= _SAFE):
        return value
    number = float(value)
    if not number.is_integer():
        return number
    if abs(number) >= _EXPONENT or not math.isfinite(number):
        return number
    return int(Decimal(repr(number)))


def id_text(value: Any) -> str:
    """A node's or link's id as prompts write it: ``5.0`` is ``5``, and beyond 2**53 not every whole number exists."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    try:
        return str(through_javascript(value))
    except OverflowError:
        return str(value)
