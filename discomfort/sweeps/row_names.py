"""Names of results: ``seed=3_cfg=5``, from the values that differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._system.filenames import safe_filename
from discomfort.sweeps.value_forms import label

_LONGEST_VALUE = 40
_LONGEST = 110
"""Bytes of a value and of a name; a part of the key, the output's name, a number and the extension must fit, too."""

RESERVED = frozenset({"results", "contact_sheet"})
"""The names of the sweep's own files."""


def varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values differ between rows; all of them where there is nothing to compare."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(rows) < 2:
        return names
    missing = object()
    return [name for name in names if any(row.get(name, missing) != rows[0].get(name, missing) for row in rows)]


def row_label(forms: Mapping[str, Any], names: Sequence[str]) -> str:
    """The values as people read them: ``seed=3 cfg=5``."""
    return " ".join(f"{name}={label(forms[name])}" for name in names if name in forms)


def row_name(forms: Mapping[str, Any], names: Sequence[str], *, given: str = "", otherwise: str = "result") -> str:
    """A plain file name without extension; values never make folders. Two rows may have the same."""
    if given:
        return _plain(given, _LONGEST)
    parts = [f"{name}={_plain(label(forms[name]), _LONGEST_VALUE)}" for name in names if name in forms]
    return _plain("_".join(parts) or otherwise, _LONGEST)


def distinct_names(names: Mapping[str, str], taken: Sequence[str] = ()) -> dict[str, str]:
    """A name for each key, none twice on any system: where several are equal, each gets the beginning of its key."""
    counts: dict[str, int] = {}
    for name in (*names.values(), *RESERVED, *taken):
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    return {key: name if counts[name.casefold()] == 1 else f"{name}_{key[:8]}" for key, name in names.items()}


def _plain(text: str, longest: int) -> str:
    joined = "_".join(text[:1000].replace("/", "_").replace("\\", "_").split())
    return safe_filename(safe_filename(joined, "_").encode()[:longest].decode("utf-8", "ignore"), "_")
