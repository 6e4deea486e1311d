"""The values of ``--grid``: ``seed=0..7``, ``cfg=5,7``, ``prompt=a|b``, ``photo=photos/*.png``."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from discomfort.cli.inputs import UsageError, read_pairs
from discomfort.cli.value_ranges import MOST_RUNS, is_json, item_values, split_items
from discomfort.sweeps.value_forms import takes_content
from discomfort.workflow.interface.declarations import Parameter
from discomfort.workflow.interface.parameters import Interface


def read_grid(texts: Sequence[str]) -> dict[str, str]:
    """The ``--grid`` options by name, in order. Raises UsageError for one without a name, or given twice."""
    return dict(read_pairs("--grid", list(texts)))


def grid_values(grid: Mapping[str, str], interface: Interface) -> dict[str, list[Any]]:
    """The values of each name, read as its type asks for. Raises UsageError."""
    return {name: _values(name, text, interface.inputs.get(name)) for name, text in grid.items()}


def _values(name: str, text: str, parameter: Parameter | None) -> list[Any]:
    """Texts and files are divided by ``|``, all others by ``|`` or commas. What is a string in JSON is one value."""
    if text.startswith('"') and is_json(text):
        return [json.loads(text)]
    if parameter is not None and parameter.choices is not None and text in parameter.choices:
        return [text]
    items = list(split_items(text))
    if takes_content(parameter):
        return [file for item in items for file in _files(name, item)]
    if parameter is not None and parameter.type == "STRING":
        return list(items)
    if len(items) == 1 and not is_json(text):
        items = text.split(",")
    found: list[Any] = []
    for item in items:
        is_choice = parameter is not None and item in (parameter.choices or ())
        found += [item] if is_choice else item_values(f"--grid {name}", item)
        if len(found) > MOST_RUNS:
            raise UsageError(f"--grid {name}: more than {MOST_RUNS} values")
    return found


def _files(name: str, item: str) -> list[Any]:
    """The files that a pattern matches, or the path itself; a name without a file here may be one of the server."""
    if Path(item).is_file() or not glob.has_magic(item):
        return [item]
    found = sorted(path for path in glob.glob(item, recursive=True) if Path(path).is_file())  # noqa: PTH207 - absolute ones, too
    if not found:
        raise UsageError(f"--grid {name}: no file matches {item!r}")
    return list(found)
