"""Reads tables: CSV as spreadsheets write it, and JSON lines. Blocking."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discomfort.exceptions import SweepError

_LARGEST = 64 << 20
"""Bytes of a table; larger ones are a mistake."""

_TOLD_MARK = re.compile(r'"?sep=(.)"?\r?\n')
_QUOTED = re.compile(r'"[^"]*"')


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
    empty cells and columns. Raises OSError, SweepError with the line.
    """
    if path.suffix.lower() == ".json":
        remedy = "Write one object on each line, and call the file .jsonl; or read it, and give the list of its rows"
        raise SweepError("a table is CSV, or JSON lines", place=str(path), remedy=remedy)
    lines = _without_empty_columns(_cells(path))
    if len(lines) < 2:
        raise SweepError("a first line with the names of the columns, and at least one row are needed", place=str(path))
    columns = [cell.strip() for cell in lines[0][1]]
    for index, name in enumerate(columns):
        if not name:
            raise SweepError(f"column {index + 1} has cells and no name", place=str(path))
        if name in columns[:index]:
            raise SweepError(f"two columns are named {name!r}", place=str(path))
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            raise SweepError(f"{len(cells)} cells, and {len(columns)} columns", place=f"{path}, line {number}")
        rows.append(TableLine(number, {name: cell for name, cell in zip(columns, cells, strict=True) if cell != ""}))
    return columns, rows


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line that has some, with its number."""
    text, mark, skipped = _text(path), "", 0
    if found := _TOLD_MARK.match(text):
        # A line for spreadsheets.
        mark, text, skipped = found[1], text[found.end() :], 1
    head = _QUOTED.sub("", text.partition("\n")[0])
    mark = mark or next((each for each in (",", ";", "\t") if each in head), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        return [(reader.line_num + skipped, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise SweepError(str(error), place=f"{path}, line {reader.line_num + skipped}") from None


def _without_empty_columns(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The lines without the columns that have neither a name nor a cell, as spreadsheets write them."""
    used = sorted({index for _, cells in lines for index, cell in enumerate(cells) if cell.strip()})
    return [(number, [cells[index] for index in used if index < len(cells)]) for number, cells in lines]


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
        remedy = "Save the table as UTF-8, which spreadsheets offer as a kind of CSV"
        raise SweepError(f"byte {error.start} is not UTF-8", place=str(path), remedy=remedy) from None
