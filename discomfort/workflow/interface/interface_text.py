"""The text of an interface: one line, and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from discomfort.workflow.interface.annotations import file_alias, number_bounds, scalar_types
from discomfort.workflow.interface.declarations import NO_DEFAULT, InterfaceOutput, InterfaceProblem, Parameter

_FEW = 3
"""Choices that the line names."""
_LONGEST = 32
"""Characters of a value in the line; the table has more."""
_LONGEST_IN_TABLE = 60


def one_line(inputs: Iterable[Parameter], outputs: Iterable[InterfaceOutput]) -> str:
    """Such as ``image: IMAGE · scale: float 1…4 = 2 · -> image``."""
    parts = [_brief(parameter) for parameter in inputs]
    parts.append("-> " + (", ".join(shortened(output.name, _LONGEST) for output in outputs) or "nothing"))
    return " · ".join(parts)


def table(
    inputs: Iterable[Parameter], outputs: Iterable[InterfaceOutput], problems: Sequence[InterfaceProblem] = ()
) -> str:
    """Inputs, outputs and problems, each on a line of its own, in columns."""
    given = [
        (
            parameter.name,
            f"{type_shown(parameter)} {range_shown(parameter, _LONGEST_IN_TABLE)}".strip(),
            "required" if parameter.is_required else f"= {value_shown(parameter.default, _LONGEST_IN_TABLE)}",
            _remark(parameter),
        )
        for parameter in inputs
    ]
    returned = [
        (output.name, output.type or "?", one_line_of(output.description or output.label)) for output in outputs
    ]
    lines = ["inputs", *_columns(given or [("none",)]), "outputs", *_columns(returned or [("none",)])]
    if problems:
        lines += ["problems", *(f"  {one_line_of(str(problem))}" for problem in problems)]
    return "\n".join(lines)


def type_shown(parameter: Parameter) -> str:
    """The type as people read it: Python's for a number or a text, ComfyUI's for all else."""
    kinds = scalar_types(parameter)
    if parameter.choices and file_alias(parameter) is None:
        return ""
    return " | ".join(kind.__name__ for kind in kinds) or one_line_of(parameter.type)


def range_shown(parameter: Parameter, longest: int = _LONGEST) -> str:
    """The bounds, as ``1…4``, ``≥ 1`` or ``≤ 4``, or the choices, as ``euler|heun|…``; empty where all is allowed."""
    if parameter.choices and file_alias(parameter) is None:
        few = _few(parameter.choices, longest)
        return "|".join([*few, *(["…"] if len(few) < len(parameter.choices) else [])])
    low, high = number_bounds(parameter)
    if low is not None and high is not None:
        return f"{value_shown(low)}…{value_shown(high)}"
    if low is not None:
        return f"≥ {value_shown(low)}"
    return "" if high is None else f"≤ {value_shown(high)}"


def value_shown(value: Any, longest: int = _LONGEST) -> str:
    """A value in one line: a whole number without ``.0``, a text as it is if it is one plain word, else in quotes."""
    if isinstance(value, float) and not isinstance(value, bool):
        return repr(value).removesuffix(".0")
    if isinstance(value, str) and value.isprintable() and value.strip() and " " not in value:
        return shortened(value, longest)
    return shortened(repr(value), longest)


def shortened(text: str, longest: int) -> str:
    """``text`` in one line of at most so many characters, with ``…`` where some are left out."""
    text = one_line_of(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line_of(text: str) -> str:
    """``text`` with single spaces, and without what could break a line or a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in " ".join(text.split()))


def details(parameter: Parameter) -> str:
    """Type, bounds and default, for the line of one parameter in a docstring."""
    default = "" if parameter.default is NO_DEFAULT else f" = {value_shown(parameter.default)}"
    return f"{type_shown(parameter)} {range_shown(parameter)}".strip() + default


def _brief(parameter: Parameter) -> str:
    return f"{shortened(parameter.name, _LONGEST)}: {details(parameter)}"


def _few(choices: Sequence[Any], longest: int) -> list[str]:
    """The first choices that fit."""
    shown: list[str] = []
    for choice in choices:
        text = value_shown(choice, longest)
        if shown and ((len(shown) >= _FEW and longest == _LONGEST) or sum(map(len, shown)) + len(text) > longest):
            break
        shown.append(text)
    return shown


def _remark(parameter: Parameter) -> str:
    remark = one_line_of(parameter.description or ("" if parameter.label == parameter.name else parameter.label))
    return f"(hidden) {remark}".strip() if parameter.is_hidden else remark


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows with two spaces before them; all cells but the last of each row are filled up."""
    cleaned = [tuple(one_line_of(cell) for cell in row) for row in rows]
    widths = [max(len(row[index]) for row in cleaned) for index in range(len(cleaned[0]))]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in cleaned
    ]
