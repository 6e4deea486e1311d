"""A process of ours that is nobody's child: what ends us with all our children leaves it alone."""

from __future__ import annotations

import contextlib
import os
import time

from discomfort._system import signals
from discomfort._system.process_table import start_of

_POLL_SECONDS = 0.002


def detach() -> None:
    """Go on in a child of a child, in a session of its own, and tell its pid; the process that was started ends."""
    child = os.fork()
    if child:
        os.write(1, b"%d\n" % child)
        os._exit(0)
    os.setsid()
    # Whoever reads the pid waits for the end of that file.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class DetachedProcess:
    """One that called :func:`detach`: known by its pid and start, and never waited for as a child."""

    def __init__(self, pid: int) -> None:
        self.pid, self._start = pid, start_of(pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        # Where we are the container's first process, or a subreaper, orphans become our children after all.
        with contextlib.suppress(OSError):
            os.waitpid(self.pid, os.WNOHANG)
        return self._start is not None and start_of(self.pid) == self._start

    def kill(self) -> None:
        """SIGKILL, if it still is that process."""
        if self.alive:
            with contextlib.suppress(OSError):
                signals.kill(self.pid)

    def ended(self, seconds: float) -> bool:
        """Wait at most so long for its end; whether it came. Blocking."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True
