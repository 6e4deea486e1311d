"""Result tables of a sweep, as CSV and JSON lines. Blocking."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discomfort.sweeps.sweep_folder import SweepFolder
from discomfort.sweeps.sweep_results import SweepResult
from discomfort.sweeps.value_forms import label

CSV_NAME = "results.csv"
JSON_NAME = "results.jsonl"
_FIXED = ("index", "name", "status", "seconds", "server_seconds", "prompt_id", "files", "error", "key")


def write_tables(held: SweepFolder, rows: Sequence[SweepResult]) -> None:
    """Write both tables, replacing older ones. Raises OSError, DiskFullError among them."""
    folder = held.path
    lines = "".join(json.dumps(row.as_json(folder), ensure_ascii=False, default=str) + "\n" for row in rows)
    held.write(CSV_NAME, _csv(folder, rows).encode("utf-8", "replace"))
    held.write(JSON_NAME, lines.encode("utf-8", "replace"))


def _csv(folder: Path, rows: Sequence[SweepResult]) -> str:
    """What the row is, its values, what came out, and the texts of its outputs, each in a column of its own."""
    values = list(dict.fromkeys(name for row in rows for name in row.values))
    texts = list(dict.fromkeys(name for row in rows for name in row.texts))
    # A column of a value or a text that is named as one of ours has the kind before its name.
    heads = [
        "index", "name",
        *(f"value.{name}" if name in _FIXED else name for name in values),
        "status", "seconds", "server_seconds", "prompt_id", "files",
        *(f"text.{name}" if name in _FIXED or name in values else name for name in texts),
        "error", "key",
    ]  # fmt: skip
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(heads)
    for row in rows:
        told = row.as_json(folder)
        files = " ".join(entry["file"] for entry in told["files"])
        writer.writerow(
            [
                row.index, row.name, *(_cell(row.values, name) for name in values),
                row.status, row.seconds, row.server_seconds, row.prompt_id, files,
                *(_cell(row.texts, name) for name in texts), row.error, row.key,
            ]
        )  # fmt: skip
    return stream.getvalue()


def _cell(values: Any, name: str) -> Any:
    """A value as a cell: numbers and texts as they are, files by their name, lists and objects as JSON."""
    value: Any = values.get(name)
    if isinstance(value, dict) and "sha256" in value:
        return str(value.get("file") or label(value))
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value
