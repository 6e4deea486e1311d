"""Checks what a sidecar says about an input: against itself, against the workflow, and against what the server takes.

What does not hold is reported and left out, so that the input is as it would be without it. No report has a text that
somebody wrote as a value: it may be a prompt, and reports are logged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_inputs import spec_settings, spec_type
from discomfort.workflow.input_values import check_value
from discomfort.workflow.interface.annotations import SCALARS
from discomfort.workflow.interface.declarations import NO_DEFAULT
from discomfort.workflow.json_values import describe
from discomfort.workflow.port_types import is_known

Report = Callable[[str, str], None]
"""Takes a problem and its remedy."""
Fed = tuple[str, Any]
"""An input that gets the value, as text, and its declaration."""

_NUMBERS = frozenset({"INT", "FLOAT", "NUMBER"})
_NARROWER: Mapping[str, frozenset[str]] = {
    "INT": frozenset({"INT"}),
    "FLOAT": frozenset({"FLOAT", "INT", "NUMBER"}),
    "STRING": frozenset({"STRING", "COMBO"}),
    "BOOLEAN": frozenset({"BOOLEAN"}),
    "COMBO": frozenset({"COMBO", "STRING", "INT", "FLOAT", "BOOLEAN"}),
}
"""The types whose values an input of each type takes."""
_WORDS = {"STR": "STRING", "TEXT": "STRING", "BOOL": "BOOLEAN", "INTEGER": "INT", "FLOATS": "FLOAT"}
_CONSTANTS = frozenset({*SCALARS, "NUMBER"})
_BOUNDS = ("minimum", "maximum", "step")


def checked_facts(
    given: Mapping[str, Any], known: Mapping[str, Any], fed: Sequence[Fed], report: Report
) -> dict[str, Any]:
    """What holds of ``given``, the fields of an entry by their names in the sidecar.

    ``known`` are fields of the ``Parameter`` that the other sources and the server give; ``fed`` is all that gets the
    value. ``default`` is ``NO_DEFAULT`` where the entry leaves none that a call could use.
    """
    checks = _Checks(dict(given), known, fed, report)
    for check in (checks.type, checks.effects, checks.numbers, checks.bounds, checks.choices, checks.default):
        check()
    return checks.facts


class _Checks:
    def __init__(self, facts: dict[str, Any], known: Mapping[str, Any], fed: Sequence[Fed], report: Report) -> None:
        self.facts, self._known, self._fed, self._report = facts, known, fed, report

    def type(self) -> None:
        """The type is one whose values the input takes."""
        given, known = self.facts.get("type"), str(self._known.get("type", ""))
        if given is None or given == known:
            return
        word = _WORDS.get(given.upper(), given.upper())
        allowed = frozenset({known}) if self._is_file() else _NARROWER.get(known)
        if word in SCALARS and word != given and (allowed is None or word in allowed):
            self._drop("type", f"'type' is {given!r}", f"write {word}")
        elif allowed is not None and given not in allowed:
            self._drop("type", f"'type' is {given!r}, but it takes {known}", f"write {' or '.join(sorted(allowed))}")

    def effects(self) -> None:
        """Each field says something about a value of this type."""
        kinds, is_open, takes = self._kinds(), not is_known(self._field("type", "")), self._takes()
        for key in _BOUNDS:
            if not is_open and not kinds & _NUMBERS:
                self._drop(key, f"{key!r} has no effect: it takes {takes}", "leave it out")
            elif "choices" in self.facts:
                self._drop(key, f"{key!r} has no effect beside 'choices'", "leave one of them out")
        if self._is_file() or not (is_open or kinds & _CONSTANTS):
            self._drop("choices", f"'choices' has no effect: it takes {takes}", "leave it out")
        if self.facts.get("multiline") and not is_open and "STRING" not in kinds:
            self._drop("multiline", f"'multiline' has no effect: it takes {takes}", "leave it out")

    def numbers(self) -> None:
        """Bounds are numbers that JSON has, and a step leads somewhere."""
        for key in _BOUNDS:
            if key in self.facts and not _is_finite(self.facts[key]):
                self._drop(key, f"{key!r} is not a finite number", "write a number, or leave it out")
        if "step" in self.facts and self.facts["step"] <= 0:
            self._drop("step", f"'step' is {self.facts['step']}", "write a number above 0")

    def bounds(self) -> None:
        """They are within those of the server, and something is between them."""
        for key in ("minimum", "maximum"):
            place, spec = next((each for each in self._fed if _is_outside(self.facts.get(key), each[1])), ("", None))
            if spec is not None:
                allowed = _range(*_server_bounds(spec))
                self._drop(key, f"{key!r} is {self.facts[key]}, but {place} takes {allowed}", f"write {allowed}")
        low, high = self._field("minimum"), self._field("maximum")
        given = [key for key in ("minimum", "maximum") if key in self.facts]
        if not given or low is None or high is None or not self._is_empty(low, high):
            return
        remedy = "swap them" if low > high and len(given) == 2 else "write bounds with a value between them"
        self._report(f"there is no value from the minimum {low} to the maximum {high}", remedy)
        for key in given:
            del self.facts[key]

    def choices(self) -> None:
        """There are some, and the server takes them."""
        if "choices" not in self.facts:
            return
        given, kept = self.facts["choices"], []
        if not given:
            self._drop("choices", "'choices' is empty", "write the values, or leave it out")
            return
        for choice in given:
            error = (
                None
                if isinstance(choice, str | int | float)
                else InputSelectorError("", "it is neither a text nor a number")
            )
            error = error or self._refusal(choice)
            if error is None:
                kept.append(choice)
            else:
                problem = "the server does not have it" if error.candidates else error.problem
                self._report(f"'choices' has {describe(choice)}: {problem}", _meant(error))
        self.facts["choices"] = tuple(kept)
        if not kept:
            del self.facts["choices"]

    def default(self) -> None:
        """A call without the value has one that it takes: that of the sidecar, else that of the workflow."""
        if self.facts.get("required"):
            self._drop("default", "'default' has no effect: it is required", "leave one of them out")
            return
        found = self._default_problem(self.facts["default"]) if "default" in self.facts else None
        if found is not None:
            self._drop("default", *found)
        if "default" not in self.facts:
            self._workflow_value()

    def _workflow_value(self) -> None:
        value = self._known.get("default", NO_DEFAULT)
        narrowed = [key for key in ("type", "minimum", "maximum", "choices") if key in self.facts]
        if value is not NO_DEFAULT and narrowed and not self._is_file() and self._own_refusal(value) is not None:
            shown = f" {value}" if isinstance(value, int | float) else ""
            problem = f"the workflow's value{shown} is not what {' and '.join(map(repr, narrowed))} allow"
            self._report(f"{problem}, so a call must give one", "write a default, or required: true")
            self.facts["default"] = NO_DEFAULT

    def _default_problem(self, value: Any) -> tuple[str, str] | None:
        if self._is_file() or not self._is_constant():
            if isinstance(value, str):
                return None
            return f"'default' is {describe(value)}, but it takes {self._takes()}", "write the path of a file"
        error = self._own_refusal(value) or self._refusal(value)
        if error is None:
            return None
        shown = "a text" if isinstance(value, str) else describe(value)
        if error.candidates:
            return f"'default' is {shown} that is not among its values", _meant(error)
        low, high = self._field("minimum"), self._field("maximum")
        takes = _range(low, high) if self._kinds() & _NUMBERS else self._takes()
        return f"'default' is {shown}, but it takes {takes}", "write such a value, or leave it out"

    def _refusal(self, value: Any) -> InputSelectorError | None:
        """What the first input says that does not take the value."""
        return next((error for _, spec in self._fed if (error := _error(value, spec)) is not None), None)

    def _own_refusal(self, value: Any) -> InputSelectorError | None:
        """The same by type, bounds and choices of the parameter itself."""
        choices = self._field("choices")
        if choices:
            return _error(value, [list(choices), {}])
        low, high = self._field("minimum"), self._field("maximum")
        bounds = {"min": -math.inf if low is None else low, "max": math.inf if high is None else high}
        kind = self._field("type", "")
        return _error(value, ["FLOAT" if kind == "NUMBER" else kind, bounds])

    def _is_file(self) -> bool:
        return self._known.get("upload") is not None

    def _is_constant(self) -> bool:
        """Whether it takes a constant: by its type, or because the workflow has one there."""
        is_open = not is_known(self._field("type", ""))
        return is_open or bool(self._kinds() & _CONSTANTS) or self._known.get("default", NO_DEFAULT) is not NO_DEFAULT

    def _kinds(self) -> set[str]:
        return {each.strip().upper() for each in self._field("type", "").split(",")}

    def _takes(self) -> str:
        return "a file" if self._is_file() else str(self._field("type", ""))

    def _is_empty(self, low: float, high: float) -> bool:
        if self._field("type") == "INT":
            return math.ceil(low) > math.floor(high)
        return low > high

    def _field(self, key: str, otherwise: Any = None) -> Any:
        return self.facts.get(key, self._known.get(key, otherwise))

    def _drop(self, key: str, problem: str, remedy: str) -> None:
        if key in self.facts:
            del self.facts[key]
            self._report(problem, remedy)


def _server_bounds(spec: Any) -> tuple[float | None, float | None]:
    settings = spec_settings(spec)
    low, high = (settings.get(key) for key in ("min", "max"))
    return (low if _is_number(low) else None), (high if _is_number(high) else None)


def _is_outside(bound: Any, spec: Any) -> bool:
    """Whether the server takes no such number."""
    if bound is None or spec_type(spec) not in _NUMBERS:
        return False
    low, high = _server_bounds(spec)
    return (low is not None and bound < low) or (high is not None and bound > high)


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a number"
    if low is not None and high is not None:
        return f"a number from {low} to {high}"
    return f"a number of {high} or less" if low is None else f"a number of {low} or more"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _error(value: Any, spec: Any) -> InputSelectorError | None:
    try:
        check_value("value", value, spec)
    except InputSelectorError as error:
        return error
    return None


def _meant(error: InputSelectorError) -> str:
    return f"did you mean {error.candidates[0]!r}?" if error.candidates else ""
