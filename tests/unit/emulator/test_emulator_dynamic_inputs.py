"""Dynamic inputs: their declaration, their validation, and what the node receives."""
# ruff: noqa: E501 - a table of inputs reads best a line each

from __future__ import annotations

import ast
from typing import Any

import pytest

from comfyui_emulator.dynamic_inputs import expanded
from comfyui_emulator.nodes.base import (
    BUILT_IN,
    MATCHTYPE,
    branching,
    choice,
    growing,
    integer,
    link,
    matching,
    node,
    text,
)
from comfyui_emulator.registry import NodeType

N = Any

INPUTS = {
    "grow": growing("v", integer(0, 0, 9, forceInput=True), prefix="v", least=2, most=4),
    "mode": branching(
        {
            "one": {"n": integer(1, 0, 9)},
            "two": {"s": text(), "sub": branching({"p": {"f": integer()}, "q": {}})},
            "three": {},
        },
        optional={"three": {"o": integer()}},
        tooltip="which",
    ),
}


def declared(inputs: Any, **more: Any) -> type:
    """The class of a node that returns its arguments as text."""

    @node("DynamicSample", inputs, "STRING", module="test", category="test", v3=True, OUTPUT_NODE=True, **more)
    def sample(**arguments: Any) -> Any:
        return {"ui": {"text": [repr(arguments)]}, "result": ("",)}

    return BUILT_IN.pop("DynamicSample")[0]


@pytest.fixture
def sample(launch: N) -> Any:
    """Launches an emulator with the node ``Sample``, whose inputs are ``INPUTS``."""
    return lambda inputs=INPUTS, **more: launch(extra_nodes={"Sample": declared(inputs, **more)})


def test_declarations_have_comfyuis_form() -> None:
    """The helpers describe dynamic inputs as ``/object_info`` of ComfyUI 0.33 does, in the newer dialect throughout."""
    inputs = {
        "grow": INPUTS["grow"],
        "named": growing("value", link("IMAGE,MASK"), names=("a", "b"), least=0),
        "mode": branching({"one": {"c": choice(["x"])}, "two": {}}, tooltip="which"),
        "any": matching("t", "IMAGE,MASK", lazy=True),
    }

    info = NodeType("Sample", declared(inputs, matchtypes=("t",))).info()

    template = {"input": {"required": {"v": ["INT", {"default": 0, "min": 0, "max": 9, "forceInput": True}]}}}
    combo = {"multiselect": False, "options": ["x"]}
    assert info["input"]["required"] == {
        "grow": ["COMFY_AUTOGROW_V3", {"template": {**template, "prefix": "v", "min": 2, "max": 4}}],
        "named": [
            "COMFY_AUTOGROW_V3",
            {"template": {"input": {"required": {"value": ["IMAGE,MASK", {}]}}, "names": ["a", "b"], "min": 0}},
        ],
        "mode": [
            "COMFY_DYNAMICCOMBO_V3",
            {
                "tooltip": "which",
                "options": [
                    {"key": "one", "inputs": {"required": {"c": ["COMBO", combo]}}},
                    {"key": "two", "inputs": {"required": {}}},
                ],
            },
        ],
        "any": [MATCHTYPE, {"lazy": True, "template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}],
    }


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"mode": "one", "mode.n": 3}, {"mode": {"mode": "one", "n": 3}}),
        ({"mode": "two", "mode.s": "x", "mode.sub": "p", "mode.sub.f": 2}, {"mode": {"mode": "two", "s": "x", "sub": {"sub": "p", "f": 2}}}),
        # An optional input of the option that is not given is None; those of another option are ignored.
        ({"mode": "three", "mode.n": 3}, {"mode": {"mode": "three", "o": None}}),
        # An unknown or missing choice is not an error: the node is called without the group.
        ({"mode": "zzz", "mode.n": 99}, {}),
        ({}, {}),
        ({"mode": "one", "mode.n": 3, "grow.v2": 5, "grow.v9": 1, "other": 1}, {"mode": {"mode": "one", "n": 3}, "grow": {"v0": 1, "v1": 2, "v2": 5}}),
    ],
)  # fmt: skip
async def test_the_node_receives_nested_dicts(sample: N, given: Any, received: Any) -> None:
    """Inputs with dots arrive in dicts, by the name of the input that they belong to."""
    grown = {"grow.v0": "1", "grow.v1": 2}
    async with sample() as emulator:
        _, record = await emulator.run({"1": {"class_type": "Sample", "inputs": {**grown, **given}}})

    arguments = ast.literal_eval(record["outputs"]["1"]["text"][0])
    assert arguments == {"grow": {"v0": 1, "v1": 2}} | received


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"grow.v0": 1, "mode": "one", "mode.n": 1}, [("required_input_missing", "v1", "grow.v1")]),
        ({"grow": {"v0": 1, "v1": 2}}, [("required_input_missing", "v0", "grow.v0"), ("required_input_missing", "v1", "grow.v1")]),
        ({"grow.v0": 1, "grow.v1": 10}, [("value_bigger_than_max", "grow.v1", "grow.v1")]),
        ({"grow.v0": 1, "grow.v1": 1, "mode": "one", "mode.n": 99}, [("value_bigger_than_max", "mode.n", "mode.n")]),
        ({"grow.v0": 1, "grow.v1": 1, "mode": "two", "mode.s": "", "mode.sub": "p"}, [("required_input_missing", "f", "mode.sub.f")]),
    ],
)  # fmt: skip
async def test_errors_name_the_full_key(sample: N, given: Any, expected: Any) -> None:
    """Inputs of a dynamic one are validated under their full names; of a missing one, the text is the last part."""
    async with sample() as emulator:
        status, answer = await emulator.submit({"1": {"class_type": "Sample", "inputs": given}})

    assert status == 400
    found = answer["node_errors"]["1"]["errors"]
    assert [(e["type"], e["details"], e["extra_info"]["input_name"]) for e in found] == expected


