"""References: closed, unchangeable JSON; ids made of content, by which they merge."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.exceptions import PayloadError, PortError, WorkflowCycleError
from discomfort.workflow.compilation import compiled
from discomfort.workflow.json_values import is_link
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.references import Reference, is_reference, with_content_ids


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def port(unique_id: str, **inputs: Any) -> dict[str, Any]:
    return node("DiscomfortPort", unique_id=unique_id, **inputs)


LOAD: dict[str, Any] = {
    "4": {**node("Load", name="a"), "_meta": {"title": "The loader"}},
    "7": node("Lora", model=["4", 0], clip=["4", 1], strength=0.5),
    "9": node("Save", images=["7", 0]),
}


def made() -> Reference:
    return Reference(LOAD, ("7", 1), unique_id="clip", type="CLIP", blobs=["b1"])


def test_it_holds_what_the_output_needs() -> None:
    """And nothing of what comes after it."""
    reference = made()

    assert reference["prompt"].keys() == {"4", "7"}
    assert (reference.type, reference.unique_id, reference.blobs) == ("CLIP", "clip", ("b1",))
    assert (reference.recipe.output, reference.recipe.type) == (("7", 1), "CLIP")
    assert repr(reference) == "<Reference 'clip' (CLIP): 2 nodes>"


@pytest.mark.parametrize(
    "travel",
    [
        lambda value: json.loads(json.dumps(value)), lambda value: orjson.loads(orjson.dumps(value)), dict,
        copy.deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value)),
    ],
)  # fmt: skip
def test_it_travels(travel: Callable[[Any], Any]) -> None:
    """As JSON, as a plain object, pickled and copied."""
    found = Reference.read(travel(made()))

    assert found == made()
    assert is_reference(found)


def test_it_cannot_be_changed() -> None:
    """Neither itself nor what is read from it; nor by whoever made it."""
    prompt = copy.deepcopy(LOAD)
    reference = Reference(prompt, ("7", 0))
    before = json.dumps(reference)
    prompt["4"]["inputs"]["name"] = "changed"
    reference["prompt"]["4"]["inputs"].clear()
    reference.get("prompt").clear()
    for value in reference.values():
        if isinstance(value, dict):
            value.clear()
    dict(reference.items())["output"].clear()
    reference.recipe.nodes["4"]["inputs"].clear()  # type: ignore[attr-defined]
    dict(reference)["prompt"].clear()
    reference.copy()["prompt"].clear()
    for name, arguments in (
        ("update", [{"a": 1}]), ("clear", []), ("pop", ["type"]), ("popitem", []), ("setdefault", ["a", 1]),
        ("__setitem__", ["a", 1]), ("__delitem__", ["type"]), ("__ior__", [{"a": 1}]),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="cannot be changed"):
            getattr(reference, name)(*arguments)

    assert json.dumps(reference) == before


BAD: list[tuple[dict[str, Any], tuple[str, int], type[Exception]]] = [
    ({}, ("1", 0), PayloadError),
    ({"nodes": [{"id": 1, "type": "A"}], "links": []}, ("1", 0), PayloadError),
    ({"1": node("A")}, ("2", 0), PortError),
    ({"1": node("A", x=["3", 0])}, ("1", 0), PortError),
    ({"1": port("x"), "2": node("A", x=["1", 0])}, ("2", 0), PortError),
    ({"1": node("A", x=["2", 0]), "2": node("A", x=["1", 0])}, ("2", 0), WorkflowCycleError),
    ({"1": node("A", x=object())}, ("1", 0), PayloadError),
]


@pytest.mark.parametrize(("prompt", "output", "error"), BAD)
def test_what_does_not_make_the_value(prompt: dict[str, Any], output: tuple[str, int], error: type[Exception]) -> None:
    """A typed error, which is a ValueError."""
    with pytest.raises(error) as caught:
        Reference(prompt, output)

    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "value", [None, {}, {"discomfort_reference": 2}, {"discomfort_reference": 1, "prompt": {}},
              {**json.loads(json.dumps(made())), "output": 5}],
)  # fmt: skip
def test_what_is_not_a_reference(value: Any) -> None:
    """Is refused, with what was found."""
    with pytest.raises(PayloadError, match="reference"):
        Reference.read(value)


def test_content_ids_are_stable() -> None:
    """The same for the same content; different for other constants, for another workflow, and for a twin."""
    twin = {**LOAD, "5": copy.deepcopy(LOAD["4"])}
    one, names = with_content_ids(LOAD, [("7", 0)], "w")
    again, _ = with_content_ids({key: copy.deepcopy(LOAD[key]) for key in reversed(LOAD)}, [("7", 1)], "w")
    changed, _ = with_content_ids({**LOAD, "4": node("Load", name="b")}, [("7", 0)], "w")
    elsewhere, _ = with_content_ids(LOAD, [("7", 0)], "v")
    _, both = with_content_ids(twin, [("7", 0), ("5", 0)], "w")

    assert one == again
    assert one["9"]["inputs"] == {"images": [names["7"], 0]}
    assert one.keys() & changed.keys() == one.keys() & elsewhere.keys() == {"9"}
    assert both["4"] == names["4"] != both["5"]
    assert one[names["4"]]["_meta"] == {"title": "The loader", "origin": {"workflow": "w", "node_id": "4"}}


def test_model_and_clip_of_one_loader_share_it() -> None:
    """Merged into a prompt there is one loader. D7."""
    renamed, names = with_content_ids(LOAD, [("4", 0), ("7", 0)], "w")
    model, clip = (Reference(renamed, (names[key], slot)) for key, slot in (("7", 0), ("4", 1)))
    prompt = {"1": port("model"), "2": port("clip"), "3": node("Sample", model=["1", 0], clip=["2", 0])}
    merged = compiled(prompt, prompt_ports(prompt), {"model": model.recipe, "clip": clip.recipe}, {})

    assert sorted(each["class_type"] for each in merged.values()) == ["Load", "Lora", "Sample"]
    # The prompt that makes the next reference keeps the ids of those that it used.
    following, _ = with_content_ids(merged, [("3", 0)], "u", fixed={*model["prompt"], *clip["prompt"]})
    assert set(names.values()) <= following.keys()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_renaming_changes_nothing_else(data: st.DataObject) -> None:
    """Random graphs mean the same afterwards, and two runs of the naming agree."""
    prompt: dict[str, Any] = {}
    for number in range(data.draw(st.integers(1, 8))):
        inputs = {"mark": data.draw(st.sampled_from([1, 1.5, "x", None, {"b": [1], "a": 2}]))}
        for name in ("x", "y"):
            if prompt and data.draw(st.booleans()):
                inputs[name] = [data.draw(st.sampled_from(sorted(prompt))), data.draw(st.integers(0, 1))]
        prompt[str(number)] = node("F", **inputs)
    output = (data.draw(st.sampled_from(sorted(prompt))), 0)
    renamed, names = with_content_ids(prompt, [output], "w")

    assert len(renamed) == len(prompt)
    for node_id in prompt:
        assert value(renamed, names.get(node_id, node_id)) == value(prompt, node_id)
    assert with_content_ids(prompt, [output], "w") == (renamed, names)
    assert Reference(renamed, (names[output[0]], 0))["prompt"].keys() == set(names.values())


def value(prompt: dict[str, Any], node_id: str) -> Any:
    inputs = prompt[node_id]["inputs"]
    return {name: (value(prompt, each[0]), each[1]) if is_link(each) else each for name, each in inputs.items()}
