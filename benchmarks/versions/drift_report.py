"""Findings of a comparison, and the report that is made of them, as text or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

SAME, DIFFERS, ONLY_A, ONLY_B = "same", "differs", "only in A", "only in B"
VERDICTS = (SAME, DIFFERS, ONLY_A, ONLY_B)
WIDTH = 118
_ABSENT = object()


class Finding(NamedTuple):
    """One subject of a comparison, the verdict about it, and where it differs."""

    subject: str
    verdict: str
    details: tuple[str, ...] = ()


Groups = Mapping[str, list[Finding]]


def shown(value: object, length: int = 160) -> str:
    """A value in one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def differences(a: Any, b: Any, place: str = "") -> Iterator[str]:
    """Every place where two values differ, in words."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            yield from differences(a.get(key, _ABSENT), b.get(key, _ABSENT), f"{place}.{key}" if place else str(key))
    elif a is _ABSENT or b is _ABSENT:
        there, value = ("B", b) if a is _ABSENT else ("A", a)
        yield f"{place}: only in {there}: {shown(value)}"
    elif is_names(a) and is_names(b) and a != b:
        yield from name_differences(a, b, place)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif type(a) is not type(b) or a != b:
        yield f"{place}: {shown(a)} → {shown(b)}".removeprefix(": ")


def is_names(value: object) -> bool:
    """Whether a value is a list of texts, each once."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value) and len(set(value)) == len(value)


def name_differences(a: list[str], b: list[str], place: str) -> Iterator[str]:
    """How two lists of names differ."""
    gone, added = [name for name in a if name not in b], [name for name in b if name not in a]
    if gone:
        yield f"{place}: only in A: {shown(gone)}"
    if added:
        yield f"{place}: only in B: {shown(added)}"
    if not gone and not added:
        yield f"{place}: another order: {shown(a)} → {shown(b)}"


def compared(subject: str, a: Any, b: Any) -> Finding:
    """The finding about a subject that both have."""
    details = tuple(differences(a, b))
    return Finding(subject, DIFFERS if details else SAME, details)


def of_tables(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Finding]:
    """A finding for each key of two mappings."""
    found = [compared(key, a[key], b[key]) if key in b else Finding(key, ONLY_A, (shown(a[key]),)) for key in a]
    return [*found, *(Finding(key, ONLY_B, (shown(b[key]),)) for key in b if key not in a)]


def as_json(sides: Mapping[str, Any], groups: Groups) -> str:
    """The report for programs: for each group and verdict the subjects, with their details."""
    tables = {
        name: {
            verdict: {finding.subject: list(finding.details) for finding in found if finding.verdict == verdict}
            for verdict in VERDICTS
        }
        for name, found in groups.items()
    }
    return json.dumps({"sides": dict(sides), "groups": tables}, indent=1, ensure_ascii=False)


def as_text(sides: Mapping[str, Any], groups: Groups) -> str:
    """The report for readers."""
    lines = [f"{side}: {shown(about)}" for side, about in sides.items()]
    for name, found in groups.items():
        counts = (f"{sum(finding.verdict == verdict for finding in found)} {verdict}" for verdict in VERDICTS)
        lines += ["", f"{name}: {', '.join(counts)}", "-" * len(name)]
        lines += group_lines(found)
    return "\n".join(lines)


def as_table(found: Iterable[Finding]) -> str:
    """Findings of one detail each as a table in Markdown: the subject, A and B."""
    rows = [(finding.subject, *(finding.details[0].split(" → ") * 2)[:2]) for finding in found]
    return "\n".join(("| | A | B |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)))


def group_lines(found: Iterable[Finding]) -> Iterator[str]:
    """What differs, with its details; then in one paragraph what is the same."""
    found = list(found)
    for verdict in (DIFFERS, ONLY_A, ONLY_B):
        for finding in found:
            if finding.verdict == verdict:
                yield f"  {verdict}: {finding.subject}"
                yield from (f"      {detail}" for detail in finding.details)
    same = [" = ".join((finding.subject, *finding.details)) for finding in found if finding.verdict == SAME]
    if same:
        yield textwrap.fill(f"same: {'; '.join(same)}", WIDTH, initial_indent="  ", subsequent_indent="      ")
