"""The runs of a batch: every combination of the rows of a CSV file, the values of ``--set`` and ``--repeat``."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort.cli.inputs import UsageError
from discomfort.cli.value_ranges import MOST_RUNS, Assignment, read_assignments, read_value
from discomfort.exceptions import SweepError
from discomfort.sweeps.table_files import read_csv_lines


@dataclass(frozen=True, slots=True)
class Variant:
    """One run of a workflow: the values to set, by selector.

    ``repeat`` counts equal ones from 1, ``row`` is its row in the CSV file; the first after the head is 2.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 1
    row: int | None = None

    def __str__(self) -> str:
        return ", ".join(f"{selector}={as_text(value)[:40]}" for selector, value in self.values.items())


def as_text(value: Any) -> str:
    """A value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def read_variants(texts: Sequence[str], file: Path | None, repeat: int) -> list[Variant]:
    """The runs that ``--set``, ``--csv`` and ``--repeat`` ask for. Raises DiscomfortError, OSError."""
    if repeat < 1:
        raise UsageError(f"--repeat {repeat}: must be at least 1")
    assignments = read_assignments(list(texts))
    return make_variants(assignments, [{}] if file is None else read_csv(file), repeat)


def make_variants(
    assignments: Sequence[Assignment], rows: Sequence[Mapping[str, Any]], repeat: int = 1
) -> list[Variant]:
    """All runs, in the order of nested loops: the last ``--set`` changes fastest, then the repetition.

    Raises UsageError if a selector is both a column and a ``--set``, or if there are too many runs.
    """
    twice = [each.selector for each in assignments if any(each.selector in row for row in rows)]
    if twice:
        raise UsageError(f"{twice[0]} is a column of --csv and also given by --set")
    count = len(rows) * repeat
    for each in assignments:
        count *= len(each.values)
    if count > MOST_RUNS:
        raise UsageError(f"{count} runs are asked for; {MOST_RUNS} are allowed")
    variants = []
    has_rows = any(rows)
    for number, row in enumerate(rows, 2):
        for combination in itertools.product(*(each.values for each in assignments)):
            chosen = dict(zip((each.selector for each in assignments), combination, strict=True))
            values = {**row, **chosen}
            variants += [Variant(values, again, number if has_rows else None) for again in range(1, repeat + 1)]
    return variants


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file: its first line has the selectors, an empty cell leaves that input as it is.

    Cells are JSON if they parse as such, else text. Separated by commas, or by the semicolons or tabs that spreadsheets
    write. Raises OSError, UsageError with the line.
    """
    try:
        columns, lines = read_csv_lines(path)
    except SweepError as error:
        raise UsageError(f"--csv {error}") from None
    for index, name in enumerate(columns):
        if "." not in name.strip("."):
            raise UsageError(f"--csv {path}: column {index + 1} is {name!r}, not a selector such as KSampler.seed")
    return [{name: read_value(cell) for name, cell in line.cells.items()} for line in lines]
