"""Splits command lines and reads and edits their options as ComfyUI's parser would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from discomfort.exceptions import ConfigurationError

DEFAULT_COMMAND = "python3 main.py"
"""The documented default of ``API_COMMAND_LINE``."""

_BARE_PYTHON = {"python", "python3", "python.exe", "python3.exe"}
_PYTHON = re.compile(r"python[\d.]*w?(\.exe)?", re.IGNORECASE)
_OPTION = re.compile(r"""["'](--[a-z][\w-]*)["']""")


def split(text: str, *, source: str | None = None) -> list[str]:
    """Split a command line as a POSIX shell would. Raises ConfigurationError."""
    key = "API_COMMAND_LINE"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(
            f"cannot be split into words: {error}", key=key, value=text, source=source, remedy="Check its quotes"
        ) from error
    if not words or not words[0]:
        raise ConfigurationError("is empty", key=key, value=text, source=source, remedy=f"Use {DEFAULT_COMMAND!r}")
    return words


def is_bare_python(word: str) -> bool:
    """Whether ``word`` means any Python (``python``, ``python3``) rather than one at a path."""
    return word.lower() in _BARE_PYTHON


def script_index(words: Sequence[str]) -> int | None:
    """The index of the script in ``<python> … main.py …``; ``None`` if the command has another form."""
    if not _PYTHON.fullmatch(PurePath(words[0]).name):
        return None
    return next((i for i, word in enumerate(words) if i > 0 and PurePath(word).name == "main.py"), None)


def known_options(comfyui: Path) -> frozenset[str]:
    """The options that this ComfyUI accepts, read from the text of its ``comfy/cli_args.py``; empty without one."""
    try:
        text = (comfyui / "comfy" / "cli_args.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    return frozenset(_OPTION.findall(text))


def has_option(words: Sequence[str], name: str, known: Collection[str] = ()) -> bool:
    """Whether option ``name`` is present, in full or abbreviated as argparse allows."""
    return any(_means(word, name, known) for word in words)


def option_value(words: Sequence[str], name: str, known: Collection[str] = ()) -> str | None:
    """The value of option ``name``, or ``None`` if it is absent or has none; the last occurrence counts."""
    found = None
    for index, word in enumerate(words):
        if not _means(word, name, known):
            continue
        _, equals, value = word.partition("=")
        if equals:
            found = value
        elif index + 1 < len(words) and not words[index + 1].startswith("--"):
            found = words[index + 1]
    return found


def without_option(words: Sequence[str], name: str, known: Collection[str] = ()) -> list[str]:
    """``words`` without option ``name`` and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip and not word.startswith("--"):
            skip = False
            continue
        skip = _means(word, name, known)
        if not skip:
            kept.append(word)
        elif "=" in word:
            skip = False
    return kept


def _means(word: str, name: str, known: Collection[str]) -> bool:
    head = word.partition("=")[0]
    if head == name:
        return True
    # argparse accepts any unambiguous prefix of a long option.
    return len(head) > 2 and name.startswith(head) and sum(option.startswith(head) for option in known) == 1
