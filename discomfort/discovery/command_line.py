"""Splits command lines and reads and edits their options as ComfyUI's parser would."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from discomfort.exceptions import ConfigurationError

DEFAULT_COMMAND = "python3 main.py"
"""The documented default of ``API_COMMAND_LINE``."""

_BARE_PYTHON = {"python", "python3", "python.exe", "python3.exe"}
_PYTHON = re.compile(r"python[\d.]*w?(\.exe)?", re.IGNORECASE)
_MODULE_OPTION = re.compile(r"-[bBdEhiIOPqRsSuvx]*m(.*)")
_OPTIONS_WITH_VALUE = {"-X", "-W"}
_OWN_COMMAND = "discomfort"
_OWN_MODULES = {("comfyui_emulator",), (_OWN_COMMAND, "serve")}
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


def emulator_index(words: Sequence[str]) -> int | None:
    """The index of the program that starts our emulator; ``None`` if the command line starts something else.

    The forms are ``discomfort serve``, ``<python> -m discomfort serve`` and ``<python> -m comfyui_emulator``. If the
    index is not 0, the words before it are another program that starts this one, such as ``uv run``.
    """
    for index, word in enumerate(words):
        name = PurePath(word).name.lower().removesuffix(".exe")
        if name == _OWN_COMMAND and words[index + 1 : index + 2] == ["serve"]:
            return index
        if _PYTHON.fullmatch(name):
            run = _module_run(words[index + 1 :])
            if run[:1] in _OWN_MODULES or run[:2] in _OWN_MODULES:
                return index
    return None


def with_own_python(words: Sequence[str], python: str) -> list[str]:
    """A command line that starts our emulator, with ``python`` where it means any Python or any ``discomfort``.

    Those would be looked up on the path, which knows nothing of an environment that is not activated.
    """
    if is_bare_python(words[0]):
        return [python, *words[1:]]
    return [python, "-m", *words] if words[0] == _OWN_COMMAND else list(words)


def _module_run(words: Sequence[str]) -> tuple[str, ...]:
    """The module that a Python with these arguments runs, and what follows it; empty if it runs no module."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word.startswith("--"):
            return ()
        if match := _MODULE_OPTION.fullmatch(word):
            return (*filter(None, [match[1]]), *rest)
        if word in _OPTIONS_WITH_VALUE:
            next(rest, None)
    return ()


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


def option_values(words: Sequence[str], name: str, known: Collection[str] = ()) -> list[str]:
    """The values of option ``name``, which takes several; empty if it is absent. The last occurrence counts."""
    found: list[str] = []
    for index, word in enumerate(words):
        if _means(word, name, known):
            _, equals, value = word.partition("=")
            rest = itertools.takewhile(lambda other: not other.startswith("-"), words[index + 1 :])
            found = [value] if equals else list(rest)
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
