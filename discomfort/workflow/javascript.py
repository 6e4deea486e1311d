"""Values as JavaScript writes them. Pure."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

Value = str | int | float | bool
"""A plain value of a widget."""

_SAFE: Final = 1 << 53
_EXPONENT: Final = 1e21
"""JavaScript writes numbers from this one up with an exponent, which Python reads as floats."""


def through_javascript(value: Value) -> Value:
    """The value after JavaScript has read and written it: numbers are doubles, and whole ones have no decimal point.

    ``JSON.stringify`` writes the shortest digits that give the same double, as Python's ``repr`` does, and pads with
    zeros below 1e21.
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
    """A node's or link's id as prompts write it: ``5.0`` becomes ``5``, and whole numbers beyond 2**53 are rounded."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    try:
        return str(through_javascript(value))
    except OverflowError:
        return str(value)
