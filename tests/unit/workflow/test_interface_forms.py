"""The forms of an interface: text, JSON Schema, pydantic model, signature, docstring."""

from __future__ import annotations

import inspect
import json
import math
import pydoc
from typing import Any

import pytest
from example_count import examples
from hypothesis import given, settings
from pydantic import ValidationError
from unit.workflow.odd_interfaces import interfaces
from unit.workflow.sample_interface import IMAGE, SAMPLER, SCALE, SECRET, UPSCALE, interface

from discomfort.workflow.interface.annotations import can_be_keyword
from discomfort.workflow.interface.parameters import Interface, InterfaceProblem, Parameter


def test_one_line() -> None:
    """``repr`` has each input with type, bounds and default, and the outputs; the hidden one is left out."""
    assert repr(interface(IMAGE, SCALE)) == "image: IMAGE · scale: float 1…4 = 2 · -> image"
    assert repr(interface(SAMPLER, SECRET)) == "sampler: euler|heun|it's|… = euler · -> image"
    assert repr(Interface()) == "-> nothing"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"type": "INT", "minimum": 1}, "x: int ≥ 1"),
        ({"type": "INT", "maximum": 4.0, "default": 3}, "x: int ≤ 4 = 3"),
        ({"type": "FLOAT", "minimum": float("-inf"), "maximum": float("nan"), "default": 0.5}, "x: float = 0.5"),
        ({"type": "STRING", "default": "a red fox"}, "x: str = 'a red fox'"),
        ({"type": "STRING", "default": "a\nb"}, r"x: str = 'a\nb'"),
        ({"type": "BOOLEAN", "default": False}, "x: bool = False"),
        ({"type": "INT,FLOAT", "minimum": 0.5}, "x: int | float ≥ 0.5"),
        ({"type": "COMBO", "choices": ("only",)}, "x: only"),
        ({"type": "COMBO", "choices": ()}, "x: str"),
        ({"type": "IMAGE", "upload": "image", "choices": ("a.png",), "default": "a.png"}, "x: IMAGE = a.png"),
        ({"type": "MODEL"}, "x: MODEL"),
        ({"type": "STRING", "default": "x" * 99}, "x: str = " + "x" * 31 + "…"),
    ],
)
def test_each_kind_in_one_line(fields: dict[str, Any], shown: str) -> None:
    """Only bounds that exclude something are shown, and a text never breaks the line."""
    assert repr(Interface({"x": Parameter(name="x", source="app", **fields)})) == f"{shown} · -> nothing"


def test_table() -> None:
    """``str`` has everything, with the hidden input and the problems."""
    problem = InterfaceProblem("app", "3.seed", "there is no node 3", "delete the entry")
    text = str(Interface(UPSCALE.inputs, UPSCALE.outputs, (problem,)))
    assert text.splitlines() == [
        "inputs",
        "  image    IMAGE                       required",
        "  scale    float 1…4                   = 2       How much larger",
        "  sampler  euler|heun|it's|d           = euler",
        "  seed     int 0…18446744073709551615  = 7       Seed of noise",
        "  secret   str                         = ''      (hidden)",
        "outputs",
        "  image  IMAGE",
        "problems",
        "  app: 3.seed: there is no node 3; delete the entry",
    ]


def test_json_schema() -> None:
    """Types, bounds, choices, defaults and texts; whole bounds for whole numbers; nothing hidden, nothing else."""
    assert UPSCALE.json_schema(title="upscale") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "upscale",
        "properties": {
            "image": {"type": "string", "format": "path", "x-comfyui-type": "IMAGE"},
            "scale": {"type": "number", "minimum": 1, "maximum": 4, "description": "How much larger", "default": 2},
            "sampler": {"enum": ["euler", "heun", "it's", "d"], "default": "euler"},
            "seed": {
                "type": "integer",
                "minimum": 0,
                "maximum": 18446744073709551615,
                "title": "Seed of noise",
                "default": 7,
            },
        },
        "required": ["image"],
        "additionalProperties": False,
    }
    assert UPSCALE.json_schema("base64")["properties"]["image"] == {
        "type": "string",
        "contentEncoding": "base64",
        "contentMediaType": "image/png",
        "x-comfyui-type": "IMAGE",
    }


