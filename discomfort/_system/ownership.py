"""Marks that show which connector a server belongs to and whether that connector is alive.

Every server has two marks in its environment, which its children inherit: a random one, and the pid and start time of
the process whose connector started it. The start time is needed because pids are reused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import psutil

from discomfort._system.process_table import boot_id, facts_of, pid_namespace
from discomfort._system.process_tree import TOKEN_VARIABLE

_log = logging.getLogger("discomfort._system.ownership")

OWNER_VARIABLE = "DISCOMFORT_SERVER_OWNER"
"""Environment variable that holds ``<pid>-<start>`` of the process that owns a server."""


def owner_mark() -> str:
    """The mark of this process."""
    return f"{os.getpid()}-{start_of(os.getpid())}"


def owner_lives(mark: str) -> bool:
    """Whether the process of that mark is still running; ``True`` if the mark cannot be parsed."""
    pid, _, start = mark.partition("-")
    if not pid.isdecimal() or not start:
        return True
    return start_of(int(pid)) == start


def start_of(pid: int) -> str:
    """The start of a process, which distinguishes it from others with the same pid; ``""`` if it is not running.

    On Linux this is the boot id and the ticks since boot, which do not depend on the clock.
    """
    facts = facts_of(pid)
    if facts is not None:
        # A zombie has ended, though its parent has not reaped it yet. A container that hides the boot id still shows
        # the ticks, while psutil's start time would change with the clock.
        return "" if facts.ended else f"{boot_id() or '0'}.{facts.start}"
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def orphans() -> Iterator[psutil.Process]:
    """Processes of this user that have both of our marks and whose owner is dead. They are only listed.

    Processes in another pid namespace (a container's) are skipped, since the owner's pid means another process there.
    So are this process and its ancestors. A system that does not show namespaces yields none.
    """
    try:
        spared = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
        namespace = pid_namespace(os.getpid())
    except (psutil.Error, OSError) as error:
        _log.debug("no search for processes of dead connectors: %s", error)
        return
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            if process.uids().real != os.getuid():
                continue
            if process.status() == psutil.STATUS_ZOMBIE or pid_namespace(process.pid) != namespace:
                continue
            environment = process.environ()
        except (psutil.Error, OSError) as error:
            _log.debug("pid %d is skipped: %s", process.pid, type(error).__name__)
            continue
        mark = environment.get(OWNER_VARIABLE)
        if mark and environment.get(TOKEN_VARIABLE) and not owner_lives(mark):
            yield process
