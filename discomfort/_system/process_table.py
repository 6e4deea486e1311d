"""Processes and their threads as Linux shows them in ``/proc`` (proc(5)); empty results on other systems.

Imports only a little of the standard library, since the watchdog process loads this at its start.
"""

# ruff: noqa: PTH115, PTH123, PTH208 - pathlib would double the time that the watchdog takes to start
from __future__ import annotations

import os
from typing import NamedTuple


class ProcessFacts(NamedTuple):
    """One process. ``start`` is in clock ticks since boot, so a change of the clock does not affect it.

    ``ended`` is true for a zombie: a process that has ended but was not reaped yet.
    """

    start: int
    parent: int
    group: int
    session: int
    ended: bool


def facts_of(pid: int) -> ProcessFacts | None:
    """The facts about a process; ``None`` if it is gone or the system has no ``/proc``."""
    try:
        # Fields are counted after the name, which may contain spaces and brackets. The first one here is field 3.
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        parent, group, session, start = (int(fields[index]) for index in (1, 2, 3, 19))
    except (OSError, IndexError, ValueError):
        return None
    return ProcessFacts(start, parent, group, session, fields[0] in {b"Z", b"X"})


def start_of(pid: int) -> int | None:
    """When a process started; ``None`` if it has ended, reaped or not."""
    facts = facts_of(pid)
    return None if facts is None or facts.ended else facts.start


def table() -> dict[int, ProcessFacts]:
    """All visible processes, by pid."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    return {pid: facts for pid in pids if (facts := facts_of(pid)) is not None}


def carries(pid: int, variable: str, value: str) -> bool:
    """Whether a process was started with ``variable=value`` in its environment."""
    try:
        return f"{variable}={value}".encode() in _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return False


def boot_id() -> str:
    """A text that is different for each boot of the machine; ``""`` if the system hides it."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").decode("ascii").strip()
    except (OSError, UnicodeError):
        return ""


def pid_namespace(pid: int) -> str:
    """The pid namespace of a process, as in ``pid:[4026531836]``. Raises OSError."""
    return os.readlink(f"/proc/{pid}/ns/pid")


def thread_work(pid: int) -> dict[int, int]:
    """Nanoseconds of CPU time of each thread of a process, by thread id; empty if the system does not report them."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        # If a thread ends between the two reads, the whole measurement is dropped. The caller measures again.
        return {int(tid): int(_read(f"/proc/{pid}/task/{tid}/schedstat").split()[0]) for tid in threads}
    except (OSError, ValueError, IndexError):
        return {}


def thread_lives(pid: int, tid: int) -> bool:
    """Whether the process has that thread."""
    return os.path.exists(f"/proc/{pid}/task/{tid}")  # noqa: PTH110 - see above


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
