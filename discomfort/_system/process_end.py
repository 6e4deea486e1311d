"""The end of a process, noticed without taking its exit code from whoever waits for it."""

from __future__ import annotations

import logging
import os

_log = logging.getLogger("discomfort.system")


def await_end(pid: int) -> int | None:
    """Wait for the end of a child of ours, which stays to be reaped, so that its pid is nobody else's yet. Blocking.

    Returns its exit code, that of a signal negative as in ``Popen.returncode``; ``None`` where somebody else reaped it.
    """
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        # SIGCHLD is ignored, or another library waits for every child.
        return None
    if found is None:
        return None
    code = int(found.si_status)
    return code if found.si_code == os.CLD_EXITED else -code


def open_end(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3); ``None`` where not."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError as error:
        _log.debug("the end of process %d shows only when it is spoken to: %s", pid, error)
        return None
