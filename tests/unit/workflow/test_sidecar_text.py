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


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("a: 1\na: 2", ".yaml", "'a' occurs twice"),
        ('{"a": 1, "a": 2}', ".json", "'a' occurs twice"),
        ("x: &a 1\ny: *a", ".yaml", "aliases"),
        ("- 1", ".yaml", "a list of 1 item"),
        ("a: [", ".yaml", "line 1"),
        ("!!python/object/apply:os.getpid []", ".yaml", "constructor"),
        ("a =", ".toml", "TOML"),
        ("a", ".txt", ".yaml, .json or .toml"),
        ("[" * 100_000, ".json", "JSON"),
    ],
)
def test_bad_texts(text: str, suffix: str, words: str) -> None:
    """Each is an error that says what and where."""
    with pytest.raises(PayloadError, match=words):
        parse_sidecar(text, suffix)
