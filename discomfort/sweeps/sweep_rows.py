"""The rows of a sweep: every combination of the values of a grid, and of the lines of a table."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort._error_text import joined, nearest
from discomfort.exceptions import SweepError
from discomfort.sweeps.table_files import TableLine, read_csv_lines, read_json_lines
from discomfort.sweeps.value_forms import takes_content
from discomfort.workflow.interface.declarations import Parameter
from discomfort.workflow.interface.parameters import Interface

MOST_ROWS = 100_000
"""Rows of one sweep; more is a slip, such as a range of seeds without an end."""

NAME_COLUMN = "name"
"""The column that names a row, unless the workflow has an input of this name."""

_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, Mapping)
"""What can be iterated over and is one value all the same."""

TableSource = str | os.PathLike[str] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One call: its values by name, the number of its row from 1, and for a table its name and its place there."""

    values: Mapping[str, Any] = field(default_factory=dict)
    index: int = 1
    name: str = ""
    place: str = ""


def grid_rows(
    interface: Interface, values: Mapping[str, Any], rows: Sequence[SweepRow] = (SweepRow(),)
) -> list[SweepRow]:
    """Every combination, in the order of nested loops: the last name changes fastest. ``rows`` are the outermost loop.

    Raises SweepError for a name that is not an input, for one that the rows have, and for too many rows.
    """
    _check_names(interface, values, "")
    lists = {name: _several(name, value, interface.inputs.get(name)) for name, value in values.items()}
    count = len(rows)
    for name, each in lists.items():
        if not each:
            raise SweepError("it has no values", place=name)
        if any(name in row.values for row in rows):
            raise SweepError("it is a column of the table, and also given", place=name)
        count *= len(each)
        if count > MOST_ROWS:
            raise SweepError(f"the grid has more than {MOST_ROWS} rows", place=name)
    made: list[SweepRow] = []
    for row in rows:
        for combination in itertools.product(*lists.values()):
            chosen = dict(zip(lists, combination, strict=True))
            made.append(SweepRow({**row.values, **chosen}, len(made) + 1, row.name, row.place))
    return made


def table_rows(interface: Interface, source: TableSource) -> list[SweepRow]:
    """The rows of a CSV file, of a file of JSON lines (``.jsonl``, ``.ndjson``), or of mappings.

    Raises OSError, SweepError with the line.
    """
    if isinstance(source, str | os.PathLike):
        place, lines = str(source), _file_lines(interface, Path(source))
    else:
        place, lines = "rows", _given_lines(source)
    made: list[SweepRow] = []
    for line in lines:
        where = f"rows[{line.number}]" if place == "rows" else f"{place}, line {line.number}"
        values = dict(line.cells)
        name = "" if NAME_COLUMN in interface.inputs else str(values.pop(NAME_COLUMN, ""))
        _check_names(interface, values, where)
        made.append(SweepRow(values, len(made) + 1, name, where))
        if len(made) > MOST_ROWS:
            raise SweepError(f"it has more than {MOST_ROWS} rows", place=place)
    if not made:
        raise SweepError("it has no rows", place=place)
    return made


def _given_lines(rows: Iterable[Mapping[str, Any]]) -> list[TableLine]:
    found = []
    if not isinstance(rows, Iterable):
        raise SweepError(f"a file or rows are needed, not {type(rows).__name__}", place="table")
    for index, row in enumerate(itertools.islice(rows, MOST_ROWS + 1)):
        if not isinstance(row, Mapping):
            raise SweepError(f"names and values are needed, not {type(row).__name__}", place=f"rows[{index}]")
        found.append(TableLine(index, {str(name): value for name, value in row.items() if value is not None}))
    return found


def _file_lines(interface: Interface, path: Path) -> list[TableLine]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = read_json_lines(path)
    else:
        columns, lines = read_csv_lines(path)
        _check_names(interface, dict.fromkeys(columns), f"{path}, line 1")
        lines = [TableLine(line.number, _typed(interface, line.cells)) for line in lines]
    return [TableLine(line.number, _with_paths(interface, line.cells, path.parent)) for line in lines]


def _typed(interface: Interface, cells: Mapping[str, str]) -> dict[str, Any]:
    return {name: typed(text, interface.inputs.get(name)) for name, text in cells.items()}


def typed(text: str, parameter: Parameter | None) -> Any:
    """A text as the value of that input: text for texts and files, else JSON if it parses as such."""
    if parameter is not None and (parameter.type == "STRING" or takes_content(parameter)):
        return text
    choices = parameter.choices or () if parameter is not None else ()
    # A text that is written with blanks after the comma is meant without them, unless a choice has them.
    if found := [each for each in (text, text.strip()) if each in choices]:
        return found[0]
    try:
        # A spreadsheet writes TRUE.
        return json.loads(text.lower() if parameter is not None and parameter.type == "BOOLEAN" else text)
    except (ValueError, RecursionError):
        return text


def _with_paths(interface: Interface, cells: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Makes paths relative to the table; a text without a file there may name one elsewhere, or on the server."""
    found = dict(cells)
    for name, value in cells.items():
        if isinstance(value, str) and takes_content(interface.inputs.get(name)) and (folder / value).is_file():
            found[name] = folder / value
    return found


def _check_names(interface: Interface, names: Mapping[str, Any], place: str) -> None:
    for name in names:
        # Selectors are checked by the call.
        if name not in interface.inputs and name != NAME_COLUMN and "." not in name.strip("."):
            known = nearest(name, list(interface.inputs))
            remedy = f"Its inputs are {joined(known, ', ')}" if known else "It has no named inputs: use KSampler.seed"
            raise SweepError(f"the workflow has no input {name!r}", place=place, remedy=remedy)


def _several(name: str, value: Any, parameter: Parameter | None) -> list[Any]:
    """The values that a name takes: those of a list, a range, a generator or a row of numbers; else the value alone."""
    if name == NAME_COLUMN and parameter is None:
        raise SweepError("names of rows come from a table", place=name)
    if hasattr(value, "ndim"):
        is_row = value.ndim == 1 and not takes_content(parameter)
        return list(value.tolist()) if is_row else [value]
    if (
        not isinstance(value, Iterable)
        or isinstance(value, _SINGLE)
        or hasattr(value, "read")
        or hasattr(value, "mode")
        # A whole result, whose iteration gives names: the call says which output could be meant.
        or hasattr(value, "prompt_id")
    ):
        return [value]
    found = list(itertools.islice(value, MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        raise SweepError(f"it has more than {MOST_ROWS} values", place=name)
    return found
