"""Starts a server process: in its own session, with one pipe for its output, and with default signal handling."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerStartError

_log = logging.getLogger("discomfort.server")

# An ignored or blocked signal stays so through exec. A ComfyUI started with SIGINT ignored (for example by `cmd &` in a
# script) never stops on it, so such a start uses a second exec that restores the defaults. A preexec_fn would run
# Python code in a fork of a threaded process, which may deadlock. SIGPIPE and SIGXFSZ are ignored by Python itself.
_TRAMPOLINE = """
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


def spawn(command: ServerCommand) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session, and so a process group, of its own.

    Standard input is empty; output and errors are merged in ``stdout`` as unbuffered bytes. No other descriptor of ours
    is inherited. SIGINT, SIGTERM and SIGHUP have their default effect and no signal is blocked, whatever our own
    process has set. Raises ServerStartError with the command and a remedy if the system cannot start it.
    """
    program = _find_program(command)
    argv = [program, *command.argv[1:]]
    if _signals_are_altered():
        argv = [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, *argv]
    try:
        process = subprocess.Popen(
            argv,
            cwd=command.cwd,
            env=None if command.env is None else dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            close_fds=True,
            **_own_group(),
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ServerStartError(
            f"{command.argv[0]!r} could not be started: {error}",
            command=command.argv,
            remedy="Check API_COMMAND_LINE and API_WORKING_DIRECTORY",
        ) from error
    _log.debug("started pid %d: %s", process.pid, command.argv[0])
    return process


def _find_program(command: ServerCommand) -> str:
    if not command.argv or not command.argv[0]:
        raise ServerStartError("the command line is empty", command=command.argv, remedy="Set API_COMMAND_LINE")
    if not command.cwd.is_dir():
        raise ServerStartError(
            f"the working directory {command.cwd} does not exist",
            command=command.argv,
            remedy="Check API_WORKING_DIRECTORY",
        )
    word = command.argv[0]
    path = (os.environ if command.env is None else command.env).get("PATH", os.defpath)
    # A relative name is relative to the folder in which the server starts, as it is for the system itself.
    has_folder = "/" in word or os.sep in word
    found = shutil.which(str((command.cwd / word).absolute()) if has_folder else word, path=path)
    if found is None:
        raise ServerStartError(
            f"{word!r} is not a program that can be run from {command.cwd}",
            command=command.argv,
            remedy="Check the first word of API_COMMAND_LINE and its permissions",
        )
    return str(Path(found).absolute())


def _own_group() -> dict[str, Any]:
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def _signals_are_altered() -> bool:
    if os.name == "nt":
        return False
    ignored = any(signal.getsignal(s) == signal.SIG_IGN for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    return ignored or bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
