"""Command lines: split, read and changed as ComfyUI's argument parser would have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from discomfort.discovery.command_line import (
    emulator_index,
    has_option,
    is_bare_python,
    known_options,
    option_value,
    script_index,
    split,
    with_own_python,
    without_option,
)
from discomfort.exceptions import ConfigurationError

KNOWN = frozenset({"--port", "--temp-directory", "--output-directory", "--front-end-root", "--front-end-version"})


def test_split() -> None:
    """Quotes group words, and nothing is expanded."""
    assert split("python3 'my main.py' --x \"a b\" $HOME") == ["python3", "my main.py", "--x", "a b", "$HOME"]


@pytest.mark.parametrize(
    ("text", "problem"), [("python 'main.py", "quotes"), ("", "empty"), ("  ", "empty"), ("''", "empty")]
)
def test_split_refuses(text: str, problem: str) -> None:
    """The error about a text that is not a command line names setting, value and source."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        split(text, source="comfy.json")

    assert (caught.value.key, caught.value.value, caught.value.source) == ("API_COMMAND_LINE", text, "comfy.json")


@pytest.mark.parametrize(
    ("word", "bare"), [("python", True), ("python3", True), ("/usr/bin/python3", False), ("python3.11", False)]
)
def test_bare_python(word: str, bare: bool) -> None:
    """Only a name that stands for any Python is one."""
    assert is_bare_python(word) is bare


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ("python3 main.py --cpu", 1),
        ("python3 -u -X dev ComfyUI/main.py", 4),
        ("/opt/venv/bin/python3.12 /opt/ComfyUI/main.py", 1),
        ("python.exe -s ComfyUI/main.py --windows-standalone-build", 2),
        ("python3 serve.py main", None),
        ("./run.sh main.py", None),
        ("docker run comfy python main.py", None),
        ("main.py", None),
    ],
)
def test_script_index(words: str, index: int | None) -> None:
    """Only a Python that runs a main.py is ComfyUI's own form."""
    assert script_index(words.split()) == index


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("--temp-directory /a", "/a"),
        ("--temp-directory=/a", "/a"),
        ("--temp-directory /a --temp-directory=/b", "/b"),
        ("--temp /a", "/a"),
        ("--t=/a", "/a"),
        ("--temp-directory", None),
        ("--temp-directory --port 1", None),
        ("--temp-directory-x /a", None),
        ("--output-directory /a", None),
        ("", None),
    ],
)
def test_option_value(words: str, value: str | None) -> None:
    """Both spellings, unambiguous beginnings, and the last one of several."""
    assert option_value(words.split(), "--temp-directory", KNOWN) == value


def test_ambiguous_and_unknown_beginnings() -> None:
    """A beginning counts only where the options are known and just one has it."""
    assert not has_option(["--front-end", "x"], "--front-end-root", KNOWN)
    assert not has_option(["--temp", "x"], "--temp-directory")
    assert not has_option(["--"], "--port", {"--port"})
    assert has_option(["--front-end-r=x"], "--front-end-root", KNOWN)


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ("--cpu --port 1 --lowvram", "--cpu --lowvram"),
        ("--port=1 x", "x"),
        ("--port --cpu", "--cpu"),
        ("--port", ""),
        ("--port 1 --port 2", ""),
        ("--po 1 a", "a"),
        ("--porter 1", "--porter 1"),
    ],
)
def test_without_option(words: str, rest: str) -> None:
    """The option goes with its value, and nothing else does."""
    assert without_option(words.split(), "--port", KNOWN) == rest.split()


def test_known_options(tmp_path: Path) -> None:
    """They are read from the text of the file; without one none is known."""
    assert known_options(tmp_path) == frozenset()
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "cli_args.py").write_text(
        "parser.add_argument('--port', type=int)\ngroup.add_argument(\"--database-url\", help='not --this')\n"
    )

    assert known_options(tmp_path) == {"--port", "--database-url"}


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ("python3 -m discomfort serve --port 1", 0),
        ("/venv/bin/python3.12 -X dev -u -m discomfort serve", 0),
        ("python -um comfyui_emulator", 0),
        ("python -mcomfyui_emulator --cpu", 0),
        ("discomfort serve", 0),
        ("/venv/bin/discomfort serve --cpu", 0),
        ("discomfort.exe serve", 0),
        ("uv run discomfort serve", 2),
        ("docker run image python -m comfyui_emulator", 3),
        ("python3 main.py --cpu", None),
        ("python3 -m discomfort run a.json", None),
        ("python3 -m discomfort.emulator", None),
        ("python3 serve.py -m comfyui_emulator", None),
        ("python3 -c pass -m comfyui_emulator", None),
        ("python3 -m", None),
        ("python3", None),
        ("discomfort doctor", None),
        ("./serve", None),
    ],
)
def test_emulator_index(words: str, index: int | None) -> None:
    """Our emulator is recognised however it is called, and nothing else is taken for it."""
    assert emulator_index(words.split()) == index


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("python3 -m discomfort serve", "/this/python -m discomfort serve"),
        ("discomfort serve --cpu", "/this/python -m discomfort serve --cpu"),
        ("/venv/bin/python -m discomfort serve", "/venv/bin/python -m discomfort serve"),
        ("/venv/bin/discomfort serve", "/venv/bin/discomfort serve"),
    ],
)
def test_with_own_python(words: str, found: str) -> None:
    """A name that would be looked up means this Python; a path means what it says."""
    assert with_own_python(words.split(), "/this/python") == found.split()
