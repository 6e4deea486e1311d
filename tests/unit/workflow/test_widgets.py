"""Finds a widget's place in a saved node, or declines to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from discomfort.workflow import iterate
from discomfort.workflow.dynamic_inputs import input_specs, spec_type
from discomfort.workflow.json_values import is_link
from discomfort.workflow.widgets import locate


def _sampler(*values: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "type": "Sampler", "widgets_values": list(values), **more}


def test_places_follow_the_definition(definitions: dict[str, Any]) -> None:
    """The control after a seed has a place of its own; sockets have none."""
    node = _sampler(5, "randomize", 2.5, "euler", "x", True, "fast", inputs=[{"name": "image", "link": 1}])

    assert locate(node, definitions["Sampler"]).positions == {
        "seed": 0,
        "cfg": 2,
        "sampler": 3,
        "text": 4,
        "flag": 5,
        "mode": 6,
    }


def test_short_lists_map_what_they_have(definitions: dict[str, Any]) -> None:
    """The frontend fills widgets from the front; those without a saved value have no place."""
    node = _sampler(5, "fixed", 2.5, inputs=[{"name": "image"}, {"name": "mask"}])

    assert locate(node, definitions["Sampler"]).positions == {"seed": 0, "cfg": 2}


@pytest.mark.parametrize("values", [[], None, [5, "fixed", 2.5]])
def test_absent_values_have_places_and_defaults(values: list[Any] | None, definitions: dict[str, Any]) -> None:
    """They follow the saved ones, with the values of a new node."""
    node = {"type": "Sampler", "widgets_values": values, "inputs": [{"name": "image"}, {"name": "mask"}]}

    located = locate(node, definitions["Sampler"])

    assert {**located.positions, **located.absent} == {
        "seed": 0,
        "cfg": 2,
        "sampler": 3,
        "text": 4,
        "flag": 5,
        "mode": 6,
    }
    assert located.defaults == (0, "randomize", 0, "euler", "", False, "fast")
    assert (not located.positions) is (not values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([5, 2.5, "euler", "x", True, "fast"], "control after generate"),
        ([5, "fixed", "euler", "x", True, "fast"], "input 'cfg'"),
        ([5, "fixed", 2.5, "euler", "x", "fast"], "input 'flag'"),
        ([5, "fixed", 2.5, "euler", 7, True, "fast"], "input 'text'"),
        ([5, "fixed", 2.5, True, "x", True, "fast"], "input 'sampler'"),
        ([5, "fixed", 2.5, "euler", "x", True, "fast", 1, 2], "9 saved widget values"),
    ],
)
def test_what_does_not_fit_is_declined_with_a_reason(
    values: list[Any] | None, reason: str, definitions: dict[str, Any]
) -> None:
    """If values have the wrong type or are too many, nothing is mapped."""
    node = {"type": "Sampler", "widgets_values": values, "inputs": [{"name": "image"}, {"name": "mask"}]}

    located = locate(node, definitions["Sampler"])

    assert located.positions == {}
    assert reason in located.reason


def test_other_saved_widgets_than_the_class_has_are_declined(definitions: dict[str, Any]) -> None:
    """A missing or reordered widget means that the node was saved with another version of its class."""
    for names in (["gone"], ["cfg", "seed"]):
        inputs = [{"name": name, "widget": {"name": name}} for name in names]
        node = _sampler(
            5, "fixed", 2.5, "euler", "x", True, "fast", inputs=[*inputs, {"name": "image"}, {"name": "mask"}]
        )

        assert "other widgets" in locate(node, definitions["Sampler"]).reason


def test_upload_buttons_may_follow(definitions: dict[str, Any]) -> None:
    """A file picker's button has a value of its own at the end; any further value is declined."""
    picker = definitions["Load"]

    assert locate({"type": "Load", "widgets_values": ["a.png", "image"]}, picker).positions == {"image": 0}
    assert locate({"type": "Load", "widgets_values": ["a.png"]}, picker).positions == {"image": 0}
    assert locate({"type": "Load", "widgets_values": ["a.png", 1, 2, 3]}, picker).positions == {}


