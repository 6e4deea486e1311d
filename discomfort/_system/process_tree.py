"""Our processes and all their descendants, including those that left their group, session or parent.

Each is identified by pid and start time, never by the pid alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import psutil

_log = logging.getLogger("discomfort.server")

TOKEN_VARIABLE = "DISCOMFORT_SERVER_TOKEN"  # noqa: S105 - the name of a mark, not a secret
"""Environment variable that marks a server and its descendants; its value is random for each server.

It finds processes that parent and group do not show: a child with its own session whose parent is gone.
"""


_STOP_SECONDS = 0.2
"""Seconds to wait for processes to stop; one that waits for a disk does so only afterwards, and starts no child."""

REAP_SECONDS = 2.0
"""Seconds to wait for killed processes to disappear; SIGKILL is immediate unless the kernel holds them."""


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A process of ours, identified by its pid and by ``start_time``, psutil's ``create_time()``."""

    pid: int
    start_time: float

    @classmethod
    def of(cls, pid: int) -> OwnProcess | None:
        """The record of a running process; ``None`` if it is gone."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def find(self) -> psutil.Process | None:
        """The live process of this record; ``None`` if it has ended, even if its pid was reused."""
        try:
            process = psutil.Process(self.pid)
            return process if process.create_time() == self.start_time and alive(process) else None
        except psutil.Error:
            return None


def members(pid: int, token: str, *, leader_lives: bool) -> set[psutil.Process]:
    """All live processes of the server ``pid`` except itself: its descendants, group and session, and those marked.

    If ``leader_lives`` is false, the group and session ids may have been reused and are ignored. The result holds the
    pid and start time of each process, so that a signal cannot reach another process that reuses a pid.
    """
    found: set[psutil.Process] = set()
    if leader_lives:
        found.update(_children(pid))
    for process in psutil.process_iter():
        if process.pid not in {pid, os.getpid()} and (
            (leader_lives and _in_group(process.pid, pid)) or _marked(process, token)
        ):
            found.add(process)
    for process in list(found):
        found.update(_children(process.pid))
    return {p for p in found if p.pid not in {pid, os.getpid()} and alive(p)}


def alive(process: psutil.Process) -> bool:
    """Whether this same process is still running; a zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def end(processes: Iterable[psutil.Process], *, patience: float) -> list[psutil.Process]:
    """Send SIGTERM, wait ``patience`` seconds at most, then send SIGKILL. Returns those still alive. Blocking."""
    remaining = list(processes)
    if patience > 0:
        remaining = await_gone([p for p in remaining if _signal(p, terminate=True)], patience)
    for process in remaining:
        _log.warning("pid %d, left over from a server, did not end on SIGTERM: killing it", process.pid)
        _signal(process, terminate=False)
    return await_gone(remaining, 1.0)


def await_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait at most ``seconds`` for their end and return those still alive. Blocking; leaves reaping to their parent."""
    # psutil.wait_procs() would also wait for zombies, which stay if the first process of a container does not reap.
    deadline = time.monotonic() + seconds
    remaining = [p for p in processes if alive(p)]
    while remaining and time.monotonic() < deadline:
        time.sleep(0.01)
        remaining = [p for p in remaining if alive(p)]
    return remaining


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to each, without waiting."""
    for process in processes:
        _signal(process, terminate=False)


def kill_trees(roots: Iterable[OwnProcess]) -> None:
    """Kill these processes and all their descendants, and wait for their end.

    Never raises: processes that cannot be killed are logged.
    """
    living = [process for root in roots if (process := root.find()) is not None]
    victims: set[psutil.Process] = set()
    # Stopped before they are killed: one that runs could start a child after the listing, whose parent is then gone, so
    # that nobody finds it. Stopped ones start none, so this ends.
    while found := {*living, *(child for process in living for child in _children(process.pid))} - victims:
        _stop(found)
        victims |= found
    kill(victims)
    for process in await_gone(victims, REAP_SECONDS):
        _log.warning("our process %d is still running after SIGKILL", process.pid)


def _stop(processes: Collection[psutil.Process]) -> None:
    """Send SIGSTOP, and wait until it has taken effect; a system call that has begun, such as fork(), still ends."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    deadline = time.monotonic() + _STOP_SECONDS
    while any(map(_runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.001)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE}
    except psutil.Error:
        return False


def marked_environment(base: Mapping[str, str] | None, token: str) -> dict[str, str]:
    """``base``, or our own environment if it is ``None``, with the mark added."""
    return {**(os.environ if base is None else base), TOKEN_VARIABLE: token}


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _in_group(pid: int, leader: int) -> bool:
    try:
        return os.getpgid(pid) == leader or os.getsid(pid) == leader
    except OSError:
        return False


def _marked(process: psutil.Process, token: str) -> bool:
    try:
        return process.environ().get(TOKEN_VARIABLE) == token
    except (psutil.Error, OSError):
        return False


def _signal(process: psutil.Process, *, terminate: bool) -> bool:
    try:
        if terminate:
            process.terminate()
            # A stopped process handles SIGTERM only after it is continued.
            process.resume()
        else:
            process.kill()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        _log.warning("no permission to signal our process %d", process.pid)
        return False
    return True