async def test_match_types_and_any_are_not_checked(sample: N) -> None:
    """A match type takes everything; so does ``*``, in a union too; other types still have to overlap."""
    inputs = {"any": matching("t"), "union": link("INT,*"), "number": link("INT,FLOAT")}
    async with sample(inputs) as emulator:
        images = {"2": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}}
        graph = {"1": {"class_type": "Sample", "inputs": {name: ["2", 0] for name in inputs}}, **images}
        status, answer = await emulator.submit(graph)

    assert status == 400
    (error,) = answer["node_errors"]["1"]["errors"]
    assert error["details"] == "number, received_type(IMAGE) mismatch input_type(INT,FLOAT)"


async def test_several_types_are_range_checked_without_conversion(sample: N) -> None:
    """A value for several types is compared as it is: a text raises inside the validation."""
    async with sample({"number": link("INT,FLOAT", min=0)}) as emulator:
        _, low = await emulator.submit({"1": {"class_type": "Sample", "inputs": {"number": -1.5}}})
        _, wrong = await emulator.submit({"1": {"class_type": "Sample", "inputs": {"number": "x"}}})

    assert low["node_errors"]["1"]["errors"][0]["type"] == "value_smaller_than_min"
    assert wrong["node_errors"]["1"]["errors"][0]["type"] == "exception_during_validation"


def test_a_group_without_inputs_is_an_empty_dict() -> None:
    """Where all copies are optional and none is given, the node receives an empty dict, not nothing."""
    shape = expanded({"required": {"values": growing("v", link("*"), names=("a", "b"), least=0)}}, {})

    assert shape.nested({"other": 1}) == {"other": 1, "values": {}}


def test_lazy_checks_get_the_full_names() -> None:
    """``check_lazy_status`` receives each value in a tuple with the name to ask for."""
    shape = expanded({"required": {"values": growing("v", link("*"), names=("a", "b"), least=0)}}, {"values.b": 1})

    assert shape.nested({"values.b": None}, keyed=True) == {"values": {"b": (None, "values.b")}}
