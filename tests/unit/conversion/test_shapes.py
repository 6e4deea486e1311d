"""A workflow taken apart into its shape and its values, and what JavaScript makes of numbers."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from discomfort.conversion.native.shapes import MAX_TEXT, owners, parse, read, write
from discomfort.workflow.javascript import id_text, through_javascript

WORKFLOW: dict[str, Any] = {
    "nodes": [
        {"id": 1, "type": "A", "widgets_values": ["text", 5, 0.5, True, None, ["a", 1]]},
        {"id": 2, "type": "B", "widgets_values": {"x": "text", "y": {"z": 1}}},
        {"id": 3, "type": "C"},
    ],
    "definitions": {"subgraphs": [{"id": "u", "nodes": [{"id": 4, "type": "A", "widgets_values": [7]}]}]},
    "extra": {"ds": {"scale": 1.5}, "groupNodes": {"G": {"nodes": [{"type": "A", "widgets_values": ["inner"]}]}}},
}


def changed(value: Any, *path: Any) -> str:
    """The workflow with one thing changed, as JSON."""
    made = copy.deepcopy(WORKFLOW)
    inside: Any = made
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return json.dumps(made)


TEXT = json.dumps(WORKFLOW)


def test_values_are_read_in_order() -> None:
    """Values of nodes, subgraphs and group nodes, in lists and objects; nulls, lists and objects are none."""
    parsed = read(TEXT, "env")

    assert parsed is not None
    assert parsed.values == ("text", 5, 0.5, True, "text", 7, "inner")
    assert [node.get("id") for node in owners(parse(TEXT) or {})] == [1, 1, 1, 1, 2, 4, None]


@pytest.mark.parametrize(
    "text",
    [
        changed("other", "nodes", 0, "widgets_values", 0),
        changed(2**70, "nodes", 0, "widgets_values", 1),
        changed(False, "nodes", 0, "widgets_values", 3),
        changed(8, "definitions", "subgraphs", 0, "nodes", 0, "widgets_values", 0),
        changed(0.7, "extra", "ds", "scale"),
    ],
    ids=["text", "number", "boolean", "subgraph", "scrolled"],
)
def test_other_values_same_shape(text: str) -> None:
    """Values, and where the canvas was scrolled to, are not part of the shape."""
    one, other = read(TEXT, "env"), read(text, "env")

    assert one is not None
    assert other is not None
    assert one.key == other.key


@pytest.mark.parametrize(
    "text",
    [
        changed(5, "nodes", 0, "widgets_values", 0),
        changed(True, "nodes", 0, "widgets_values", 1),
        changed(None, "nodes", 0, "widgets_values", 1),
        changed([5], "nodes", 0, "widgets_values", 1),
        changed(["a", 2], "nodes", 0, "widgets_values", 5),
        changed(["text"], "nodes", 0, "widgets_values"),
        changed("D", "nodes", 2, "type"),
        changed(4, "nodes", 0, "mode"),
        changed([[1, 1, 0, 2, 0, "X"]], "links"),
    ],
    ids=["kind", "boolean", "null", "list", "in a list", "fewer", "type", "muted", "links"],
)
def test_everything_else_is_another_shape(text: str) -> None:
    """Kinds of values, their number, values with an inside, and whatever is not a value."""
    one, other = read(TEXT, "env"), read(text, "env")

    assert one is not None
    assert other is not None
    assert one.key != other.key


def test_environment_is_part_of_the_shape() -> None:
    """What was learnt with other node definitions is not found."""
    one, other = read(TEXT, "env"), read(TEXT, "other")

    assert one is not None
    assert other is not None
    assert one.key != other.key


@pytest.mark.parametrize("text", ["[]", '{"nodes": [{"a": "\\ud800"}]}', " " * (MAX_TEXT + 1)])
def test_what_can_not_be_read(text: str) -> None:
    """No object, lone surrogates, too large: left to the browser."""
    assert read(text, "env") is None


def test_values_are_written_back() -> None:
    """The same places get the new values, nothing else changes."""
    values = ["a", 1, 2.5, False, "b", 9, "c"]

    written = write(TEXT, values)

    again = read(written, "env")
    first = read(TEXT, "env")
    assert again is not None
    assert first is not None
    assert list(again.values) == values
    assert again.key == first.key


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (8.0, "8"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (2**53 + 1, "9007199254740992"),
        (18446744073709551615, "18446744073709552000"),
        (123456789012345678901, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (True, "true"),
        ("8.0", '"8.0"'),
    ],
)
def test_numbers_through_javascript(value: Any, text: str) -> None:
    """Whole numbers lose their point, those above 2^53 their last digits, as ``JSON.stringify`` writes them."""
    assert json.dumps(through_javascript(value)) == text


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (5, "5"),
        (5.0, "5"),
        (7.5, "7.5"),
        ("005", "005"),
        (2**53 + 1, "9007199254740992"),
        (10**30, "1e+30"),
        (-1, "-1"),
    ],
)
def test_ids_as_prompts_write_them(given: Any, written: str) -> None:
    """A number is one number however it was written."""
    assert id_text(given) == written
    assert id_text(None) == "None"
    assert id_text(10**400) == str(10**400)
