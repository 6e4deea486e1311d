"""Texts of sidecars: YAML in its newer reading, JSON and TOML; refused, where something would be lost or run."""

from __future__ import annotations

import pytest

from discomfort.exceptions import PayloadError
from discomfort.workflow.interface.sidecar_text import parse_sidecar


def test_the_same_in_three_formats() -> None:
    """Node ids and words stay texts in YAML, too."""
    expected = {"inputs": {"no": "10:3.text", "a": {"target": "x.y", "choices": ["on", 1.5, 2], "hidden": True}}}
    yaml = "inputs:\n  no: 10:3.text  # the prompt\n  a: {target: x.y, choices: [on, 1.5, 2], hidden: true}\n"
    json = '{"inputs": {"no": "10:3.text", "a": {"target": "x.y", "choices": ["on", 1.5, 2], "hidden": true}}}'
    toml = '[inputs]\nno = "10:3.text"\na = {target = "x.y", choices = ["on", 1.5, 2], hidden = true}\n'
    assert parse_sidecar(yaml, ".yaml") == expected
    assert parse_sidecar(json, ".json") == expected
    assert parse_sidecar("\ufeff" + toml, ".TOML") == expected
    assert parse_sidecar("outputs:\n  a: 10:3\n", ".yml") == {"outputs": {"a": "10:3"}}
    assert parse_sidecar("# nothing yet\n", ".yaml") == {}
    assert parse_sidecar("a: 0123\nb: 089\nc: 0x1F\nd: -7\n", ".yaml") == {"a": 123, "b": 89, "c": 31, "d": -7}


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("a: 1\na: 2", ".yaml", "line 2: the key 'a' occurs twice: keep one"),
        ("", ".toml", "is empty: write inputs or outputs"),
        (" \n", ".json", "is empty"),
        ("null", ".json", "is null"),
        ("a:\n\tb: 1", ".yaml", "line 2, column 1: found character"),
        ("a: 1\n--- \nb: 2", ".yaml", "expected a single document.*, but found another"),
        ("a: !!binary aGk=", ".yaml", "line 1: the tag !!binary is not read"),
        ("a: !!bool x", ".yaml", "'x' is not of the type bool"),
        ("{" * 100_000, ".yaml", "nested deeper than 50 levels"),
        ("\n".join(" " * depth + "a:" for depth in range(99)), ".yaml", "line 50: it is nested deeper"),
        ('{"a": 1, "a": 2}', ".json", "'a' occurs twice"),
        ("x: &a 1\ny: *a", ".yaml", "aliases"),
        ("- 1", ".yaml", "a list of 1 item"),
        ("a: [", ".yaml", "line 1"),
        ("!!python/object/apply:os.getpid []", ".yaml", "tag !!python/object/apply:os.getpid is not read"),
        ("a =", ".toml", "TOML"),
        ("a", ".txt", ".yaml, .json or .toml"),
        ("[" * 100_000, ".json", "nested too deeply"),
    ],
)
def test_bad_texts(text: str, suffix: str, words: str) -> None:
    """Each is an error that says what and where."""
    with pytest.raises(PayloadError, match=words):
        parse_sidecar(text, suffix)
