"""Line and branch coverage of each part, from the combined data of ``coverage``; ``make coverage`` calls this.

    python scripts/coverage_table.py [--least PERCENT] [PARTS…]

The exit code is 1 where one of the parts (default: all that are named in PARTS below) has less than ``--least``.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import coverage

PARTS = ("process", "client", "conversion", "files", "connector", "connector/lifecycle.py")


def part_of(name: str) -> str:
    """The folder below the package that a file lies in, ``-`` for the package's own."""
    words = Path(name).parts
    return words[1] if len(words) > 2 else "-"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("parts", nargs="*", default=PARTS)
    options = parser.parse_args()
    measured = coverage.Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "coverage.json")
        stdout, sys.stdout = sys.stdout, io.StringIO()
        try:
            measured.json_report(outfile=str(target))
        finally:
            sys.stdout = stdout
        files = json.loads(target.read_bytes())["files"]
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, facts in files.items():
        summary = facts["summary"]
        numbers = [summary[key] for key in ("covered_lines", "num_statements", "covered_branches", "num_branches")]
        for part in {part_of(name), Path(name).relative_to("discomfort").as_posix(), "all"}:
            if part in {part_of(name), "all"} or part in options.parts:
                found[part] = [a + b for a, b in zip(found[part], numbers, strict=True)]
    print(f"{'part':<24} {'lines':>14} {'branches':>14} {'together':>9}")
    bad = []
    for part, (lines, of_lines, branches, of_branches) in sorted(found.items()):
        share = 100 * (lines + branches) / max(1, of_lines + of_branches)
        print(f"{part:<24} {lines:>6} / {of_lines:>5} {branches:>6} / {of_branches:>5} {share:>8.1f}%")
        if part in options.parts and share < options.least:
            bad.append(part)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
