"""Starts a server process: in its own session, with one pipe for its output, and with default signal handling."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from discomfort._system import signals
from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerStartError

_log = logging.getLogger("discomfort.server")


def spawn(command: ServerCommand) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session, and so a process group, of its own.

    Standard input is empty; output and errors are merged in ``stdout`` as unbuffered bytes. No other descriptor of ours
    is inherited. SIGINT, SIGTERM and SIGHUP have their default effect and no signal is blocked, whatever our own
    process has set. Raises ServerStartError with the command and a remedy if the system cannot start it.
    """
    program = _find_program(command)
    argv = [program, *command.argv[1:]]
    if signals.are_altered():
        argv = [sys.executable, "-I", "-S", "-c", signals.DEFAULTS_PROGRAM, *argv]
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
            start_new_session=True,
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
    has_folder = "/" in word
    found = shutil.which(str((command.cwd / word).absolute()) if has_folder else word, path=path)
    if found is None:
        raise ServerStartError(
            f"{word!r} is not a program that can be run from {command.cwd}",
            command=command.argv,
            remedy="Check the first word of API_COMMAND_LINE and its permissions",
        )
    return str(Path(found).absolute())
