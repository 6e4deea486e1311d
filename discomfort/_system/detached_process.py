"""A process of ours that is not our child, so that it survives when we and our children are killed."""

from __future__ import annotations

import contextlib
import os
import time

from discomfort._system import signals
from discomfort._system.process_table import start_of

_POLL_SECONDS = 0.002


def detach() -> None:
    """Continue in a grandchild with its own session and print its pid. The original process exits."""
    child = os.fork()
    if child:
        os.write(1, b"%d\n" % child)
        os._exit(0)
    os.setsid()
    # The reader of the pid waits for the end of that file.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class DetachedProcess:
    """A process that called :func:`detach`, identified by pid and start time and never waited for as a child."""

    def __init__(self, pid: int) -> None:
        self.pid, self._start = pid, start_of(pid)

    @property
    def alive(self) -> bool:
        """Whether it is still running. Reaps it if it became our child."""
        # If we are the container's first process, or a subreaper, orphans become our children after all.
        with contextlib.suppress(OSError):
            os.waitpid(self.pid, os.WNOHANG)
        return self._start is not None and start_of(self.pid) == self._start

    def kill(self) -> None:
        """Send SIGKILL, if the pid still belongs to that process."""
        if self.alive:
            with contextlib.suppress(OSError):
                signals.kill(self.pid)

    def ended(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for its end, and return whether it ended. Blocking."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True
