"""Docstrings become Markdown: code has fences, tables have bars, and what a library put into a class is left out."""

from __future__ import annotations

import enum
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    """The program, as a module."""
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_has_fences(make_reference: ModuleType) -> None:
    """A literal block keeps its indentation and is marked as Python only if it is Python."""

    def documented() -> None:
        """Opens it::

            async with thing:
                await thing.use()

        and shows::

            root
            ├── leaf

        Then :meth:`thing.close` ends ``thing``.
        """

    assert make_reference.text(documented) == (
        "Opens it:\n\n"
        "<!-- not run: an excerpt -->\n```python\nasync with thing:\n    await thing.use()\n```\n\n"
        "and shows:\n\n"
        "```text\nroot\n├── leaf\n```\n\n"
        "Then `thing.close` ends `thing`."
    )


def test_tables_have_bars(make_reference: ModuleType) -> None:
    """The last column may be longer than its rule."""

    def documented() -> None:
        """The table.

        ===== =====
        name  what
        ===== =====
        one   a long description
        two   short
        ===== =====
        """

    assert make_reference.text(documented) == (
        "The table.\n\n| name | what |\n| --- | --- |\n| one | a long description |\n| two | short |"
    )


def test_pages_have_no_restructured_text() -> None:
    """No page, made or written, shows roles, rules of tables or double colons as text."""
    found = [
        f"{page.relative_to(DOCS)}: {line}"
        for page in DOCS.rglob("*.md")
        for line in re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE).splitlines()
        if re.search(r"::$|^=+ =+|:(class|meth|func|attr|data|exc|mod):`", line)
    ]
    assert found == []


def test_members_of_other_libraries_are_left_out() -> None:
    """A page about the settings does not explain the library that checks them."""
    assert "model_post_init" not in (DOCS / "reference" / "configuration.md").read_text()


def test_fields_are_listed(make_reference: ModuleType) -> None:
    """A record's fields have their types and defaults; private ones are left out."""

    @dataclass
    class Record:
        name: str
        sizes: dict[str, int] = field(default_factory=dict)
        _secret: str = ""

    (made,) = make_reference.fields(Record)
    assert made.splitlines() == [
        "| field | type | default |",
        "| --- | --- | --- |",
        "| `name` | `str` |  |",
        "| `sizes` | `dict[str, int]` | `{}` |",
    ]


class WrongError(Exception):
    """An error with fields."""

    def __init__(self, problem: str, *, code: int | None = None) -> None:
        self.problem, self.code = problem, code
        self._hidden = 1
        super().__init__(problem)


class Mode(enum.Enum):
    """An enumeration."""

    ON = "on"  # it works


def test_fields_of_errors_and_enumerations(make_reference: ModuleType) -> None:
    """An error lists what its ``__init__`` sets, an enumeration its values with their comments."""
    assert make_reference.fields(WrongError) == [
        "| field | type |\n| --- | --- |\n| `problem` | `str` |\n| `code` | `int \\| None` |\n"
    ]
    assert make_reference.fields(Mode) == ["| value | meaning |\n| --- | --- |\n| `on` | it works |\n"]


def test_sections_are_lists(make_reference: ModuleType) -> None:
    """What a call raises is a list, also where an entry has two lines."""

    def documented() -> None:
        """Do it.

        Raises:
            ValueError: it is wrong, for one of
                two reasons.
            OSError: the disk is full.
        """

    assert make_reference.text(documented) == (
        "Do it.\n\nRaises:\n\n- `ValueError`: it is wrong, for one of two reasons.\n- `OSError`: the disk is full."
    )


def test_pages_have_what_their_readers_need() -> None:
    """Settings with defaults, events and errors with fields, states with their values; nothing internal."""
    pages = {name: (DOCS / "reference" / f"{name}.md").read_text() for name in ("configuration", "progress", "errors")}

    assert "| `initial_port` | `8188` |" in pages["configuration"]
    assert "| `killed` |" in pages["configuration"]
    assert "Lifecycle" not in pages["configuration"]
    assert "| `node_ids` | `tuple[str, ...]` |" in pages["progress"]
    assert "| `candidates` | `Sequence[str]` |" in pages["errors"]
    assert "class `Explanation`" in (DOCS / "reference" / "workflows.md").read_text()
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"^(Attributes|Raises|Args):\n +\w", page.read_text(), re.MULTILINE), page
