"""The table of faults names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_row_has_its_test() -> None:
    """Each row ends with the name of at least one test of this suite."""
    rows = [line for line in (ROOT / "docs" / "reference" / "faults.md").read_text().splitlines() if line[:2] == "| "]
    found = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    body = [row for row in rows if not row.startswith("| fault")]
    named = {row: re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1]) for row in body}

    assert [row for row, names in named.items() if not names] == []
    assert {name for names in named.values() for name in names} - found == set()
    assert len(body) > 60
