"""Runs the same on the emulator and on a real ComfyUI, and compares the results.

    python -m benchmarks.parity --comfyui PATH [--write]      # starts both
    python -m benchmarks.parity EMULATOR_URL COMFYUI_URL      # both run already

Seven parts: ``nodes`` (outputs, pixel by pixel), ``messages`` (what sockets are told, scenario by scenario), ``bodies``
(answers to wrong prompts), ``values`` (wrong values inside of nodes), ``routes`` (requests of every kind), ``random``
(graphs by Hypothesis), ``options`` (other command lines, with servers of their own; needs ``--comfyui``). With
``--eviction`` also the history beyond its limit, which takes minutes. Prints a table for each, and with ``--notes``
every difference. Exits with 1 where outputs differ by more than ``--tolerance`` levels of 255, or anything else at all.
``--write`` puts the tables into the documentation. ``--keep FOLDER`` keeps what was found there; later runs with the
same folder do only what is missing and what ``--part`` names, so the page can be made in several sittings.

Servers that run already have to have loaded ``benchmarks/parity/nodes``, ComfyUI under ``PYTHONHASHSEED=1`` or what
``--hash-seed`` says (the order in which it runs outputs hangs on that); all but ``nodes`` needs both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from benchmarks.parity import (
    bodies,
    cases,
    comparing,
    ends,
    eviction,
    failing,
    kept,
    ordering,
    routes,
    sequences,
    servers,
    settings,
    table,
)
from benchmarks.parity.building import Case
from benchmarks.parity.comparing import Row
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.random_graphs import Duel
from benchmarks.parity.samples import samples
from benchmarks.parity.servers import Server
from benchmarks.parity.since import SCENARIOS

Rows = Mapping[str, Row]
OPTIONS = "options"
Part = Callable[[argparse.Namespace, Server, Server, SetOrder], Rows]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL", help="the emulator's and ComfyUI's")
    add("--comfyui", type=Path, metavar="PATH", help="start both, ComfyUI from this folder")
    add("--python", type=Path, help="for ComfyUI; default: of its own environment")
    add("--part", choices=[*PARTS, OPTIONS], action="append", help="only these parts")
    add("--group", choices=cases.groups(), action="append", help="only these kinds of nodes")
    add("--node", help="only these nodes, separated by commas")
    add("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="only these scenarios")
    add("--random", type=int, default=300, metavar="N", help="how many random graphs (default 300)")
    add("--setting", type=int, action="append", metavar="N", help="only these of the command lines, from 0")
    add("--eviction", action="store_true", help="fill the history beyond its limit, too")
    add("--seed", type=int, metavar="N", help="other random graphs than those of the table")
    add("--hash-seed", default=ordering.SEED, metavar="N", help=f"PYTHONHASHSEED of ComfyUI (default {ordering.SEED})")
    add("--tolerance", type=int, default=1, metavar="LEVELS")
    add("--notes", action="store_true", help="list every difference beyond 1")
    add("--keep", type=Path, metavar="FOLDER", help="keep the rows there, and use those that are")
    add("--write", action="store_true", help=f"write {table.PAGE.name}; runs everything")
    options = parser.parse_args()
    if len(options.urls) != (0 if options.comfyui else 2):
        parser.error("two URLs, or --comfyui")
    some = options.group or options.node or options.scenario or options.seed or options.setting
    if options.write and (options.part or some):
        parser.error("--write is for the whole comparison")
    if options.keep and some and options.part != ["nodes"]:
        parser.error("--keep is for whole parts, except for --part nodes")
    if OPTIONS in (options.part or ()) and not options.comfyui:
        parser.error("--part options starts servers of its own: name --comfyui")
    return options


@contextlib.contextmanager
def both(options: argparse.Namespace) -> Iterator[tuple[Server, Server, SetOrder]]:
    """The two servers, with the samples in their input folders, and the order of ComfyUI's outputs."""
    with contextlib.ExitStack() as stack:
        if options.comfyui:
            python = options.python or servers.own_python(options.comfyui.resolve())
            ours = stack.enter_context(servers.emulator(comfyui=options.comfyui.resolve()))
            theirs = stack.enter_context(
                servers.comfyui(options.comfyui.resolve(), options.python, seed=options.hash_seed)
            )
        else:
            ours, theirs = (Server(url) for url in options.urls)
            python = options.python
        for name, content in (samples() | cases.extra_samples() | failing.samples()).items():
            ours.upload(name, content)
            theirs.upload(name, content)
        yield ours, theirs, stack.enter_context(SetOrder(python, ours.output_classes(), options.hash_seed))


