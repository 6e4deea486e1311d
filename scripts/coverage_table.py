"""Line and branch coverage of each part, from the combined data of ``coverage``; ``make coverage`` calls this.

    python scripts/coverage_table.py [--least PERCENT] [PARTS…]

A part is a folder of ``discomfort`` (``client``), a package beside it (``comfyui_emulator``), or a file of
``discomfort`` (``connector/shutdown.py``); ``-`` stands for the modules directly in ``discomfort``. The exit code is 1
if one of PARTS (default: those named below) has less than ``--least`` percent, and 2 if there is no such part.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

import coverage

PARTS = (
    *("_system", "discovery", "server", "client", "conversion", "files", "connector"),
    *("connector/release.py", "connector/shutdown.py", "connector/states.py"),
)


def part_of(name: str) -> str:
    """The part that a measured file counts for, by its path from the repository's root."""
    package, *folders, _ = PurePath(name).parts
    if package != "discomfort":
        return package
    return folders[0] if folders else "-"


def measured_files() -> dict[str, Any]:
    """coverage's figures for each file."""
    measured = coverage.Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        target = Path(folder, "coverage.json")
        measured.json_report(outfile=str(target))
        files: dict[str, Any] = json.loads(target.read_bytes())["files"]
    return files


def totals(files: dict[str, Any], wanted: list[str]) -> dict[str, list[int]]:
    """Covered lines, lines, covered branches and branches of each part, of all, and of each file that is wanted."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, facts in files.items():
        summary = facts["summary"]
        numbers = [summary[key] for key in ("covered_lines", "num_statements", "covered_branches", "num_branches")]
        file = name.removeprefix("discomfort/")
        for part in (part_of(name), "all", *([file] if file in wanted else [])):
            found[part] = [a + b for a, b in zip(found[part], numbers, strict=True)]
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    options = parser.parse_args()
    found = totals(measured_files(), options.parts)
    if unknown := [part for part in options.parts if part not in found]:
        parser.error(f"nothing was measured of {', '.join(unknown)}; there are {', '.join(sorted(found))}")
    print(f"{'part':<24} {'lines':>15} {'branches':>15} {'together':>9}")
    bad = []
    for part, (lines, of_lines, branches, of_branches) in sorted(found.items()):
        share = 100 * (lines + branches) / max(1, of_lines + of_branches)
        print(f"{part:<24} {lines:>7} / {of_lines:>5} {branches:>7} / {of_branches:>5} {share:>8.1f}%")
        if part in options.parts and share < options.least:
            bad.append(part)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
