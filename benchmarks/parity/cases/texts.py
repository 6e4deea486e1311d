"""Cases of strings and primitives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case

WORDS = ("Hello World", "ÄÖ ß", "", "  x\t", "a\nb\nA")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from primitives()
    for word in WORDS:
        yield from changed(word)
        yield from compared(word)
        yield from matched(word)


def text(node: str, **inputs: Any) -> Case:
    """A case whose first output is shown as text."""
    return case(node, inputs, ("text",), **inputs)


def primitives() -> Iterator[Case]:
    """Values as they are given."""
    values: dict[str, tuple[Any, ...]] = {
        "PrimitiveInt": (0, -5, 2**62, "7"),
        "PrimitiveFloat": (0, 1.5, 1e30, -2),
        "PrimitiveString": ("", "é", 5, None),
        "PrimitiveStringMultiline": ("a\nb",),
        "PrimitiveBoolean": (True, False, "false", 0),
    }
    for node, given in values.items():
        for value in given:
            yield text(node, value=value)
    for value in (1, 1.5, True, "x", {"a": [1, None]}, {"__value__": [1, 2, 3]}):
        yield case("PreviewAny", repr(value), (), source=value)


def changed(word: str) -> Iterator[Case]:
    """Strings from strings."""
    yield text("StringLength", string=word)
    yield text("StringConcatenate", string_a=word, string_b="Z", delimiter="-")
    yield text("StringReplace", string=word, find="o", replace="00")
    for mode in ("UPPERCASE", "lowercase", "Capitalize", "Title Case"):
        yield text("CaseConverter", string=word, mode=mode)
    for mode in ("Both", "Left", "Right"):
        yield text("StringTrim", string=word, mode=mode)
    for start, end in ((0, 3), (-3, 99), (2, -1)):
        yield text("StringSubstring", string=word, start=start, end=end)


def compared(word: str) -> Iterator[Case]:
    """Yes or no."""
    for sensitive in (True, False):
        yield text("StringContains", string=word, substring="WORLD", case_sensitive=sensitive)
        for mode in ("Starts With", "Ends With", "Equal"):
            other = {"string_b": "hello world", "mode": mode, "case_sensitive": sensitive}
            yield text("StringCompare", string_a=word, **other)


def matched(word: str) -> Iterator[Case]:
    """Regular expressions."""
    flags = {"case_insensitive": True, "multiline": True, "dotall": False}
    modes = ("First Match", "All Matches", "First Group", "All Groups")
    for pattern in ("(l+)o", "^a", "(", "o(?= )", "(H)(e)?"):
        yield text("RegexMatch", string=word, regex_pattern=pattern, **flags)
        yield text("RegexReplace", string=word, regex_pattern=pattern, replace="_")
        for mode, group in itertools.product(modes, (0, 1, 2)):
            yield text("RegexExtract", string=word, regex_pattern=pattern, mode=mode, group_index=group, **flags)