def test_model() -> None:
    """The pydantic model takes right values, refuses wrong ones by name, and dumps what a call takes."""
    model = UPSCALE.model("Upscale")
    values = model.model_validate({"image": "photo.jpg", "scale": "3", "sampler": "it's"})
    assert values.model_dump() == {"image": "photo.jpg", "scale": 3.0, "sampler": "it's", "seed": 7}

    with pytest.raises(ValidationError) as caught:
        model.model_validate({"image": 3, "scale": 5, "sampler": "eule", "seed": -1, "sede": 1})
    assert sorted(str(each["loc"][0]) for each in caught.value.errors()) == [
        "image",
        "sampler",
        "scale",
        "sede",
        "seed",
    ]
    with pytest.raises(ValidationError, match="image"):
        model.model_validate({})


def test_help_shows_the_call() -> None:
    """``help`` of an object with this docstring shows the call, what each argument is, and the outputs."""

    class Function:
        def __init__(self) -> None:
            self.__doc__ = UPSCALE.docstring("upscale", "Runs upscale.json.")
            self.__signature__ = UPSCALE.signature()

        def __call__(self) -> None: ...

    shown = pydoc.plain(pydoc.render_doc(Function()))
    for part in (
        "    image: ImageInput,\n",
        "    scale: float = 2.0,\n",
        "    sampler: Literal['euler', 'heun', \"it's\", 'd'] = 'euler',\n",
        "Runs upscale.json.",
        "scale: float 1…4 = 2. How much larger.",
        "image: IMAGE.",
    ):
        assert part in shown
    assert str(inspect.signature(Function())) == (
        "(*, image: 'ImageInput', scale: float = 2.0, "
        "sampler: Literal['euler', 'heun', \"it's\", 'd'] = 'euler', seed: int = 7)"
    )


def test_everything_as_json() -> None:
    """With sources and targets; an input that must be given has no default."""
    document = json.loads(json.dumps(UPSCALE.as_json()))
    first, second = document["inputs"][:2]
    assert first["targets"] == [{"node_id": "10:3", "input_name": "image"}]
    assert "default" not in first
    assert second["default"] == 2
    assert document["outputs"] == [
        {"name": "image", "type": "IMAGE", "source": "app", "node_id": "9", "label": "", "description": ""}
    ]


def no_constants(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@settings(max_examples=examples(40), deadline=None)
@given(interfaces())
def test_odd_interfaces_survive_every_form(odd: Interface) -> None:
    """Whatever names, choices, bounds and texts are: one line, valid JSON, a model that agrees, a signature."""
    shown = [each.name for each in odd.inputs.values() if not each.is_hidden]
    assert len(repr(odd).splitlines()) == 1
    assert len(str(odd).splitlines()) == 2 + max(1, len(odd.inputs)) + max(1, len(odd.outputs))
    schema = odd.json_schema()
    text = json.dumps(schema, allow_nan=False)
    assert json.loads(text, parse_constant=no_constants) == schema
    assert list(schema["properties"]) == shown
    json.dumps(odd.as_json(), allow_nan=False)

    told = odd.model("Odd").model_json_schema()
    assert told == {key: value for key, value in odd.json_schema(title="Odd").items() if key != "$schema"}

    signature = odd.signature()
    keywords = [each.name for each in signature.parameters.values() if each.kind is inspect.Parameter.KEYWORD_ONLY]
    assert keywords == [name for name in shown if can_be_keyword(name)]
    assert (len(signature.parameters) > len(keywords)) == (len(keywords) < len(shown))
    assert odd.docstring("odd").startswith("odd(")


@settings(max_examples=examples(25), deadline=None)
@given(interfaces())
def test_models_return_the_defaults(odd: Interface) -> None:
    """A model without the values that have a default gives those defaults, under the names of the interface."""
    if any(each.is_required for each in odd.shown):
        with pytest.raises(ValidationError):
            odd.model()()
        return
    values = odd.model()().model_dump(by_alias=True, warnings=False)
    assert list(values) == [each.name for each in odd.shown]
    for each in odd.shown:
        found = values[each.name]
        assert (
            found == each.default or (isinstance(found, float) and math.isnan(found)) or isinstance(found, list | dict)
        )
