"""The watchdog process: waits for the end of its parent, then ends and removes what the parent had registered.

Run isolated and without site packages: it imports the standard library and what in ``_system`` needs no more. Its input
is one JSON object per line; end of file without ``close`` means that the parent is gone. Arguments: the parent's pid,
and the name of the environment variable that marks servers.

It leaves the parent's family and prints its new pid to standard output: a supervisor that kills a worker kills its
children with it, and the watchdog must outlive them.
"""

from __future__ import annotations

import errno
import json
import os
import select
import time
from collections.abc import Callable
from typing import Any

from discomfort._system import signals
from discomfort._system.detached_process import detach
from discomfort._system.process_table import carries, start_of, table
from discomfort._system.removal import remove_below, remove_claimed

TERM_SECONDS = 1.0
KILL_SECONDS = 1.0
_POLL_SECONDS = 0.02
_PARENT_CHECK_SECONDS = 1.0

Process = tuple[int, int]  # pid and start: a pid alone may be reused


class Registry:
    """What to end and remove. ``closed`` is set once the parent has shut down properly."""

    closed: bool

    def __init__(self) -> None:
        self.processes: dict[int, dict[str, Any]] = {}
        self.paths: dict[str, dict[str, Any]] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.closed = False

    def apply(self, line: bytes) -> None:
        """Process one message; an incomplete line (cut off by the parent's end) is ignored."""
        try:
            message = json.loads(line)
            operation = message["op"]
            if operation == "process":
                self.processes[int(message["pid"])] = message
            elif operation == "forget-process":
                self.processes.pop(int(message["pid"]), None)
            elif operation == "path":
                self.paths[str(message["path"])] = message
            elif operation == "forget-path":
                self.paths.pop(str(message["path"]), None)
            elif operation == "claim":
                self.claims[str(message["claim"])] = message
            elif operation == "forget-claim":
                self.claims.pop(str(message["claim"]), None)
            elif operation == "close":
                self.closed = True
        except (ValueError, KeyError, TypeError):
            return


def follow(stream: int, parent: int, registry: Registry) -> None:
    """Apply messages until ``close``, end of file, or the end of the parent."""
    buffer = b""
    start = start_of(parent)
    while not registry.closed:
        # A child of the parent that kept the pipe open would hide its end, so its pid and start are checked too.
        orphaned = start is None or start_of(parent) != start
        if not orphaned and not select.select([stream], [], [], _PARENT_CHECK_SECONDS)[0]:
            continue
        # What the parent wrote last is still in the pipe, and must be applied before the cleanup begins.
        if orphaned and not select.select([stream], [], [], 0)[0]:
            return
        chunk = os.read(stream, 1 << 16)
        if not chunk:
            return
        # A message may be split between two reads; its beginning waits in the buffer.
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            registry.apply(line)


# --- processes


def targets(registered: dict[int, dict[str, Any]], variable: str) -> set[Process]:
    """The registered processes that are still the same, and all that belong to them."""
    # One table for all checks: a second look could show a pid that was reused in between.
    seen = table()
    found: set[int] = set()
    for pid, entry in registered.items():
        same = pid in seen and seen[pid].start == entry["start"]
        if same:
            found.add(pid)
        # Group and session find what the server started and orphaned; the mark also finds what left both with setsid().
        # A group's id cannot be reused while its leader, here the same process as before, still exists.
        for other, facts in seen.items():
            in_group = same and entry.get("group") and pid in (facts.group, facts.session)
            if in_group or (entry.get("token") and carries(other, variable, entry["token"])):
                found.add(other)
    # Descendants level by level, until no process is added.
    grew = True
    while grew:
        children = {pid for pid, facts in seen.items() if facts.parent in found}
        grew = not children <= found
        found |= children
    # Never init, and never ourselves: the parent may have been started by a server that it marked.
    found -= {0, 1, os.getpid()}
    return {(pid, seen[pid].start) for pid in found if not seen[pid].ended}


def send(processes: set[Process], signal: Callable[[int], None]) -> None:
    """Send a signal to those that are still the same."""
    seen = table()
    for pid, start in processes:
        if pid in seen and seen[pid].start == start:
            try:
                signal(pid)
            except OSError:
                continue  # It has just ended, or belongs to another user; nobody is left to report that to.


def gone(processes: set[Process], seconds: float) -> bool:
    """Wait until all have ended, ``seconds`` at most. Returns whether they have."""
    deadline = time.monotonic() + seconds
    while True:
        seen = table()
        if not any(pid in seen and seen[pid].start == start and not seen[pid].ended for pid, start in processes):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def end_processes(registered: dict[int, dict[str, Any]], variable: str) -> None:
    """Send SIGTERM, wait a second, send SIGKILL; then again for processes that were started meanwhile."""
    known = targets(registered, variable)
    send(known, signals.ask_to_end)
    gone(known, TERM_SECONDS)
    for _ in range(3):
        known |= targets(registered, variable)
        send(known, signals.kill)
        if gone(known, KILL_SECONDS) and not targets(registered, variable):
            return


# --- paths


def remove_path(entry: dict[str, Any]) -> None:
    """Remove one registered path; what cannot be removed stays. Raises OSError, ValueError, TypeError, KeyError."""
    remove_below(
        str(entry["root"]),
        [str(part) for part in entry["parts"]],
        inode=int(entry.get("inode") or 0),
        only_empty=bool(entry.get("only_empty")),
        only_unlocked=bool(entry.get("only_unlocked")),
    )


def remove_paths(registered: dict[str, dict[str, Any]]) -> None:
    """Remove all registered paths; twice if a process that was ending wrote into one meanwhile.

    The latest come first: what was put into a folder was registered after the folder.
    """
    for entry in reversed(list(registered.values())):
        for _ in range(2):
            try:
                remove_path(entry)
            except OSError as error:
                if error.errno == errno.ENOTEMPTY and not entry.get("only_empty"):
                    continue
            except (KeyError, TypeError, ValueError):
                pass
            break


def remove_claims(registered: dict[str, dict[str, Any]]) -> None:
    """Remove all folders that the parent had claimed; what belongs to another process by now stays."""
    for entry in registered.values():
        try:
            parts = [str(part) for part in entry["parts"]]
            remove_claimed(str(entry["root"]), parts, str(entry["hidden"]), str(entry["owner"]))
        except (OSError, KeyError, TypeError, ValueError, IndexError):
            continue  # It is gone already; or others use the folders above it.


def main(arguments: list[str]) -> None:
    """Wait, then clean up; see the module."""
    signals.ignore_stops()
    parent, variable = int(arguments[0]), arguments[1]
    detach()
    registry = Registry()
    follow(0, parent, registry)
    if not registry.closed:
        end_processes(registry.processes, variable)
        remove_claims(registry.claims)
        remove_paths(registry.paths)