def nodes(options: argparse.Namespace, ours: Server, theirs: Server, _order: SetOrder) -> Rows:
    """Outputs, node by node."""
    return ends.of_nodes(ours, theirs, chosen(options))


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """The cases that were asked for."""
    names = options.node.split(",") if options.node else None
    for name, group in cases.groups().items():
        if options.group is None or name in options.group:
            yield from (case for case in group() if names is None or case.node in names)


def messages(options: argparse.Namespace, ours: Server, theirs: Server, order: SetOrder) -> Rows:
    """Messages, scenario by scenario."""
    return asyncio.run(sequences.compare((ours.url, theirs.url), options.scenario or list(SCENARIOS), order))


def wrong(_options: argparse.Namespace, ours: Server, theirs: Server, _order: SetOrder) -> Rows:
    """Answers to wrong prompts."""
    return bodies.compare(ours, theirs)


def values(options: argparse.Namespace, ours: Server, theirs: Server, order: SetOrder) -> Rows:
    """Values that are wrong inside of a node."""
    names = options.node.split(",") if options.node else None
    prompts = (
        (group, case._replace(graph=order.arranged(case.graph)))
        for group, case in failing.failing(theirs.object_info())
        if names is None or case.node in names
    )
    return ends.of_groups(ours, theirs, prompts)


def requests(_options: argparse.Namespace, ours: Server, theirs: Server, _order: SetOrder) -> Rows:
    """Requests of every kind."""
    return routes.compare(ours, theirs)


def random(options: argparse.Namespace, ours: Server, theirs: Server, order: SetOrder) -> Rows:
    """Random graphs."""
    return {"random": Duel((ours.url, theirs.url), order).examine(options.random, options.seed)}


PARTS: dict[str, Part] = {
    "nodes": nodes,
    "messages": messages,
    "bodies": wrong,
    "values": values,
    "routes": requests,
    "random": random,
}
SHOWN = {"nodes": table.table, "values": table.worded}


def forgotten(_options: argparse.Namespace, ours: Server, theirs: Server, _order: SetOrder) -> Rows:
    """The history beyond its limit."""
    return eviction.compare(ours, theirs)


def other_settings(options: argparse.Namespace) -> Rows:
    """Other command lines."""
    return settings.compare(options.comfyui.resolve(), options.python, options.setting or ())


def parts(options: argparse.Namespace, done: Collection[str] = ()) -> Iterator[tuple[str, Rows]]:
    """The rows of every part that was asked for, as they come; without those that are done, if none was named."""
    known = PARTS | ({"eviction": forgotten} if options.eviction else {})
    asked = options.part or [name for name in (*PARTS, OPTIONS) if name not in done]
    chosen = [name for name in known if name in asked or (name == "eviction" and name not in done)]
    if chosen:
        with both(options) as (ours, theirs, order):
            options.version = json.loads(theirs.request("/system_stats"))["system"]["comfyui_version"]
            for name in chosen:
                yield name, known[name](options, ours, theirs, order)
    if options.comfyui and OPTIONS in asked:
        yield OPTIONS, other_settings(options)


def main() -> int:
    """Compare, print the tables, and say by the exit code whether all is as it should be."""
    options = parse()
    found: dict[str, Rows] = {}
    options.version, done = kept.read(options.keep) if options.keep else ("", {})
    found |= done
    for name, rows in parts(options, done):
        found[name] = rows
        if options.keep:
            kept.keep(options.keep, name, options.version, rows, some=bool(options.group or options.node))
        print(f"{SHOWN.get(name, table.differences)(rows, name)}\n", flush=True)
        if name == "nodes":
            print(f"no case is about: {', '.join(cases.without_case()) or 'none'}\n")
    if options.notes:
        for rows in found.values():
            for name, row in rows.items():
                print(*(f"{name}: {note}" for note in row.notes), sep="\n", end="\n" if row.notes else "")
                for case, one, two in row.worded:
                    print(f"{name}: only the words: {case}: {one} / {two}")
    if options.write:
        table.PAGE.write_text(table.page(options.version, found))
    return 1 if any(comparing.total(rows.values()).largest > options.tolerance for rows in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
