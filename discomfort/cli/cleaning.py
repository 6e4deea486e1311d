"""``discomfort doctor --clean``: shows what dead connectors left, and removes it if the user agrees."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from discomfort._json import JsonObject
from discomfort.cli.exit_codes import FAILED, OK
from discomfort.cli.terminal import Terminal, clean

_PATIENCE = 3.0
"""Seconds between SIGTERM and SIGKILL for an abandoned server."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that a dead connector left; ``remove`` removes it, and returns the problem if it could not."""

    kind: Literal["process", "folder", "journal", "lock"]
    name: str
    detail: str
    remove: Callable[[], str]

    def as_json(self) -> JsonObject:
        """The leftover in the form of ``--json``."""
        return {"kind": self.kind, "name": self.name, "detail": self.detail}


def clean_command(
    terminal: Terminal, *, as_json: bool, is_agreed: bool, ask: Callable[[str], bool] | None = None
) -> int:
    """Show, ask, remove. Returns 0 if nothing is left in the end, else 1.

    Without a terminal, and with ``as_json``, nothing is removed unless ``is_agreed``.
    """
    found = find_leftovers()
    if not as_json:
        for leftover in found:
            terminal.write(f"{leftover.kind:<8} {clean(leftover.name)}: {clean(leftover.detail)}\n")
        if not found:
            terminal.note("dead connectors have left nothing")
    agreed = is_agreed
    if found and not agreed and not as_json and (ask is not None or sys.stdin.isatty()):
        agreed = (ask or _ask)(f"End or delete these {len(found)} item(s)?")
    problems = [(leftover, leftover.remove() if agreed else "not removed") for leftover in found]
    remaining = [leftover for leftover, problem in problems if problem]
    if as_json:
        listed = [{**leftover.as_json(), "problem": problem or None} for leftover, problem in problems]
        terminal.write_json({"ok": not remaining, "removed": agreed, "leftovers": listed})
    elif found and not agreed:
        terminal.note("nothing was removed; add --yes to remove it without asking")
    else:
        for leftover, problem in problems:
            if problem:
                terminal.fail(f"{leftover.kind} {leftover.name}: {problem}")
        if found:
            terminal.note(f"{len(found) - len(remaining)} of {len(found)} removed")
    return FAILED if remaining else OK


def find_leftovers() -> list[Leftover]:
    """Everything that certainly belongs to dead connectors, in the order in which it must be removed."""
    from discomfort._system.ownership import orphans

    found = [_process(process) for process in orphans()]
    return found + _emulators() + _contexts() + _journals() + _locks()


def _emulators() -> list[Leftover]:
    from comfyui_emulator import temporary

    def remover(path: Path) -> Callable[[], str]:
        return lambda: "" if temporary.remove_abandoned(path) else "it could not be removed"

    detail = "temporary files of a dead emulator"
    return [Leftover("folder", str(path), detail, remover(path)) for path in temporary.abandoned_folders()]


def _contexts() -> list[Leftover]:
    from discomfort._system import claimed_folders
    from discomfort.context import folders
    from discomfort.pool.status_socket import pools_root

    def remover(path: Path) -> Callable[[], str]:
        return lambda: "" if claimed_folders.remove_abandoned(path) else "it could not be removed"

    def detail(path: Path) -> str:
        what = "status of a pool" if path.parent == pools_root() else "values of a context"
        return f"{what} whose process has ended"

    return [Leftover("folder", str(path), detail(path), remover(path)) for path in folders.leftovers()]


def _locks() -> list[Leftover]:
    from discomfort.server import ports

    def remover(path: Path) -> Callable[[], str]:
        return lambda: "" if ports.remove_lock(path) else "another process holds it now"

    detail = "lock of a port that no process holds"
    return [Leftover("lock", str(path), detail, remover(path)) for path in ports.abandoned_locks()]


def _process(process: psutil.Process) -> Leftover:
    from discomfort._system import process_tree
    from discomfort.redaction import redact_words

    def remove() -> str:
        # psutil compares pid and start before it signals, so a pid that was reused meanwhile is safe.
        return "it does not end" if process_tree.end([process], patience=_PATIENCE) else ""

    try:
        command = " ".join(redact_words(process.cmdline()))[:200]
    except psutil.Error:
        command = "?"
    return Leftover("process", str(process.pid), f"{command}; the process that started it has ended", remove)


def _journals() -> list[Leftover]:
    from discomfort.connector.resources import journal_directory
    from discomfort.files.journal import Journal

    journal = Journal(journal_directory())

    def remover(path: Path) -> Callable[[], str]:
        def remove() -> str:
            journal.recover()
            return "some of it could not be deleted" if path.exists() else ""

        return remove

    found = []
    for path, entries in journal.abandoned():
        shown = ", ".join(str(entry.path) for entry in entries[:5])
        more = f" and {len(entries) - 5} more" if len(entries) > 5 else ""
        detail = f"lists {shown}{more}" if entries else "no longer lists anything"
        found.append(Leftover("journal", str(path), detail, remover(path)))
    return found


def _ask(question: str) -> bool:
    import typer

    return typer.confirm(question, err=True)
