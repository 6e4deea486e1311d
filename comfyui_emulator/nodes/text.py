"""Nodes for primitive values and strings."""

from __future__ import annotations

import json
import re
from string import ascii_lowercase
from typing import Any

from comfyui_emulator.nodes.base import choice, growing, integer, link, node, number, switch, text
from comfyui_emulator.registry import ANY

_LIMIT = 2**63 - 1
_PRIMITIVE: dict[str, Any] = {"module": "comfy_extras.nodes_primitive", "category": "utilities/primitive", "v3": True}
_STRING: dict[str, Any] = {"module": "comfy_extras.nodes_string", "category": "text", "v3": True}
_LINES = text(multiline=True)


@node(
    "PrimitiveInt",
    {"value": integer(None, -_LIMIT, _LIMIT, control_after_generate="fixed")},
    "INT",
    title="Int",
    **_PRIMITIVE,
)
@node("PrimitiveFloat", {"value": number(None, -_LIMIT, _LIMIT, step=0.1)}, "FLOAT", title="Float", **_PRIMITIVE)
@node("PrimitiveString", {"value": text(multiline=False)}, "STRING", title="Text", **_PRIMITIVE)
@node("PrimitiveStringMultiline", {"value": _LINES}, "STRING", title="Text (Multiline)", **_PRIMITIVE)
@node("PrimitiveBoolean", {"value": switch()}, "BOOLEAN", title="Boolean", **_PRIMITIVE)
def primitive(value: Any) -> Any:
    """Return the value unchanged."""
    return (value,)


@node(
    "PreviewAny",
    {"source": [ANY, {}]},
    "STRING",
    module="comfy_extras.nodes_preview_any",
    category="utilities",
    title="Preview as Text",
    OUTPUT_NODE=True,
)
def preview_any(source: Any = None) -> dict[str, Any]:
    """Show any value as text, and return that: strings unchanged, numbers as Python does, others as JSON or str."""
    if source is None or isinstance(source, str | int | float):
        shown = str(source)
    else:
        try:
            shown = json.dumps(source, indent=4, ensure_ascii=False)
        except (TypeError, ValueError):
            shown = str(source)
    return {"ui": {"text": (shown,)}, "result": (shown,)}


@node(
    "StringFormat",
    {
        "values": growing("value", link(ANY), names=ascii_lowercase, least=0),
        "f_string": text(default="{a}", multiline=True),
    },
    "STRING",
    title="Format Text",
    **_STRING,
)
def format_text(values: dict[str, Any], f_string: str) -> str:
    """Python's ``str.format`` with the values ``a`` to ``z``."""
    return f_string.format(**values)


@node(
    "StringConcatenate",
    {"string_a": _LINES, "string_b": _LINES, "delimiter": text(default="", multiline=False)},
    "STRING",
    title="Concatenate Text",
    **_STRING,
)
def concatenate(string_a: str, string_b: str, delimiter: str) -> str:
    """Join two strings."""
    return delimiter.join((string_a, string_b))


@node(
    "StringSubstring", {"string": _LINES, "start": integer(), "end": integer()}, "STRING", title="Substring", **_STRING
)
def substring(string: str, start: int, end: int) -> str:
    """A slice of the string."""
    return string[start:end]


@node("StringLength", {"string": _LINES}, "INT", names="length", title="Text Length", **_STRING)
def length(string: str) -> int:
    """The number of code points."""
    return len(string)


@node(
    "CaseConverter",
    {"string": _LINES, "mode": choice(["UPPERCASE", "lowercase", "Capitalize", "Title Case"])},
    "STRING",
    title="Convert Text Case",
    **_STRING,
)
def convert_case(string: str, mode: str) -> str:
    """Change the case. An unknown mode changes nothing."""
    cases = {"UPPERCASE": str.upper, "lowercase": str.lower, "Capitalize": str.capitalize, "Title Case": str.title}
    return cases[mode](string) if mode in cases else string


@node(
    "StringTrim", {"string": _LINES, "mode": choice(["Both", "Left", "Right"])}, "STRING", title="Trim Text", **_STRING
)
def trim(string: str, mode: str) -> str:
    """Strip whitespace. An unknown mode changes nothing."""
    ways = {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}
    return ways[mode](string) if mode in ways else string


