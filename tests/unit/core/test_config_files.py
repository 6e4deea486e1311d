"""Configuration files with comments and trailing commas; which file counts is in the tests of those who read one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discomfort.config_files import nearest_known, plain_json

GAPS = st.text(" \t\n", max_size=2) | st.sampled_from(["// x, ]}\n", '/* , } " */', "/**/", "//\n", "/* a\n b */"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["//", "/*", "*/", ",]", '"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def commented(value: object, draw: st.DataObject) -> str:
    """JSON text of a value, with comments and commas wherever they may be."""
    if isinstance(value, list):
        items = [commented(each, draw) for each in value]
    elif isinstance(value, dict):
        items = [f"{json.dumps(key)}{gap(draw)}:{commented(each, draw)}" for key, each in value.items()]
    else:
        return gap(draw) + json.dumps(value) + gap(draw)
    end = "," + gap(draw) if items and draw.draw(st.booleans()) else ""
    begin, close = "[]" if isinstance(value, list) else "{}"
    return gap(draw) + begin + ",".join(items) + end + close + gap(draw)


def gap(draw: st.DataObject) -> str:
    """White space, or a comment."""
    return draw.draw(GAPS)


@given(VALUES, st.data())
def test_comments_change_nothing(value: object, data: st.DataObject) -> None:
    """The same value, and each line stays where it was; what looks like a comment in a text is kept."""
    text = commented(value, data)
    plain = plain_json(text)

    assert json.loads(plain) == value
    assert len(plain) == len(text)
    assert [len(line) for line in plain.split("\n")] == [len(line) for line in text.split("\n")]


@pytest.mark.parametrize("text", ['{"a": 1', '"a', "/* open", '{"a": /}', "[1,,]"])
def test_other_mistakes_stay(text: str) -> None:
    """They are not JSON before and after."""
    with pytest.raises(ValueError, match="."):
        json.loads(plain_json(text))


def test_unknown_key() -> None:
    """The nearest known one, else all of them."""
    assert nearest_known("max_ram", ["MAX_RAM_GB", "TENSORS"]) == "; the nearest known key is MAX_RAM_GB"
    assert nearest_known("x", ["MAX_RAM_GB", "TENSORS"]) == "; known keys are MAX_RAM_GB, TENSORS"
