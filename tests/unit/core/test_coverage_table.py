"""The table of ``make coverage`` knows the tree: its parts are there, and every measured file counts for one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_table", ROOT / "scripts" / "coverage_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _files() -> dict[str, Any]:
    """Every module, as coverage reports it: nine of ten lines and three of four branches are covered."""
    summary = {"covered_lines": 9, "num_statements": 10, "covered_branches": 3, "num_branches": 4}
    packages = ("discomfort", "comfyui_emulator", "comfyui_conformance")
    paths = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): {"summary": summary} for path in paths}


def test_every_part_is_in_the_tree(table: ModuleType) -> None:
    """A folder or file that moved is noticed here, not as a part that is silently never short of lines."""
    assert set(table.PARTS) - table.totals(_files(), table.PARTS).keys() == set()


def test_every_file_counts_for_one_part(table: ModuleType) -> None:
    """The sums of the parts, without the single files, are the sum of all."""
    files = _files()
    found = table.totals(files, [])
    whole = found.pop("all")

    assert whole == [9 * len(files), 10 * len(files), 3 * len(files), 4 * len(files)]
    assert [sum(column) for column in zip(*found.values(), strict=True)] == whole


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("discomfort/exceptions.py", "-"),
        ("discomfort/client/rest.py", "client"),
        ("discomfort/conversion/browser/page.py", "conversion"),
        ("comfyui_emulator/settings.py", "comfyui_emulator"),
        ("comfyui_emulator/nodes/images/files.py", "comfyui_emulator"),
        ("comfyui_conformance/probe.py", "comfyui_conformance"),
    ],
)
def test_part_of_a_file(table: ModuleType, name: str, part: str) -> None:
    """The packages beside ``discomfort`` are parts of their own."""
    assert table.part_of(name) == part
