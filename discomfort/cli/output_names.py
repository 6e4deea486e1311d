"""Names of saved files from a pattern such as ``{workflow}-{KSampler.seed}-{index}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from discomfort._system.filenames import safe_filename
from discomfort.cli.inputs import UsageError
from discomfort.cli.variants import as_text

FIELDS = ("workflow", "index", "repeat")
_NUMBERED = re.compile(r"(index|repeat):0?(\d)")
"""A number with leading zeros: ``{index:3}`` is ``007``."""
_PART = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}|([{}])|([^{}]+)")
_LONGEST_VALUE = 60
"""Characters of a value in a name; a prompt's text may have thousands."""


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A checked pattern: literal texts and fields in turn; a field with a dot is a selector."""

    text: str
    parts: tuple[tuple[str, bool], ...]

    @property
    def selectors(self) -> tuple[str, ...]:
        """The inputs whose values are in the name."""
        return tuple(part for part, is_field in self.parts if is_field and not _is_known(part))

    def name(self, field: Callable[[str], Any]) -> str:
        """The name of one run's files, without extension: parts of a path, each safe on every system.

        ``field`` gives the value of each field. A value never makes a folder: its separators become ``_``.
        """
        made = "".join(_value(field, part) if is_field else part for part, is_field in self.parts)
        folders = [part for part in made.split("/") if part]
        return "/".join(safe_filename(part, "_") for part in folders) or "_"


def read_pattern(text: str) -> NamePattern:
    """Check a pattern. Raises UsageError for an unknown field, a lone brace, or a path out of the output folder."""
    parts = tuple(_parts(text))
    path = PurePosixPath("".join("x" if is_field else part for part, is_field in parts).replace("\\", "/"))
    if not text.strip() or path.is_absolute() or ".." in path.parts or text.endswith("/"):
        raise UsageError(f"--name {text!r}: must be a name, or a path below the output folder")
    return NamePattern(text, parts)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    for double, field, lone, literal in _PART.findall(text):
        if lone:
            raise UsageError(f"--name {text!r}: a lone {lone!r}; write {lone * 2} for a brace in the name")
        if double:
            yield double[0], False
        elif literal:
            yield literal, False
        elif _is_known(field) or "." in field.strip("."):
            yield field, True
        else:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise UsageError(f"--name {text!r}: there is no field {{{field}}}; fields are {known} and {{NODE.INPUT}}")


def _is_known(field: str) -> bool:
    return field in FIELDS or _NUMBERED.fullmatch(field) is not None


def _value(field: Callable[[str], Any], part: str) -> str:
    """The text of a field. Its separators become ``_``, so that a value never leads to another folder."""
    numbered = _NUMBERED.fullmatch(part)
    if numbered is not None:
        return str(field(numbered[1])).zfill(int(numbered[2]))
    return as_text(field(part)).replace("/", "_").replace("\\", "_")[:_LONGEST_VALUE].strip()


class SavedNames:
    """The names, without extension, of the files that are below a folder already; each folder is read once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names: dict[Path, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        wanted = self._directory / name
        if wanted.parent not in self._names:
            files = wanted.parent.iterdir() if wanted.parent.is_dir() else ()
            self._names[wanted.parent] = {path.name.rpartition(".")[0] for path in files}
        return wanted.name in self._names[wanted.parent]