def test_places_end_before_a_widget_of_an_extension(definitions: dict[str, Any]) -> None:
    """An input that is neither socket nor known widget has an unknown number of values: later ones are not mapped."""
    node = {"type": "Odd", "widgets_values": [1, "#fff", 2]}
    with_socket = {"type": "Odd", "widgets_values": [1, 2], "inputs": [{"name": "paint", "type": "PAINT"}]}

    assert locate(node, definitions["Odd"]).positions == {"first": 0}
    assert locate(with_socket, definitions["Odd"]).positions == {"first": 0, "last": 1}


def test_objects_and_primitives_speak_for_themselves() -> None:
    """Values saved by name need no order; a primitive's value is the first."""
    assert locate({"type": "X", "widgets_values": {"a": 1}}, None).positions == {"a": "a"}
    assert locate({"type": "PrimitiveNode", "widgets_values": [1, "fixed"]}, None).positions == {"value": 0}
    assert locate({"type": "PrimitiveNode"}, None).positions == {}


def test_without_a_definition_names_must_be_complete() -> None:
    """Newer frontends name every widget among the sockets, which suffices if the number of values agrees."""
    inputs = [{"name": name, "widget": {"name": name}} for name in ("seed", "steps")]

    assert locate({"type": "X", "inputs": inputs, "widgets_values": [1, "fixed", 3]}, None).positions == {
        "seed": 0,
        "steps": 2,
    }
    assert locate({"type": "X", "inputs": inputs, "widgets_values": [1, 3]}, None).positions == {"seed": 0, "steps": 1}
    assert locate({"type": "X", "inputs": inputs, "widgets_values": [1, 2, 3]}, None).positions == {}
    assert locate({"type": "X", "widgets_values": [1]}, None).positions == {}


@pytest.mark.parametrize(
    ("settings", "kind", "count"),
    [
        ({}, "INT", 2),
        ({"control_after_generate": False}, "INT", 1),
        ({"control_after_generate": True, "options": ["a"]}, "COMBO", 3),
        ({"forceInput": True}, "INT", 0),
    ],
)
def test_companions_are_counted(settings: dict[str, Any], kind: str, count: int) -> None:
    """A seed has a control unless disabled, a controlled list two companions, a forced socket no place."""
    definition = {"input": {"required": {"seed": [kind, settings], "end": ["STRING", {}]}}}
    values: list[Any] = [{"INT": 1, "COMBO": "a"}[kind], *["fixed"] * 2][:count]

    assert locate({"type": "X", "widgets_values": [*values, "z"]}, definition).positions["end"] == count


def test_damaged_definitions_give_no_inputs() -> None:
    """Reading the inputs of a malformed definition does not raise."""
    for damaged in (None, [], {}, {"input": 3}, {"input": {"required": []}}, {"input": {}, "input_order": 3}):
        assert input_specs(damaged) == {}
    assert spec_type(None) == "None"


def test_no_place_is_wrong_in_the_saved_workflows(
    shared_data: Path, real_definitions: dict[str, Any], record_property: Any
) -> None:
    """In 73 saved workflows every mapped value equals the one in the real frontend's prompt."""
    counts: Counter[str] = Counter()
    wrong = []
    for path in sorted((shared_data / "conversion" / "workflows").glob("*.json")):
        workflow = json.loads(path.read_text("utf-8"))
        prompt = json.loads((shared_data / "conversion" / "prompts" / path.name).read_text("utf-8"))
        for found in iterate(workflow):
            inputs = prompt.get(found.id, {}).get("inputs", {})
            positions = locate(found.node, real_definitions.get(found.type)).positions
            for name, value in inputs.items():
                if is_link(value):
                    continue
                if name not in positions:
                    counts["declined"] += 1
                elif found.node["widgets_values"][positions[name]] == value:
                    counts["equal"] += 1
                else:
                    wrong.append((path.name, found.id, name))
    record_property("counts", dict(counts))

    assert wrong == []
    assert counts["equal"] >= 1384
    assert counts["declined"] <= 48
