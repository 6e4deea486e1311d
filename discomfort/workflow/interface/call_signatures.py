"""The signature and the docstring of the call of a workflow."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from discomfort.workflow.interface.annotations import can_be_keyword, python_type, type_text
from discomfort.workflow.interface.declarations import InterfaceOutput, Parameter
from discomfort.workflow.interface.interface_text import details, one_line_of, shortened

_WIDTH = 100


def signature_of(parameters: Iterable[Parameter]) -> inspect.Signature:
    """Keyword-only parameters with types and defaults.

    A name that no keyword can have, such as ``class``, is given as ``**{"class": …}``: the signature ends with
    ``**values`` then.
    """
    known = list(parameters)
    found = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.is_required else each.default,
            annotation=python_type(each),
        )
        for each in known
        if can_be_keyword(each.name)
    ]
    if len(found) < len(known):
        found.append(inspect.Parameter(rest_name(known), inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(found)


def rest_name(parameters: Iterable[Parameter], wanted: str = "values") -> str:
    """``values``, or that with underscores before it if a parameter has the name."""
    taken = {each.name for each in parameters}
    while wanted in taken:
        wanted = f"_{wanted}"
    return wanted


def docstring_of(name: str, parameters: Iterable[Parameter], outputs: Iterable[InterfaceOutput], about: str) -> str:
    """The call in one line, ``about``, and what each argument and each output is."""
    known = list(parameters)
    lines = [_call(name, known), "", one_line_of(about)]
    if known:
        lines += ["", "Args:", *(f"    {_described(each)}" for each in known)]
    told = [
        f"    {one_line_of(each.name)}: {' '.join(_sentences(each.type or 'known after a run', each))}"
        for each in outputs
    ]
    if told:
        lines += ["", "Returns the outputs:", *told]
    return "\n".join(lines)


def _call(name: str, parameters: Iterable[Parameter]) -> str:
    known = list(parameters)
    parts = [
        f"{each.name}: {_short_type(each)}" + ("" if each.is_required else f" = {shortened(repr(each.default), 40)}")
        for each in known
        if can_be_keyword(each.name)
    ]
    if parts:
        parts.insert(0, "*")
    if not all(can_be_keyword(each.name) for each in known):
        parts.append(f"**{rest_name(known)}")
    line = f"{one_line_of(name)}({', '.join(parts)})"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{one_line_of(name)}(", *(f"    {part}," for part in parts), ")"])


def _short_type(parameter: Parameter) -> str:
    """A long list of choices is in the description."""
    text = type_text(parameter)
    return text if len(text) <= 60 else "Literal[…]"


def _described(parameter: Parameter) -> str:
    return f"{one_line_of(parameter.name)}: {' '.join(_sentences(details(parameter), parameter))}"


def _sentences(first: str, each: Parameter | InterfaceOutput) -> list[str]:
    texts = [first, each.description or ("" if each.label == each.name else each.label)]
    return [text if text.endswith((".", "…", "!", "?")) else f"{text}." for text in map(one_line_of, texts) if text]
