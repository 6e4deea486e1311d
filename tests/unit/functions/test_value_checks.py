"""Constants of a call against what the interface declares: what is taken, and the nearest that would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from discomfort.exceptions import ArgumentProblem, CallError
from discomfort.functions.deliveries import file_delivery, value_delivery
from discomfort.functions.value_checks import ValueTrouble, checked_constant
from discomfort.workflow.interface.declarations import Parameter


def parameter(kind: str, **facts: Any) -> Parameter:
    """A parameter of a type."""
    return Parameter(name="p", type=kind, source="app", default=None, **facts)


SEED = parameter("INT", minimum=0, maximum=2**64 - 1)
SCALE = parameter("FLOAT", minimum=0.5, maximum=8.0)
METHOD = parameter("COMBO", choices=("area", "bilinear", "lanczos"))
COUNT = parameter("COMBO", choices=(1, 2, 4))


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (SEED, 2**64 - 1, 2**64 - 1),
        (SEED, np.int64(7), 7),
        (SCALE, 4, 4),
        (SCALE, np.float32(0.5), 0.5),
        (METHOD, "area", "area"),
        (COUNT, 2, 2),
        (parameter("STRING"), "", ""),
        (parameter("BOOLEAN"), np.bool_(False), False),
        (parameter("COMBO"), "any name", "any name"),
        (parameter("COMBO"), ["several", "names"], ["several", "names"]),
        (parameter("INT,FLOAT"), 2.5, 2.5),
    ],
)
def test_taken(declared: Parameter, value: Any, expected: Any) -> None:
    """The value is what Python's own would be."""
    found = checked_constant(declared, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("declared", "value", "problem", "nearest"),
    [
        (SEED, -1, "takes a whole number from 0 to 18446744073709551615, given the number -1", "0"),
        (SEED, 4.0, "takes a whole number", "4"),
        (SEED, "12", "takes a whole number, given the string '12'", "12"),
        (SEED, True, "takes a whole number, given the boolean true", "1"),
        (SCALE, 9, "takes a number from 0.5 to 8.0", "8.0"),
        (SCALE, "99", "takes a number", "8.0"),
        (SCALE, float("nan"), "takes a number from 0.5 to 8.0, given", None),
        (SCALE, None, "takes a number", None),
        (METHOD, "lanzcos", "is not among its 3 values", "'lanczos'"),
        (COUNT, "2", "is not among its 3 values", "2"),
        (COUNT, True, "is not among its 3 values", None),
        (parameter("STRING"), 5, "takes a text", "'5'"),
        (parameter("BOOLEAN"), "yes", "takes True or False", "True"),
        (parameter("BOOLEAN"), 0, "takes True or False", "False"),
        (parameter("INT", maximum=5), 6, "takes a whole number of 5 or less", "5"),
    ],
)
def test_refused(declared: Parameter, value: Any, problem: str, nearest: str | None) -> None:
    """With the nearest value that is right, where there is one."""
    with pytest.raises(ValueTrouble) as caught:
        checked_constant(declared, value)
    assert problem in caught.value.problem
    if nearest is not None:
        assert caught.value.candidates[0] == nearest


def test_values_that_need_files() -> None:
    """What no node of every ComfyUI loads is refused with a remedy, and so is what the server has no node for."""
    with pytest.raises(ValueTrouble, match="takes MODEL, which no node of every ComfyUI loads"):
        value_delivery(3, "MODEL", {})
    with pytest.raises(ValueTrouble, match="the server has no node LoadImage"):
        value_delivery(Image.new("RGB", (2, 2)), "IMAGE", {})
    with pytest.raises(ValueTrouble, match="takes one value of type AUDIO, given 2"):
        value_delivery([b"RIFF", b"RIFF"], "AUDIO", {"LoadAudio"})
    with pytest.raises(ValueTrouble, match="the output has nothing in it"):
        file_delivery(type("Items", (), {"outputs": ()})(), "IMAGE", may_be_named=True)


def test_the_error() -> None:
    """Names the function, every problem and the nearest values; it is a ValueError and a TypeError."""
    error = CallError("upscale", [ArgumentProblem("scale", "is wrong", ("8.0",)), ArgumentProblem("x", "is not there")])
    assert str(error) == "upscale() was not called: scale: is wrong. Nearest: 8.0; x: is not there"
    assert isinstance(error, ValueError)
    assert isinstance(error, TypeError)