@node("StringReplace", {"string": _LINES, "find": _LINES, "replace": _LINES}, "STRING", title="Replace Text", **_STRING)
def replace(string: str, find: str, replace: str) -> str:
    """Replace every occurrence."""
    return string.replace(find, replace)


@node(
    "StringContains",
    {"string": _LINES, "substring": _LINES, "case_sensitive": switch(True, advanced=True)},
    "BOOLEAN",
    names="contains",
    title="Contains Text",
    **_STRING,
)
def contains(string: str, substring: str, case_sensitive: bool) -> bool:
    """Whether one string contains the other."""
    return substring in string if case_sensitive else substring.lower() in string.lower()


@node(
    "StringCompare",
    {
        "string_a": _LINES,
        "string_b": _LINES,
        "mode": choice(["Starts With", "Ends With", "Equal"]),
        "case_sensitive": switch(True, advanced=True),
    },
    "BOOLEAN",
    title="Compare Text",
    **_STRING,
)
def compare(string_a: str, string_b: str, mode: str, case_sensitive: bool) -> bool | None:
    """Compare in one of three ways. An unknown mode returns ``None``."""
    a, b = (string_a, string_b) if case_sensitive else (string_a.lower(), string_b.lower())
    if mode == "Equal":
        return a == b
    ways = {"Starts With": str.startswith, "Ends With": str.endswith}
    return ways[mode](a, b) if mode in ways else None


_FLAGS = {
    "case_insensitive": switch(True, advanced=True),
    "multiline": switch(False, advanced=True),
    "dotall": switch(False, advanced=True),
}


def _flags(case_insensitive: bool, multiline: bool, dotall: bool) -> int:
    chosen = ((case_insensitive, re.IGNORECASE), (multiline, re.MULTILINE), (dotall, re.DOTALL))
    return sum(int(flag) for wanted, flag in chosen if wanted)


@node(
    "RegexMatch",
    {"string": _LINES, "regex_pattern": _LINES, **_FLAGS},
    "BOOLEAN",
    names="matches",
    title="Match Text",
    **_STRING,
)
def regex_match(string: str, regex_pattern: str, case_insensitive: bool, multiline: bool, dotall: bool) -> bool:
    """Whether the pattern matches. An invalid pattern never does."""
    try:
        return re.search(regex_pattern, string, _flags(case_insensitive, multiline, dotall)) is not None
    except re.error:
        return False


@node(
    "RegexExtract",
    {
        "string": _LINES,
        "regex_pattern": _LINES,
        "mode": choice(["First Match", "All Matches", "First Group", "All Groups"]),
        **_FLAGS,
        "group_index": integer(1, 0, 100, advanced=True),
    },
    "STRING",
    title="Extract Text",
    **_STRING,
)
def regex_extract(
    string: str,
    regex_pattern: str,
    mode: str,
    case_insensitive: bool,
    multiline: bool,
    dotall: bool,
    group_index: int,
) -> Any:
    """The matches, one per line. Empty for an invalid pattern."""
    try:
        pattern = re.compile(regex_pattern, _flags(case_insensitive, multiline, dotall))
    except re.error:
        return ""
    if mode == "All Matches":
        # If the pattern has several groups, the first of each match counts.
        return "\n".join(item[0] if isinstance(item, tuple) else item for item in pattern.findall(string))
    found = pattern.search(string)
    if found is None:
        return ""
    if mode == "First Match":
        return found.group(0)
    if pattern.groups < group_index or mode not in ("First Group", "All Groups"):
        return ""
    if mode == "First Group":
        return (found.group(group_index),)
    return "\n".join(item.group(group_index) for item in pattern.finditer(string)) if pattern.groups else ""


@node(
    "RegexReplace",
    {"string": _LINES, "regex_pattern": _LINES, "replace": _LINES},
    "STRING",
    optional={**_FLAGS, "count": integer(0, 0, 100, advanced=True)},
    title="Replace Text (Regex)",
    **_STRING,
)
def regex_replace(
    string: str,
    regex_pattern: str,
    replace: str,
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    count: int = 0,
) -> str:
    """Replace at most ``count`` matches, or all if it is 0. Raises ``re.error`` for an invalid pattern."""
    return re.sub(regex_pattern, replace, string, count=count, flags=_flags(case_insensitive, multiline, dotall))
