"""The end of a process, noticed without reaping it, so that others can still read its exit code."""

from __future__ import annotations

import logging
import os

_log = logging.getLogger("discomfort.system")


def await_end(pid: int) -> int | None:
    """Wait for a child to end without reaping it, so that its pid is not reused yet. Blocking.

    Returns its exit code, negative for a signal as in ``Popen.returncode``, or ``None`` if other code reaped it.
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
    """A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3); ``None`` if unavailable."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError as error:
        _log.debug("the end of process %d is noticed only at the next request to it: %s", pid, error)
        return None
