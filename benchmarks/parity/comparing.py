"""Running cases on both servers, and what comes of them, node by node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.parity.building import Case
from benchmarks.parity.servers import Server

WORST = 255


@dataclass(slots=True)
class Row:
    """The result for one node: differences are in 8-bit levels, 255 for what can not be compared."""

    cases: int = 0
    equal: int = 0
    largest: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, largest: int) -> None:
        """One more case with this difference."""
        self.cases += 1
        self.equal += largest == 0
        self.largest = max(self.largest, largest)

    def differs(self, note: str) -> None:
        """One more case, with a difference that is no number."""
        self.notes.append(note)
        self.add(WORST)


def total(rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    result = Row()
    for row in rows:
        result.cases += row.cases
        result.equal += row.equal
        result.largest = max(result.largest, row.largest)
    return result


def run(ours: Server, theirs: Server, cases: Iterable[Case]) -> dict[str, Row]:
    """Run the cases on both servers."""
    rows: dict[str, Row] = {}
    for case in cases:
        compare(rows.setdefault(case.node, Row()), case, ours, theirs)
    return rows


def compare(row: Row, case: Case, ours: Server, theirs: Server) -> None:
    """Run one case on both servers and add it to its row."""
    mine, yours = ours.run(case.graph), theirs.run(case.graph)
    if state(mine) != state(yours):
        row.differs(f"{case.label}: {state(mine)}, not {state(yours)}: {reason(mine)} / {reason(yours)}")
    elif state(mine) == "refused":
        compare_outputs(row, case.label, [kinds(mine)], [kinds(yours)])
    else:
        compare_outputs(row, case.label, ours.outputs(mine), theirs.outputs(yours))


def state(record: dict[str, Any]) -> str:
    """``refused``, ``success`` or ``error``."""
    return "refused" if "refused" in record else str(record["status"]["status_str"])


def reason(record: dict[str, Any]) -> str:
    """Why a run was refused or failed, in short."""
    if "refused" in record:
        return str(record["refused"])[:200]
    return str(record["status"]["messages"][-1][1].get("exception_message", ""))[:200]


def kinds(record: dict[str, Any]) -> str:
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
    if isinstance(mine, str) or isinstance(yours, str):
        same = isinstance(mine, str) and isinstance(yours, str) and mine == yours
        if not same:
            row.notes.append(f"{label}: {mine!r}, not {yours!r}"[:400])
        return 0 if same else WORST
    if mine.shape != yours.shape:
        row.notes.append(f"{label}: shape {mine.shape}, not {yours.shape}")
        return WORST
    levels = np.abs(mine.astype(int) - yours.astype(int))
    largest = int(levels.max(initial=0))
    if largest > 1:
        row.notes.append(f"{label}: differs by up to {largest} ({float((levels > 1).mean()):.2%} by more than 1)")
    return largest
