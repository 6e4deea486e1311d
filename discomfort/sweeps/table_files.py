"""Reads tables: CSV as spreadsheets write it, and JSON lines. Blocking."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discomfort.exceptions import SweepError

_LARGEST = 64 << 20
"""Bytes of a table; larger ones are a mistake."""


@dataclass(frozen=True, slots=True)
class TableLine:
    """One row of a file: the number of its last line, and its cells by column.

    The cells of CSV are text, those of JSON lines any value.
    """

    number: int
    cells: Mapping[str, Any]


def read_csv_lines(path: Path) -> tuple[list[str], list[TableLine]]:
    """The columns and the rows of a CSV file whose first line has the columns.

    Separated by commas, or by the semicolons or tabs that spreadsheets write. Empty lines are left out, and so are
    empty cells. Raises OSError, SweepError with the line.
    """
    text = _text(path)
    head = text.partition("\n")[0]
    delimiter = next((mark for mark in (",", ";", "\t") if mark in head), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise SweepError(str(error), place=f"{path}, line {reader.line_num}") from None
    if len(lines) < 2:
        raise SweepError("a first line with the names of the columns, and at least one row are needed", place=str(path))
    columns = [cell.strip() for cell in lines[0][1]]
    for index, name in enumerate(columns):
        if name in columns[:index]:
            raise SweepError(f"two columns are named {name!r}", place=str(path))
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            raise SweepError(f"{len(cells)} cells, and {len(columns)} columns", place=f"{path}, line {number}")
        rows.append(TableLine(number, {name: cell for name, cell in zip(columns, cells, strict=True) if cell != ""}))
    return columns, rows


def read_json_lines(path: Path) -> list[TableLine]:
    """The objects of a file that has one on each line; ``null`` counts as a cell that is empty.

    Raises OSError, SweepError with the line.
    """
    rows = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SweepError(f"not JSON: {error}", place=f"{path}, line {number}") from None
        if not isinstance(found, dict):
            raise SweepError(f"an object is needed, not {type(found).__name__}", place=f"{path}, line {number}")
        rows.append(TableLine(number, {name: value for name, value in found.items() if value is not None}))
    if not rows:
        raise SweepError("it has no rows", place=str(path))
    return rows


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise SweepError(f"larger than {_LARGEST >> 20} MiB", place=str(path))
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SweepError(f"byte {error.start} is not UTF-8", place=str(path)) from None
