"""Docstrings become Markdown: code has fences, tables have bars, and what a library put into a class is left out."""

from __future__ import annotations

import importlib.util
import re
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
