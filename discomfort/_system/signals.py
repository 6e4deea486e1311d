"""Signals: to processes of ours, and how they reach this process and what it starts. Standard library only."""

from __future__ import annotations

import os
import signal

STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
"""What a terminal, a service manager or a user sends to have a program end."""

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
"""Python that becomes the program of its arguments, with the default effect of every signal and none blocked.

A signal that is ignored or blocked stays so through exec. ComfyUI started with SIGINT ignored (by ``cmd &`` in a
script, say) never stops on it. A preexec_fn would run Python code in a fork of a threaded process, which may deadlock.
SIGPIPE and its like are what the interpreter itself ignores."""


def ask_to_end(pid: int, *, group: bool = False) -> None:
    """SIGTERM to a process, or to the group of that leader. Raises OSError."""
    send = os.killpg if group else os.kill
    send(pid, signal.SIGTERM)
    # A stopped process handles SIGTERM only when it goes on.
    send(pid, signal.SIGCONT)


def kill(pid: int, *, group: bool = False) -> None:
    """SIGKILL to a process, or to the group of that leader. Raises OSError."""
    (os.killpg if group else os.kill)(pid, signal.SIGKILL)


def are_altered() -> bool:
    """Whether a program that we start would find signals ignored or blocked that it expects to end it."""
    ignored = any(signal.getsignal(getattr(signal, name)) == signal.SIG_IGN for name in STOPS)
    return ignored or bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def ignore_stops() -> None:
    """Make only SIGKILL end this process from now on, and unblock what its parent blocked."""
    for name in STOPS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def heeded_stops() -> list[signal.Signals]:
    """The signals at which a command of ours stops: SIGHUP not where ``nohup`` had it ignored.

    SIGINT even where the shell had it ignored (``&`` in a script): nobody could stop the command otherwise.
    """
    heeded = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        heeded.append(hangup)
    return heeded
