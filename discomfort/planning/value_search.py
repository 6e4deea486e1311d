"""Values that the server would refuse, as its own check does it, with the nearest value that it takes.

ComfyUI converts before it checks: the text ``"20"`` is a number. A class with a check of its own (``VALIDATE_INPUTS``)
may take more than its list, which definitions do not tell; those of ComfyUI are known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._error_text import nearest
from discomfort.planning.constant_inputs import ConstantInput
from discomfort.planning.needs import ValueNeed
from discomfort.workflow.dynamic_inputs import spec_settings, spec_type
from discomfort.workflow.input_values import choices
from discomfort.workflow.json_values import describe

_OWN_CHECKS = frozenset(
    {"ModelAttentionBackend", "SelectModelDevice", "SelectCLIPDevice", "SelectVAEDevice", "CustomCombo"}
)
"""Classes that take values outside of their lists (ComfyUI 0.33.0)."""


def value_need(each: ConstantInput) -> ValueNeed | None:
    """What is wrong with a constant, if anything is. Files and models are not checked here."""
    kind = spec_type(each.spec) if each.spec is not None else ""
    if kind in ("INT", "FLOAT"):
        return _number_need(each, kind)
    allowed = choices(each.spec) if each.spec is not None else None
    if allowed is None or each.value in allowed or each.class_type in _OWN_CHECKS:
        return None
    near = nearest(str(each.value), [str(option) for option in allowed])[0]
    found = next(option for option in allowed if str(option) == near)
    problem = f"{describe(each.value)} is not among its {len(allowed)} values"
    return ValueNeed(input=each.place, value=each.value, problem=problem, nearest=found)


def absent_need(each: ConstantInput) -> ValueNeed:
    """The need of a required input without value and link."""
    problem = f"is required by {each.class_type}, and has neither a value nor a link"
    return ValueNeed(input=each.place, value=None, problem=problem, nearest=spec_settings(each.spec).get("default"))


def _number_need(each: ConstantInput, kind: str) -> ValueNeed | None:
    settings = spec_settings(each.spec)
    try:
        number: float = int(each.value) if kind == "INT" else float(each.value)
    except (TypeError, ValueError, OverflowError):
        name = "a whole number" if kind == "INT" else "a number"
        problem = f"takes {name}, given {describe(each.value)}"
        return ValueNeed(input=each.place, value=each.value, problem=problem, nearest=settings.get("default"))
    low, high = _limit(settings, "min"), _limit(settings, "max")
    bound = low if low is not None and number < low else high if high is not None and number > high else None
    if bound is None:
        return None
    problem = f"{each.value} is outside of {low} to {high}"
    return ValueNeed(input=each.place, value=each.value, problem=problem, nearest=bound)


def _limit(settings: Mapping[str, Any], key: str) -> float | None:
    limit = settings.get(key)
    return limit if isinstance(limit, int | float) and not isinstance(limit, bool) else None
