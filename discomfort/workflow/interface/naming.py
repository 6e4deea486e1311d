"""Names of inputs and outputs: identifiers made of labels and titles, each used once."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Container, Sequence

_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")
_OTHER = re.compile(r"\W+")


def identifier(text: str) -> str:
    """A name in ``snake_case``, ``""`` if the text has no letter or digit.

    Accents are left out (``Größe`` becomes ``grosse``), letters of other scripts stay. A name never begins with a digit
    or an underscore and is never a keyword of Python.
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    # What is composed for good, as Python does with names.
    plain = unicodedata.normalize("NFKC", plain)
    words = _OTHER.sub("_", _CAPITALS.sub("_", plain)).lower().strip("_")
    name = re.sub("__+", "_", words)
    if name and not name.isidentifier():
        name = f"n{name}" if f"n{name}".isidentifier() else ""
    return f"{name}_" if keyword.iskeyword(name) or keyword.issoftkeyword(name) else name


def names_of(wanted: Sequence[str], *, is_exact: bool) -> list[str]:
    """The names that these texts make; with ``is_exact`` a text that is a name stays as it is."""
    return [name for text in wanted if (name := text if is_exact and _is_name(text) else identifier(text))]


def free_name(names: Sequence[str], taken: Container[str]) -> str:
    """The first name that is free, else the last one with a number."""
    for name in names:
        if name not in taken:
            return name
    number = 2
    while f"{names[-1]}_{number}" in taken:
        number += 1
    return f"{names[-1]}_{number}"


def _is_name(text: str) -> bool:
    reserved = keyword.iskeyword(text) or keyword.issoftkeyword(text)
    return text.isidentifier() and not text.startswith("_") and not reserved
