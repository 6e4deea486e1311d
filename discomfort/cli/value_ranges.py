"""The values of ``--set``: one, a range ``0..19``, or several as ``a|b|c``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from discomfort.cli.inputs import UsageError
from discomfort.workflow.edit import parse_assignment

MOST_RUNS = 100_000
"""Runs of one command; more is a slip, such as a range without its step."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?\s*")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``--set``: a selector and the values that it takes, one for each run."""

    selector: str
    values: tuple[Any, ...]


def read_assignments(texts: list[str]) -> list[Assignment]:
    """The ``--set`` options, in order. Raises DiscomfortError for one that is wrong or contradicts another."""
    found = [read_assignment(text) for text in texts]
    for index, one in enumerate(found):
        for other in found[:index]:
            if one.selector == other.selector and max(len(one.values), len(other.values)) > 1:
                raise UsageError(f"--set {one.selector}: given twice with several values; write them as one list, a|b")
    return found


def read_assignment(text: str) -> Assignment:
    """``NODE.INPUT=VALUES``. Raises InputSelectorError without a selector, UsageError for a range that is wrong."""
    selector, whole = parse_assignment(text)
    # A value that is JSON as a whole is one value: "a|b" in quotation marks, [1, 2], 42.
    if not isinstance(whole, str) or is_json(value := text[text.index("=", len(selector)) + 1 :]):
        return Assignment(selector, (whole,))
    values: list[Any] = []
    for item in split_items(value):
        values += item_values(f"--set {selector}", item)
        if len(values) > MOST_RUNS:
            raise UsageError(f"--set {selector}: more than {MOST_RUNS} values")
    return Assignment(selector, tuple(values))


def read_value(text: str) -> Any:
    """One value: JSON if it parses as such, else the text itself."""
    return parse_assignment(f"a.b={text}")[1]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def split_items(text: str) -> Iterator[str]:
    r"""The parts between ``|``. One in braces is text (``{red|blue}`` has a meaning in prompts), and so is ``\|``."""
    item, depth, is_escaped = "", 0, False
    for character in text:
        if is_escaped:
            item += character if character == "|" else f"\\{character}"
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == "|" and depth == 0:
            yield item
            item = ""
        else:
            depth = max(0, depth + (character == "{") - (character == "}"))
            item += character
    yield item + "\\" * is_escaped


def item_values(option: str, item: str) -> list[Any]:
    """The values of a range, or the one value that an item is; ``option`` is for the error.

    Raises UsageError for a range that is wrong.
    """
    found = _RANGE.fullmatch(item)
    if found is None:
        return [read_value(item)]
    first, last = Decimal(found[1]), Decimal(found[2])
    step = Decimal(found[3]) if found[3] else Decimal(1)
    if step <= 0:
        raise UsageError(f"{option}: the step of {item.strip()} must be more than 0")
    count = int(abs(last - first) / step) + 1
    if count > MOST_RUNS:
        raise UsageError(f"{option}: {item.strip()} has {count} values; {MOST_RUNS} are allowed")
    signed = step if last >= first else -step
    is_whole = all("." not in part for part in found.groups() if part)
    return [int(value) if is_whole else float(value) for value in (first + signed * i for i in range(count))]
