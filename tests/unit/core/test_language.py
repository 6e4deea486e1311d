"""The language of the tree: phrases that no native speaker writes, and module docstrings that name their subject."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("discomfort", "comfyui_emulator", "comfyui_conformance")
CODE = (*PACKAGES, "tests", "benchmarks", "docs", "scripts", "examples")

FORBIDDEN = re.compile(
    r"\b(can not|tell(s|ing)? of|told of|the way of|in vain|that was none|stopped to \w+|stops to \w+"
    r"|the same word|on (its|their|our) own account|(makes?|made) (its|their) way|words that lead|costs what"
    r"|ceases? to be|not any more|no more than is|by no means|lacks? of|different than|depends? of|possibility to"
    r"|an own|it is to hope|(reason|name|error|folders|pack|deaths|replacement) (is|are|was|were) told)\b",
    re.IGNORECASE,
)
"""Phrases with a plain form: "cannot", "describes", "stopped …ing", "is reported"."""

STRICTER = re.compile(
    r"\b([Ww]hat is no(?! longer)|that (is|are) none|convicts?|has to say|allows? to \w+|says? of itself)\b"
)
IS_NO = re.compile(
    r"(?<!\b[Tt]here )\b(is|are) no (?!longer\b|more\b|better\b|less\b|further\b|one\b|other\b|concern\b)\w+"
)
"""A noun is denied by "is not a"; "there is no" is fine. Not in tests, whose parameters have such names."""
PAGES = re.compile(
    r"\b(told|tells|anew|but for|as a rule|hears? of|at hand|need be|such a one|goes by)\b"
    r"|(^|[.:;] )(?-i:What (?!you )[^?]+\.|Whoever )",
    re.IGNORECASE,
)
"""Also not in pages for users: archaic words, and sentences that begin with "What … is" or "Whoever"."""

NO_SUBJECT = re.compile(
    r"(what|where|when|how|why|whether|who|whoever|which|that|if"
    r"|from|to|by|in|on|for|with|of|at|into|after|before|between"
    r"|find|set|notice|drive|get|make|check|read|write|convert|run|start|tell|return|send|keep|take|give|put|let|hold"
    r"|build|load|save|show|print|ask|wait|begin|end|collect|apply|move|see|know|do|use|look|decide|resolve)\b",
    re.IGNORECASE,
)
"""Words that a module's docstring does not begin with: questions, prepositions, commands."""


def texts() -> list[Path]:
    code = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    others = [*(ROOT / "scripts").glob("*.sh"), *(ROOT / "discomfort").rglob("*.js"), ROOT / ".ci" / "run"]
    others += [ROOT / "__init__.py", ROOT / "Makefile", ROOT / "pyproject.toml"]
    return sorted(path for path in [*code, *pages, *others] if path != Path(__file__))


def in_texts(phrases: re.Pattern[str], paths: list[Path]) -> list[str]:
    """Each place of such a phrase with the words around it; a line break may divide it."""
    found = []
    for path in paths:
        text = re.sub(r"\n\s*(# )?", " ", path.read_text(encoding="utf-8"))
        found += [
            f"{path.relative_to(ROOT)}: …{text[max(0, match.start() - 30) : match.end() + 30]}…"
            for match in phrases.finditer(text)
        ]
    return found


def paragraphs(page: Path) -> Iterator[str]:
    """The sentences of a page in one line for each paragraph, list item or table cell; no code, no headings."""
    text = re.sub(r"^(```.*?^```|#.*?$)", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:- |\d+\. ))|\|", text):
        yield " ".join(re.sub(r"^\s*(- |\d+\. )", "", block).split())


def test_no_foreign_phrases() -> None:
    """In code, tests, pages and scripts."""
    assert in_texts(FORBIDDEN, texts()) == []
    assert in_texts(STRICTER, texts()) == []
    others = [path for path in texts() if path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks")]
    assert in_texts(IS_NO, others) == []


def test_pages_are_plain() -> None:
    """The pages for users have none of the words that need a second reading."""
    pages = [path for path in texts() if path.suffix == ".md" and "reference" not in path.parts]
    found = [
        f"{page.relative_to(ROOT)}: {match[0]}"
        for page in pages
        for paragraph in paragraphs(page)
        for match in PAGES.finditer(paragraph)
    ]
    assert found == []
    assert len(pages) > 15


@pytest.mark.parametrize(
    ("foreign", "plain"),
    [
        ("it can not run", "it cannot run"),
        ("an error that tells of it", "an error that names it"),
        ("the way of one run", "the path of one run"),
        ("the server stopped to answer", "the server stopped answering"),
        ("the frontend said the same word twice", "two attempts failed with the same error"),
        ("errors raised on its own account", "errors raised by this library"),
        ("before their news made their way here", "before the callback ran"),
        ("in words that lead to the place", "with the place"),
        ("a replacement is told", "a replacement is reported"),
    ],
)
def test_foreign_phrases_would_be_noticed(foreign: str, plain: str) -> None:
    """Each phrase that a reviewer stumbled over is found, and its plain form is not."""
    assert FORBIDDEN.search(foreign)
    assert not FORBIDDEN.search(plain)


@pytest.mark.parametrize(
    ("pattern", "foreign", "plain"),
    [
        (STRICTER, "for what is no file", "for what is no longer a file"),
        (STRICTER, "raises for a line that is none", "the default, that is None"),
        (STRICTER, "What convicts a server", "evidence against a server"),
        (STRICTER, "What it has to say about one", "The result for one"),
        (STRICTER, "an option that allows to install one", "an option that allows installing one"),
        (STRICTER, "what the server says of itself", "the version that the server reports"),
        (IS_NO, "an id that is no text", "there is no text"),
        (IS_NO, "paths that are no routes", "paths that are no longer routes"),
        (PAGES, "What was converted before, takes less than a millisecond.", "What you save stays."),
        (PAGES, "It ends. Whoever waits gets it.", "It ends, and whoever waits gets it."),
        (PAGES, "the prompt is made anew", "the prompt is made again"),
        (PAGES, "nobody is told", "no message says so"),
    ],
)
def test_other_phrases_would_be_noticed(pattern: re.Pattern[str], foreign: str, plain: str) -> None:
    """As above, for the other two lists."""
    assert pattern.search(foreign)
    assert not pattern.search(plain)


def test_module_docstrings_name_their_subject() -> None:
    """A module's docstring begins with a noun, or with a verb in the third person."""
    folders = (*PACKAGES, "benchmarks", "docs", "scripts")
    found = []
    for path in [ROOT / "__init__.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        is_empty = not docstring and path.parts[-2:] != ("parity", "__init__.py")
        if is_empty or NO_SUBJECT.match(docstring):
            found.append(f"{path.relative_to(ROOT)}: {docstring.partition(chr(10))[0] or 'none'}")
    assert found == []


@pytest.mark.parametrize(
    ("foreign", "plain"),
    [
        ("What is no prompt.", "Bodies that are not prompts."),
        ("Whether a server behaves as ComfyUI.", "Checks whether a server behaves as ComfyUI."),
        ("From a payload to the prompt.", "Turns a payload into the prompt."),
        ("Find a Chromium.", "Finds a Chromium."),
    ],
)
def test_first_words_would_be_noticed(foreign: str, plain: str) -> None:
    """Questions, prepositions and commands are found; nouns and third persons are not."""
    assert NO_SUBJECT.match(foreign)
    assert not NO_SUBJECT.match(plain)
