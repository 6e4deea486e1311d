"""The language of the tree: words that no native speaker writes, and module docstrings that name their subject."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("discomfort", "comfyui_emulator", "comfyui_conformance")
FORBIDDEN = re.compile(
    r"\b(can not|tells of|told of|tell of|the way of|in vain|that was none|stopped to \w+|stops to \w+)\b",
    re.IGNORECASE,
)
QUESTIONS = {"what", "where", "when", "how", "why", "whether", "who", "which", "that", "if"}
"""Words that a module's docstring does not begin with: it begins with a noun, or a verb in the third person."""


def texts() -> list[Path]:
    code = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    return sorted([*code, *pages, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def test_no_foreign_phrases() -> None:
    """In code, tests and pages; each has a plain form: "cannot", "describes", "stopped …ing"."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts()
        if path.name != "test_language.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in FORBIDDEN.finditer(line)
    ]
    assert found == []


def test_the_phrases_would_be_noticed() -> None:
    """Each of these is found, and their plain forms are not."""
    for text in ("it can not run", "an error that tells of it", "the way of one run", "the server stopped to answer"):
        assert FORBIDDEN.search(text), text
    for text in ("it cannot run", "an error that names it", "the path of one run", "the server stopped answering"):
        assert not FORBIDDEN.search(text), text


def test_module_docstrings_name_their_subject() -> None:
    """The first word is a noun or a verb in the third person, not a question."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            first = re.match(r"\w+", docstring)
            if not docstring or (first and first[0].lower() in QUESTIONS):
                found.append(f"{path.relative_to(ROOT)}: {docstring.splitlines()[0] if docstring else 'none'}")
    assert found == []
