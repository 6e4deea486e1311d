"""Differences between two ComfyUIs, as far as this project relies on them.

    python -m benchmarks.versions --comfyui PATH --comfyui OTHER_PATH [--json]

Starts both, and compares in groups: ``routes`` that the client and the frontend use (status, headers, form of the
body), ``messages`` of the scenarios of the parity table (order and fields), ``nodes`` (their definitions), ``traps``
(each on a server of its own: what survives, what is refused, what dies), ``options`` of the command line and required
packages, the frontend among them. Each subject is the same, differs, or is only in A (the first) or only in B. The exit
status is 0, whatever differs. ``emulator`` in place of a path is the emulator; ``emulator:FILE`` is the emulator with
the node definitions in FILE.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator

from benchmarks.parity import ordering
from benchmarks.parity.corners import SCENARIOS
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.samples import samples
from benchmarks.parity.servers import Server
from benchmarks.versions import installations, message_streams, node_classes, relied_routes, trap_prompts, trap_scenes
from benchmarks.versions.drift_report import Finding, as_json, as_table, as_text, compared
from benchmarks.versions.sides import Side
from benchmarks.versions.trial import Trial

Groups = dict[str, list[Finding]]
ON_RUNNING = ("routes", "messages", "nodes")
PARTS = (*ON_RUNNING, "traps", "options")
TRAPS = (*trap_prompts.PROMPTS, *trap_scenes.SCENES)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--comfyui", action="append", required=True, metavar="PATH", help="twice: A, then B; or the word emulator")
    add("--part", choices=PARTS, action="append", help="only these parts")
    add("--scenario", choices=SCENARIOS, action="append", metavar="NAME", help="only these scenarios")
    add("--trap", choices=TRAPS, action="append", metavar="NAME", help="only these traps")
    add("--quick", action="store_true", help="a server that went on after a trap serves for the next one, too")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="the report for programs")
    shown.add_argument("--table", action="store_true", help="the traps as a table in Markdown")
    options = parser.parse_args(words)
    if len(options.comfyui) != 2:
        parser.error("--comfyui twice: the two to compare")
    return options


def running(options: argparse.Namespace, a: Side, b: Side, parts: tuple[str, ...]) -> Iterator[Groups]:
    """The parts that need nothing but both servers."""
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(side.start()) for side in (a, b))
        for side, server in ((a, ours), (b, theirs)):
            side.version = json.loads(server.request("/system_stats"))["system"]["comfyui_version"]
        if "nodes" in parts:
            yield node_classes.compare(ours.object_info(), theirs.object_info())
        if "routes" in parts:
            yield relied_routes.compare(ours, theirs)
        if "messages" in parts:
            for server in (ours, theirs):
                upload_samples(server)
            order = stack.enter_context(SetOrder(None, ours.output_classes(), ordering.SEED))
            yield message_streams.compare(ours, theirs, order, options.scenario or ())


def upload_samples(server: Server) -> None:
    """The files that scenarios load."""
    for name, content in samples().items():
        server.upload(name, content)


class Victims:
    """Servers of one side for one trap after the other; with ``quick`` one that goes on serves for the next, too."""

    def __init__(self, side: Side, *, quick: bool) -> None:
        self.side, self.quick = side, quick
        self._stack = contextlib.ExitStack()
        self._server: Server | None = None

    def tried(self, name: str) -> str:
        """What a trap does."""
        if self._server is None:
            self._server = self._stack.enter_context(self.side.start(slim=True))
        trial = Trial(self._server)
        try:
            if name in trap_scenes.SCENES:
                told = trap_scenes.SCENES[name](trial)
            else:
                told = trial.after(*trial.post(trap_prompts.PROMPTS[name]))
        except Exception as error:  # noqa: BLE001 - the report is what this is for
            told = trial.died() or f"stopped: {type(error).__name__}: {error}"
        if not self.quick or not told.endswith("goes on"):
            self.close()
        return told

    def close(self) -> None:
        """End the server, if there is one."""
        self._stack.close()
        self._server = None


def traps(a: Side, b: Side, names: tuple[str, ...], *, quick: bool = False) -> Groups:
    """Every trap on both sides."""
    found = []
    ours, theirs = Victims(a, quick=quick), Victims(b, quick=quick)
    with contextlib.closing(ours), contextlib.closing(theirs):
        for name in names:
            one, other = ours.tried(name), theirs.tried(name)
            print(f"{name}: {one} / {other}", file=sys.stderr, flush=True)
            finding = compared(name, one, other)
            found.append(finding if finding.details else finding._replace(details=(one,)))
    return {"traps": found}


def compare(options: argparse.Namespace) -> tuple[dict[str, str], Groups]:
    """All parts that were asked for; both sides in words, and the findings by group."""
    a, b = (Side.named(name) for name in options.comfyui)
    parts = tuple(part for part in PARTS if options.part is None or part in options.part)
    groups: Groups = {}
    if any(part in ON_RUNNING for part in parts):
        for found in running(options, a, b, parts):
            groups |= found
    if "options" in parts:
        groups |= installations.compare((a.options(), b.options()), (a.packages(), b.packages()))
    if "traps" in parts:
        names = tuple(name for name in TRAPS if not options.trap or name in options.trap)
        groups |= traps(a, b, names, quick=options.quick)
    return {"A": str(a), "B": str(b)}, groups


def main() -> int:
    """Compare, and print the report."""
    options = parse()
    sides, groups = compare(options)
    if options.table:
        print(as_table(groups.get("traps", [])))
    else:
        print((as_json if options.json else as_text)(sides, groups))
    return 0


if __name__ == "__main__":
    sys.exit(main())
