"""Rows of an earlier run in a folder: a comparison of hours can be made in parts, and the page from all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.parity.comparing import Row


def read(folder: Path) -> tuple[str, dict[str, dict[str, Row]]]:
    """ComfyUI's version and the rows of each part that is kept; nothing where there is no such folder."""
    version, found = "", {}
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text())
        version = about["version"] or version
        found[path.stem] = {name: _row(values) for name, values in about["rows"].items()}
    return version, found


def _row(values: Mapping[str, object]) -> Row:
    row = Row(**values)  # type: ignore[arg-type]
    row.worded = [(case, ours, theirs) for case, ours, theirs in row.worded]
    return row


def keep(folder: Path, part: str, version: str, rows: Mapping[str, Row], *, some: bool) -> None:
    """Keep the rows of a part. ``some``: the other rows that are kept of it stay."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read(folder)[1].get(part, {}) if some else {}
    content = {name: asdict(row) for name, row in (before | dict(rows)).items()}
    (folder / f"{part}.json").write_text(json.dumps({"version": version, "rows": content}, indent=1))
