"""Values placed in a prompt: what other inputs a value brings, takes away or changes."""

from __future__ import annotations

from typing import Any

from discomfort.workflow.interface.declarations import InputTarget
from discomfort.workflow.interface.placing import place_value

INNER = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {"required": {"n": ["INT", {"min": 3}]}}}]}]
DEFINITIONS: dict[str, Any] = {
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "scale", "inputs": {"required": {"by": ["FLOAT", {}], "like": ["IMAGE"]}}},
                            {
                                "key": "fixed",
                                "inputs": {
                                    "required": {
                                        "width": ["INT", {"default": 8}], "crop": [["no", "yes"]], "like": ["IMAGE"],
                                        "sub": INNER, "name": ["STRING"], "on": ["BOOLEAN"],
                                    }
                                },
                            },
                        ]
                    },
                ]
            }
        }
    }
}  # fmt: skip


def test_a_dynamic_combo_brings_its_inputs() -> None:
    """With their defaults; links to inputs that both values have stay; the same value changes nothing."""
    inputs: dict[str, Any] = {"mode": "scale", "mode.by": 2.5, "mode.like": ["9", 0], "other": 1}
    prompt = {"1": {"class_type": "Resize", "inputs": dict(inputs)}}
    place_value(prompt, [InputTarget("1", "mode")], "scale", DEFINITIONS)
    assert prompt["1"]["inputs"] == inputs
    place_value(prompt, [InputTarget("1", "mode")], "fixed", DEFINITIONS)
    assert prompt["1"]["inputs"] == {
        "mode": "fixed", "mode.width": 8, "mode.crop": "no", "mode.like": ["9", 0], "mode.sub": "a", "mode.sub.n": 0,
        "mode.name": "", "mode.on": False, "other": 1,
    }  # fmt: skip


def test_a_combo_with_written_options_has_their_number() -> None:
    """In a subgraph, too; -1 for another value."""
    made = {"choice": "red", "index": 0, "option1": "red", "option2": "blue", "option3": ""}
    prompt = {key: {"class_type": "CustomCombo", "inputs": dict(made)} for key in ("1", "5:1")}
    targets = [InputTarget(key, "choice") for key in prompt]
    place_value(prompt, targets, "blue", {})
    assert [prompt[key]["inputs"]["index"] for key in ("1", "5:1")] == [1, 1]
    place_value(prompt, targets[:1], "green", {})
    assert prompt["1"]["inputs"]["index"] == -1


def test_lists_are_wrapped_and_copied() -> None:
    """The server reads a bare list as a link; a typed wrapper keeps its type; the caller's list is not shared."""
    prompt = {"1": {"class_type": "X", "inputs": {"a": 1, "b": {"__type__": "T", "__value__": [0]}}}}
    value = [1, 2]
    place_value(prompt, [InputTarget("1", "a"), InputTarget("1", "b")], value, {})
    value.append(3)
    assert prompt["1"]["inputs"] == {"a": {"__value__": [1, 2]}, "b": {"__type__": "T", "__value__": [1, 2]}}
