"""JSON as servers speak it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from discomfort import _json


@pytest.mark.parametrize(
    "value",
    [{"a": None}, {"a": [None, 1.5, "null"]}, ["null"], {"deep": [{"x": (None, {"y": 1})}]}, [True, 2**70, None]],
)
def test_what_is_finite_comes_back(value: Any) -> None:
    """Nothing is changed by writing and reading, nulls or not."""
    assert _json.loads(_json.dumps(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [None, x], lambda x: {"a": {"b": (1, x)}}])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays(wrap: Any, number: float) -> None:
    """NaN and the infinities are written as Python writes them, wherever they are, never as null."""
    assert _json.dumps(wrap(number)) == json.dumps(wrap(number)).encode()
