"""Constants of a call, checked against what the interface declares, before anything is sent. Pure."""

from __future__ import annotations

import math
from typing import Any

from discomfort._error_text import nearest
from discomfort.core_values.constants import NOT_CONSTANT, constant_of
from discomfort.core_values.value_fitting import described
from discomfort.workflow.interface.declarations import Parameter

CONSTANT_TYPES = frozenset({"INT", "FLOAT", "NUMBER", "STRING", "BOOLEAN", "COMBO"})
_MOST = 5


class ValueTrouble(Exception):
    """A value is wrong: why, and the nearest that would be right. Becomes a part of a CallError."""

    def __init__(self, problem: str, candidates: tuple[str, ...] = ()) -> None:
        self.problem, self.candidates = problem, candidates
        super().__init__(problem)


def checked_constant(parameter: Parameter, value: object) -> Any:
    """The JSON value that the prompt gets. Raises ValueTrouble.

    Nothing is converted but what is the same in JSON: ``4`` is a FLOAT, the string ``"4"`` is not a number.
    """
    plain = constant_of(value)
    if plain is NOT_CONSTANT:
        raise ValueTrouble(f"takes {_wanted(parameter)}, given {described(value)}")
    if parameter.choices is not None:
        return _choice(parameter, plain)
    kind = parameter.type.upper()
    if kind in ("INT", "FLOAT", "NUMBER"):
        return _number(parameter, plain, is_whole=kind == "INT")
    if kind == "STRING" and not isinstance(plain, str):
        raise ValueTrouble(f"takes a text, given {described(value)}", (repr(str(plain)),))
    if kind == "BOOLEAN" and not isinstance(plain, bool):
        raise ValueTrouble(f"takes True or False, given {described(value)}", _near_boolean(plain))
    return plain


def _choice(parameter: Parameter, value: Any) -> Any:
    choices = parameter.choices or ()
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return value
    near = nearest(str(value), [str(each) for each in choices])[:_MOST]
    shown = tuple(repr(choice) for name in near for choice in choices if str(choice) == name)
    raise ValueTrouble(f"{described(value)} is not among its {len(choices)} values", shown)


def _number(parameter: Parameter, value: Any, *, is_whole: bool) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        raise ValueTrouble(
            f"takes {'a whole number' if is_whole else 'a number'}, given {described(value)}",
            _near_number(parameter, value, is_whole=is_whole),
        )
    low, high = parameter.minimum, parameter.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        near = low if low is not None and value < low else high
        raise ValueTrouble(f"takes {_wanted(parameter)}, given {described(value)}", (_shown(near, is_whole=is_whole),))
    return value


def _near_number(parameter: Parameter, value: Any, *, is_whole: bool) -> tuple[str, ...]:
    """The number that a text or a broken number stands for, within the bounds."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return ()
    if not math.isfinite(number):
        return ()
    near: float = round(number) if is_whole else number
    near = near if parameter.minimum is None else max(near, parameter.minimum)
    near = near if parameter.maximum is None else min(near, parameter.maximum)
    return (_shown(near, is_whole=is_whole),)


def _near_boolean(value: Any) -> tuple[str, ...]:
    word = str(value).strip().casefold()
    if word in ("true", "yes", "on", "1", "1.0"):
        return ("True",)
    return ("False",) if word in ("false", "no", "off", "0", "0.0") else ()


def _wanted(parameter: Parameter) -> str:
    low, high, kind = parameter.minimum, parameter.maximum, parameter.type.upper()
    name = {"INT": "a whole number", "STRING": "a text", "BOOLEAN": "True or False"}.get(kind, "a number")
    if parameter.choices is not None:
        return f"one of {len(parameter.choices)} values"
    if kind not in CONSTANT_TYPES:
        return kind
    if low is None and high is None:
        return name
    is_whole = kind == "INT"
    if low is not None and high is not None:
        return f"{name} from {_shown(low, is_whole=is_whole)} to {_shown(high, is_whole=is_whole)}"
    if low is not None:
        return f"{name} of {_shown(low, is_whole=is_whole)} or more"
    return f"{name} of {_shown(high, is_whole=is_whole)} or less"


def _shown(number: Any, *, is_whole: bool) -> str:
    return str(int(number)) if is_whole else repr(number)
