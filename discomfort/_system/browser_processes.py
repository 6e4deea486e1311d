"""Processes that we started, identified by pid and start time."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from discomfort._system.process_tree import await_gone

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("discomfort.conversion")

REAP_WAIT: Final = 2.0
"""Seconds to wait until killed processes are gone; SIGKILL is immediate unless a process is stuck in the kernel."""


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A process of ours. ``start_time`` is psutil's ``create_time()``: with the pid it cannot be another's."""

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
        """The live process of this record; ``None`` if it ended, or if its pid was reused."""
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.start_time
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def kill_trees(roots: Iterable[OwnProcess]) -> None:
    """SIGKILL these processes and all that descend from them, and wait for their end.

    Never raises: what cannot be killed is logged.
    """
    victims: dict[int, psutil.Process] = {}
    for root in roots:
        process = root.find()
        if process is None:
            continue
        with contextlib.suppress(psutil.Error):
            victims.update((child.pid, child) for child in process.children(recursive=True))
        victims[process.pid] = process
    for process in victims.values():
        # psutil compares the start time again before it signals, so a pid that was reused meanwhile is safe.
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                process.kill()
            except psutil.AccessDenied as error:
                logger.warning("could not end process %d of ours: %s", process.pid, error)
    for process in await_gone(victims.values(), REAP_WAIT):
        logger.warning("process %d of ours is still there after SIGKILL", process.pid)
