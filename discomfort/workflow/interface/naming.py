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


def free_name(wanted: Sequence[str], taken: Container[str], otherwise: str) -> str:
    """The first wanted name that is free, else the last one with a number; ``otherwise`` if no text makes a name."""
    names = [name for text in wanted if (name := identifier(text))] or [otherwise]
    for name in names:
        if name not in taken:
            return name
    number = 2
    while f"{names[-1]}_{number}" in taken:
        number += 1
    return f"{names[-1]}_{number}"
