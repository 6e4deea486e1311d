"""Nodes that calculate with plain numbers: expressions, conversion, resolutions, seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from string import ascii_lowercase
from typing import Any

from comfyui_emulator.nodes.base import choice, growing, integer, link, node, number, text
from comfyui_emulator.nodes.evaluator import evaluate

_UTILITY: dict[str, Any] = {"category": "utilities", "v3": True}
_MOST_EXPONENT = 4000
"""For ``pow()``; the operator ``**`` has a limit of its own."""


def _total(*values: Any) -> Any:
    """The sum of the arguments, or of the items of a single one."""
    return sum(values[0]) if len(values) == 1 and isinstance(values[0], Iterable) else sum(values)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _MOST_EXPONENT:
        raise ValueError(f"Exponent {exponent} exceeds maximum allowed ({_MOST_EXPONENT})")
    return pow(base, exponent)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": _total,
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "pow": _power,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "int": int,
    "float": float,
}


@node(
    "ComfyMathExpression",
    {
        "expression": text(default="a + b", multiline=True),
        "values": growing("value", link("FLOAT,INT,BOOLEAN"), names=ascii_lowercase),
    },
    "FLOAT INT BOOLEAN",
    names="FLOAT INT BOOL",
    module="comfy_extras.nodes_math",
    title="Math Expression",
    **_UTILITY,
)
def calculate(expression: str, values: dict[str, Any]) -> tuple[float, int, bool]:
    """The value of an expression over ``a`` to ``z`` and the list ``values``, as three kinds."""
    if not expression.strip():
        raise ValueError("Expression cannot be empty.")
    result = evaluate(expression, values | {"values": list(values.values())}, _FUNCTIONS)
    told = f"Math Expression '{expression}'"
    if not isinstance(result, int | float):
        kind = type(result).__name__
        raise ValueError(f"{told} must evaluate to a numeric result, got {kind}: {result!r}")  # noqa: TRY004 - ComfyUI's
    try:
        as_float = float(result)
    except OverflowError:
        raise ValueError(f"{told} produced a result too large to represent as a float: {result}") from None
    if not math.isfinite(as_float):
        raise ValueError(f"{told} produced a non-finite result: {result}")
    return as_float, int(result), bool(result)


def _from_text(value: str) -> tuple[float, int]:
    stripped = value.strip()
    if not stripped:
        raise ValueError("Cannot convert empty string to number.")
    try:
        as_float = float(stripped)
    except ValueError:
        raise ValueError(f"Cannot convert string to number: {value!r}") from None
    _check_finite(as_float)
    try:
        return as_float, int(stripped)
    except ValueError:
        return as_float, int(as_float)


def _check_finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"Cannot convert non-finite value to number: {value}")


@node(
    "ComfyNumberConvert",
    {"value": link("INT,FLOAT,STRING,BOOLEAN", display_name="value")},
    "FLOAT INT",
    module="comfy_extras.nodes_number_convert",
    title="Convert Number",
    **_UTILITY,
)
def convert(value: Any) -> tuple[float, int]:
    """A number, a switch or a text as a float and as an integer."""
    if isinstance(value, str):
        return _from_text(value)
    if not isinstance(value, int | float):
        raise TypeError(f"Unsupported input type: {type(value).__name__}")
    # ComfyUI converts an infinite number before it looks at it, and the conversion fails first.
    as_int = int(value)
    as_float = float(value)
    _check_finite(as_float)
    return as_float, as_int


_RATIOS = {
    "1:1 (Square)": (1, 1),
    "2:3 (Portrait Photo)": (2, 3),
    "3:2 (Photo)": (3, 2),
    "3:4 (Portrait Standard)": (3, 4),
    "4:3 (Standard)": (4, 3),
    "9:16 (Portrait Widescreen)": (9, 16),
    "16:9 (Widescreen)": (16, 9),
    "21:9 (Ultrawide)": (21, 9),
}
_MEGAPIXEL = 1024 * 1024


@node(
    "ResolutionSelector",
    {
        "aspect_ratio": choice(list(_RATIOS), default="1:1 (Square)"),
        "megapixels": number(1.0, 0.1, 16.0, step=0.1),
        "multiple": integer(8, 8, 128, step=4, advanced=True),
    },
    "INT INT",
    names="width height",
    module="comfy_extras.nodes_resolution",
    title="Resolution Selector",
    **_UTILITY,
)
def resolution(aspect_ratio: str, megapixels: float, multiple: int) -> tuple[int, int]:
    """Width and height of a picture with this shape and about this many pixels."""
    across, down = _RATIOS[aspect_ratio]
    unit = math.sqrt(megapixels * _MEGAPIXEL / (across * down))
    return round(across * unit / multiple) * multiple, round(down * unit / multiple) * multiple


@node(
    "SeedNode",
    {"seed": integer(None, 0, 2**63 - 1, control_after_generate="fixed")},
    "INT",
    names="seed",
    module="comfy_extras.nodes_seed",
    title="Seed",
    **_UTILITY,
)
def seed(seed: int) -> int:
    """Return the number."""
    return seed
