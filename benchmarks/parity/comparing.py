"""Results of cases in numbers: rows of the tables, and the distance between outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WORST = 255


@dataclass(slots=True)
class Row:
    """The result for one node: differences are in 8-bit levels, 255 for what cannot be compared."""

    cases: int = 0
    equal: int = 0
    largest: int = 0
    notes: list[str] = field(default_factory=list)
    worded: list[tuple[str, str, str]] = field(default_factory=list)
    """Cases that are equal but for the words of an exception: label, ours, theirs."""

    def add(self, largest: int) -> None:
        """One more case with this difference."""
        self.cases += 1
        self.equal += largest == 0
        self.largest = max(self.largest, largest)

    def differs(self, note: str) -> None:
        """One more case, with a difference that is not a number."""
        self.notes.append(note)
        self.add(WORST)

    def reworded(self, label: str, ours: str, theirs: str) -> None:
        """One more case that is equal but for the words of an exception; it does not count as equal."""
        self.cases += 1
        self.worded.append((label, ours, theirs))


def total(rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    result = Row()
    for row in rows:
        result.cases += row.cases
        result.equal += row.equal
        result.largest = max(result.largest, row.largest)
        result.worded += row.worded
    return result


def state(record: Mapping[str, Any]) -> str:
    """``refused``, ``success`` or ``error``."""
    return "refused" if "refused" in record else str(record["status"]["status_str"])


def kinds(record: Mapping[str, Any]) -> str:
    """The kinds of validation errors in a refusal."""
    errors = record["refused"]["node_errors"].values()
    return json.dumps(sorted(error["type"] for node in errors for error in node["errors"]))


def compare_outputs(row: Row, label: str, mine: list[Any], yours: list[Any]) -> None:
    """Add one case, of which both servers made outputs."""
    if len(mine) != len(yours):
        row.differs(f"{label}: {len(mine)} outputs, not {len(yours)}")
        return
    row.add(max((gap(row, label, *pair) for pair in zip(mine, yours, strict=True)), default=0))


def gap(row: Row, label: str, mine: Any, yours: Any) -> int:
    """The largest difference of two outputs; noted where it is more than one level."""
    largest, note = levels_apart(mine, yours)
    if largest > 1:
        row.notes.append(f"{label}: {note}")
    return largest


def levels_apart(mine: Any, yours: Any) -> tuple[int, str]:
    """The largest difference of two outputs, 255 for what cannot be compared; and in words."""
    if isinstance(mine, str) or isinstance(yours, str):
        same = isinstance(mine, str) and isinstance(yours, str) and mine == yours
        return (0, "") if same else (WORST, f"{mine!r}, not {yours!r}"[:400])
    if mine.shape != yours.shape:
        return WORST, f"shape {mine.shape}, not {yours.shape}"
    levels = np.abs(mine.astype(int) - yours.astype(int))
    largest = int(levels.max(initial=0))
    share = float((levels > 1).mean()) if levels.size else 0.0
    return largest, f"differs by up to {largest} ({share:.2%} by more than 1)"
