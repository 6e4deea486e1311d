"""Signals that we send, and how signals affect this process and those it starts. Standard library only."""

from __future__ import annotations

import os
import signal

STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals with which a terminal, a service manager or a user ends a program."""

DEFAULTS_PROGRAM = """
import os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\\n")
    sys.exit(127)
"""
"""Python code that resets and unblocks all signals, then executes the program given as arguments.

A signal that is ignored or blocked stays so across exec. ComfyUI started with SIGINT ignored (for example by ``cmd &``
in a script) never stops on it. A preexec_fn would run Python code in a fork of a threaded process, which may deadlock.
SIGPIPE and SIGXFSZ are ignored by the interpreter itself."""


def ask_to_end(pid: int, *, group: bool = False) -> None:
    """Send SIGTERM to a process, or to the group that it leads. Raises OSError."""
    send = os.killpg if group else os.kill
    send(pid, signal.SIGTERM)
    # A stopped process handles SIGTERM only after it is continued.
    send(pid, signal.SIGCONT)


def kill(pid: int, *, group: bool = False) -> None:
    """Send SIGKILL to a process, or to the group that it leads. Raises OSError."""
    (os.killpg if group else os.kill)(pid, signal.SIGKILL)


def are_altered() -> bool:
    """Whether a program that we start would inherit ignored or blocked stop signals."""
    ignored = any(signal.getsignal(getattr(signal, name)) == signal.SIG_IGN for name in STOPS)
    return ignored or bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def ignore_stops() -> None:
    """Make only SIGKILL end this process from now on, and unblock what its parent blocked."""
    for name in STOPS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def heeded_stops() -> list[signal.Signals]:
    """The signals that stop one of our commands. SIGHUP is left out if ``nohup`` made the process ignore it.

    SIGINT is included even if the shell made the process ignore it (``&`` in a script), so that it can be stopped.
    """
    heeded = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        heeded.append(hangup)
    return heeded
