"""Options of ``discomfort run`` that are inputs of the workflow, such as ``--scale 4``: found before the others are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort.cli.inputs import UsageError
from discomfort.workflow.interface.annotations import file_alias, scalar_types
from discomfort.workflow.interface.declarations import Parameter


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """The options that the command has itself, as ``--output`` and ``-o``, and those of them that take no value."""

    names: frozenset[str]
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class SplitArguments:
    """A command line without the inputs of the workflow, and their texts by name; ``None`` is one without a value."""

    own: list[str] = field(default_factory=list)
    named: dict[str, str | None] = field(default_factory=dict)


def split_arguments(arguments: Sequence[str], known: OwnOptions) -> SplitArguments:
    """Take out each ``--NAME VALUE`` and ``--NAME=VALUE`` that the command does not know.

    The next word is the value, unless it begins with ``--``. Without one the option is a flag. What follows a lone
    ``--`` is left as it is. Raises UsageError for a name that is given twice.
    """
    found = SplitArguments()
    waiting = list(reversed(arguments))
    while waiting:
        word = waiting.pop()
        name, equals, value = word.partition("=")
        if word == "--":
            return SplitArguments([*found.own, word, *reversed(waiting)], found.named)
        if not word.startswith("--") or name in known.names:
            found.own.append(word)
            # The value of an option of the command is not looked at, whatever it is.
            if word in known.names - known.flags and waiting:
                found.own.append(waiting.pop())
            continue
        key = name.removeprefix("--")
        if key in found.named:
            raise UsageError(f"{name}: given twice")
        if equals:
            found.named[key] = value
        elif waiting and not waiting[-1].startswith("--"):
            found.named[key] = waiting.pop()
        else:
            found.named[key] = None
    return found


def option_name(name: str) -> str:
    """The option of an input: ``--negative-prompt`` for ``negative_prompt``."""
    return f"--{name.replace('_', '-')}"


def named_values(given: Mapping[str, str | None], inputs: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values by the names of the interface; a name that no input has stays as it was given.

    A text that is not of its input's type stays a text: the call says what it takes. Raises UsageError if a flag has no
    value, OSError for a file of ``@FILE``.
    """
    values: dict[str, Any] = {}
    for option, text in given.items():
        name = next((each for each in (option, option.replace("-", "_")) if each in inputs), None)
        opposite = option.removeprefix("no-").replace("-", "_")
        if name is None and option.startswith("no-") and text is None and _is_boolean(inputs.get(opposite)):
            name, value = opposite, False
        elif text is None:
            if not _is_boolean(inputs.get(name or "")):
                raise UsageError(f"--{option}: a value is missing")
            value = True
        else:
            value = read_text(text, inputs.get(name or ""))
        if (name or option) in values:
            raise UsageError(f"--{option}: {name} is given twice")
        values[name or option] = value
    return values


def read_text(text: str, parameter: Parameter | None) -> Any:
    """The value that a word of the command line stands for. Raises OSError, UnicodeError."""
    if parameter is None or file_alias(parameter) is not None:
        return text
    if parameter.choices:
        return next((choice for choice in parameter.choices if as_word(choice) == text), text)
    kinds = scalar_types(parameter)
    if str in kinds:
        return _text_of(text)
    if bool in kinds and text.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return text.lower() in ("true", "yes", "on", "1")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def as_word(value: Any) -> str:
    """A choice or default as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _text_of(text: str) -> str:
    if text.startswith("@@"):
        return text[1:]
    return Path(text[1:]).read_text("utf-8") if text.startswith("@") else text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_boolean(parameter: Parameter | None) -> bool:
    return parameter is not None and not parameter.choices and bool in scalar_types(parameter)
