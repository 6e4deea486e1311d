"""Checks values against an input's declaration in ``/object_info``."""

from __future__ import annotations

import math
from typing import Any

from .._error_text import nearest
from ..exceptions import InputSelectorError
from .dynamic_inputs import DYNAMIC_COMBO, option_keys, spec_settings, spec_type, widget_type
from .json_values import describe, json_problem

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC_COMBO})
"""Types whose values are constants; values of other types arrive through links, unless an extension has a widget."""

BOX = ("x", "y", "width", "height")
"""The keys of a BOUNDING_BOX (since 0.33.0 in the definitions, not in 0.3.64)."""


def choices(spec: Any) -> list[Any] | None:
    """Return the values that a combo of either dialect allows, or ``None`` if its list is not binding.

    A list is not binding for multiple selection, if the frontend fetches or fills it, and for file pickers, because
    files in subfolders are allowed but not listed.
    """
    if spec_type(spec) == DYNAMIC_COMBO:
        return option_keys(spec) or None
    if spec_type(spec) != "COMBO":
        return None
    settings = spec_settings(spec)
    options = spec[0] if isinstance(spec[0], list) else settings.get("options")
    if not options or not isinstance(options, list) or settings.get("multiselect") or settings.get("remote"):
        return None
    # Since 0.21.0 the settings of the widget for multiple selection are an object, which may be empty.
    if settings.get("multi_select") is not None:
        return None
    return None if any(str(key).endswith(("_upload", "_folder")) for key in settings) else options


def check_value(selector: str, value: object, spec: Any, *, remedy: str = "") -> None:
    """Accept a value for an input, or raise :class:`InputSelectorError` saying what it takes.

    ``spec`` is the input's declaration, ``None`` if unknown. Nothing is converted: the string ``"20"`` is not a number.
    ``remedy`` is appended if the value is not in the input's list.
    """
    problem = json_problem(value)
    if problem:
        raise InputSelectorError(selector, f"the value cannot be sent: {problem}")
    if spec is None:
        return
    kind = widget_type(spec) if "," in spec_type(spec) else spec_type(spec)
    if kind in {"INT", "FLOAT"}:
        _check_number(selector, value, kind, spec)
    elif kind == "STRING" and not isinstance(value, str):
        raise InputSelectorError(selector, f"takes a string, given {describe(value)}")
    elif kind == "BOOLEAN" and not isinstance(value, bool):
        raise InputSelectorError(selector, f"takes true or false, given {describe(value)}")
    elif kind == "BOUNDING_BOX" and not _is_box(value):
        problem = f"takes an object with the whole numbers x, y, width and height, given {describe(value)}"
        raise InputSelectorError(selector, problem)
    elif (allowed := choices(spec)) is not None and not _is_among(value, allowed):
        ordered = nearest(str(value), [str(option) for option in allowed])
        raise InputSelectorError(
            selector, f"{describe(value)} is not among its {len(allowed)} values", ordered, remedy=remedy
        )


def _check_number(selector: str, value: object, kind: str, spec: Any) -> None:
    is_number = isinstance(value, int | float if kind == "FLOAT" else int) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        name = "a whole number" if kind == "INT" else "a number"
        raise InputSelectorError(selector, f"takes {name}, given {describe(value)}")
    settings = spec_settings(spec)
    low, high = settings.get("min"), settings.get("max")
    number: Any = value
    if (isinstance(low, int | float) and number < low) or (isinstance(high, int | float) and number > high):
        raise InputSelectorError(selector, f"takes a number from {low} to {high}, given {value}")


def _is_box(value: object) -> bool:
    return isinstance(value, dict) and all(type(value.get(side)) is int for side in BOX)


def _is_among(value: object, allowed: list[Any]) -> bool:
    return any(option == value and isinstance(option, bool) == isinstance(value, bool) for option in allowed)
