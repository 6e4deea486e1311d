"""Reasons for a start that failed, read from the exit and the last lines, each with a remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Cause(NamedTuple):
    """A likely cause in a few words, and a remedy (a sentence without its full stop); either may be empty."""

    text: str
    remedy: str = ""


PORT_TAKEN = "another program took its port meanwhile"
"""The cause that another port helps against."""

# The one that matches last in the log counts: what a server survives (a custom node that fails to import, say) comes
# before what ends it.
_KNOWN: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        # A traceback before 0.21, one line since.
        re.compile(
            r"address already in use|error while attempting to bind on address|Errno (?:98|48)\b|10048|"
            r"Port \d+ is already in use"
        ),
        PORT_TAKEN,
        "Try again, or set INITIAL_PORT to another port",
    ),
    (
        re.compile(r"No module named '?(?P<what>discomfort|comfyui_emulator)\b"),
        "the Python that runs it lacks {what!r}",
        "In API_COMMAND_LINE, name the Python that has it, or 'python3' for the one of this program",
    ),
    (
        # PyOpenGL says "No … module loaded: No module named …" of what it does without.
        re.compile(r"(?<!module loaded: )No module named '?(?P<what>[\w.]+)'?"),
        "the Python that runs it lacks the module {what!r}",
        "Install it there ({program} -m pip install -r requirements.txt), or set COMFYUI_PYTHON to another Python",
    ),
    (
        re.compile(
            r"Torch not compiled with CUDA|Found no NVIDIA driver|No CUDA GPUs are available|"
            r"CUDA driver version is insufficient|no CUDA-capable device|NVIDIA driver on your system is too old"
        ),
        "PyTorch finds no usable GPU",
        "Set SERVER_ARGUMENTS to --cpu to run without one",
    ),
    (
        # After 0.40, when its database became indispensable; before, it ran on without one.
        re.compile(r"ASSETS_STARTUP_FAILED: (?P<what>[\w-]+)"),
        "it cannot use its database ({what})",
        "Name another file with --database-url in SERVER_ARGUMENTS, or add --disable-assets",
    ),
    (
        re.compile(r"error: (?P<what>(?:unrecognized arguments|argument|ambiguous option|expected)[^\n]*)"),
        "it does not accept its command line ({what})",
        "Check API_COMMAND_LINE and SERVER_ARGUMENTS",
    ),
    (
        re.compile(r"can't open file '?(?P<what>[^'\n]+?)'?: \[Errno"),
        "there is no {what}",
        "Check API_COMMAND_LINE and API_WORKING_DIRECTORY",
    ),
    (
        re.compile(r"No such file or directory: '(?P<what>[^'\n]+)'"),
        "{what!r} does not exist",
        "Create it, or correct the path in API_COMMAND_LINE or SERVER_ARGUMENTS",
    ),
    (
        re.compile(r"No space left on device: '(?P<what>[^'\n]+)'"),
        "the disk with {what!r} is full",
        "Free some space on it",
    ),
    (re.compile(r"No space left on device"), "the disk is full", "Free some space"),
    (
        re.compile(r"Permission denied: '(?P<what>[^'\n]+)'"),
        "it has no permission to use {what!r}",
        "Correct the permissions of that path",
    ),
    (re.compile(r"Read-only file system(?:: '(?P<what>[^'\n]+)')?"), "a folder that it writes to is read-only", ""),
    (re.compile(r"MemoryError|Cannot allocate memory|std::bad_alloc"), "it ran out of memory", ""),
)


def likely_cause(
    lines: Sequence[str], *, code: int | None = None, signal: str | None = None, program: str = "python3"
) -> Cause:
    """Find a known cause in the last ``lines`` of a server that ended with ``code`` or by ``signal``.

    ``program`` is the first word of its command. Without a known cause both parts are empty.
    """
    text = "\n".join(lines)
    found = [(m.start(), m, cause, remedy) for pattern, cause, remedy in _KNOWN for m in pattern.finditer(text)]
    if found:
        _, match, cause, remedy = max(found, key=lambda entry: entry[0])
        what = (match.groupdict().get("what") or "").strip()
        return Cause(cause.format(what=what), remedy.format(program=program))
    if signal == "SIGKILL":
        return Cause("somebody killed it, which is what the system does when memory runs out")
    if code == 2:
        return Cause("it does not accept its command line", "Check API_COMMAND_LINE and SERVER_ARGUMENTS")
    if code == 127:
        return Cause("its program could not be run", "Check the first word of API_COMMAND_LINE")
    return Cause("")
