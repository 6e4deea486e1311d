"""Run the same prompts on the emulator and on a real ComfyUI, and compare what comes out.

    python -m benchmarks.parity --comfyui PATH [--write]      # starts both
    python -m benchmarks.parity EMULATOR_URL COMFYUI_URL      # both run already

Prints a table: node, cases, equal cases, largest difference of an 8-bit level. Exits with 1 where a difference is
larger than ``--tolerance``. ``--write`` puts the table into the documentation.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.parity import cases, comparing, servers, table
from benchmarks.parity.building import Case
from benchmarks.parity.samples import samples
from benchmarks.parity.servers import Server


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("urls", nargs="*", metavar="URL", help="the emulator's and ComfyUI's")
    parser.add_argument("--comfyui", type=Path, metavar="PATH", help="start both, ComfyUI from this folder")
    parser.add_argument("--python", type=Path, help="for ComfyUI; default: of its own environment")
    parser.add_argument("--group", choices=cases.groups(), action="append", help="only these kinds of nodes")
    parser.add_argument("--node", help="only these nodes, separated by commas")
    parser.add_argument("--tolerance", type=int, default=1, metavar="LEVELS")
    parser.add_argument("--notes", action="store_true", help="list every difference beyond 1")
    parser.add_argument("--write", action="store_true", help=f"write {table.PAGE.name}")
    options = parser.parse_args()
    if len(options.urls) != (0 if options.comfyui else 2):
        parser.error("two URLs, or --comfyui")
    return options


@contextlib.contextmanager
def both(options: argparse.Namespace) -> Iterator[tuple[Server, Server]]:
    """The two servers, with the samples in their input folders."""
    with contextlib.ExitStack() as stack:
        if options.comfyui:
            ours = stack.enter_context(servers.emulator())
            theirs = stack.enter_context(servers.comfyui(options.comfyui.resolve(), options.python))
        else:
            ours, theirs = (Server(url) for url in options.urls)
        for name, content in (samples() | cases.extra_samples()).items():
            ours.upload(name, content)
            theirs.upload(name, content)
        yield ours, theirs


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """The cases that were asked for."""
    nodes = options.node.split(",") if options.node else None
    for name, group in cases.groups().items():
        if options.group is None or name in options.group:
            yield from (case for case in group() if nodes is None or case.node in nodes)


def main() -> int:
    """Compare, print the table, and say by the exit code whether all is within the tolerance."""
    options = parse()
    with both(options) as (ours, theirs):
        rows = comparing.run(ours, theirs, chosen(options))
        version = json.loads(theirs.request("/system_stats"))["system"]["comfyui_version"]
    print(table.table(rows))
    if options.notes:
        for name, row in sorted(rows.items()):
            for note in row.notes:
                print(f"{name}: {note}")
    if options.write:
        table.PAGE.write_text(table.page(version, rows))
    return 1 if comparing.total(rows.values()).largest > options.tolerance else 0


if __name__ == "__main__":
    sys.exit(main())
