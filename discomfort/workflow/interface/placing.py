"""Puts the value of a parameter into a prompt, as if it had been typed in the UI.

Some widgets of the frontend change other inputs, too: the value of a dynamic combo decides which inputs follow it, and
that of a ``CustomCombo`` is also the number of its option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.dynamic_inputs import (
    DYNAMIC_COMBO,
    expanded,
    input_specs,
    option_inputs,
    option_keys,
    spec_settings,
    spec_type,
)
from discomfort.workflow.input_values import WIDGET_TYPES
from discomfort.workflow.interface.declarations import InputTarget
from discomfort.workflow.interface.parameter_facts import CUSTOM_COMBO, written_options


def place_value(prompt: JsonObject, targets: Iterable[InputTarget], value: Any, definitions: Mapping[str, Any]) -> None:
    """Set these inputs to a constant, in place; the value is copied.

    Another value of a dynamic combo brings its inputs with their defaults and takes the others away.
    """
    for target in targets:
        node = prompt[target.node_id]
        inputs: JsonObject = node["inputs"]
        name = target.input_name
        spec = expanded(input_specs(definitions.get(node["class_type"])), inputs).get(name)
        before = inputs.get(name)
        if spec is not None and spec_type(spec) == DYNAMIC_COMBO and value != before:
            _choose(inputs, name, spec, value)
        # The frontend (1.49.6) leaves the number as it is where a subgraph's node shows the combo.
        is_outside = ":" not in target.node_id
        if node["class_type"] == CUSTOM_COMBO and name == "choice" and "index" in inputs and is_outside:
            options = written_options(node)
            inputs["index"] = options.index(value) if value in options else -1
        if isinstance(before, dict) and "__type__" in before and "__value__" in before:
            inputs[name] = {**before, "__value__": copied(value)}
        else:
            # The server reads a bare list as a link.
            inputs[name] = {"__value__": copied(value)} if isinstance(value, list) else copied(value)


def closed_branch(
    prompt: JsonObject, target: InputTarget, definitions: Mapping[str, Any]
) -> tuple[InputTarget, Any] | None:
    """The dynamic combo, and its value, because of which the node does not have an input; ``None`` if it has it."""
    if "." not in target.input_name or target.node_id not in prompt:
        return None
    node = prompt[target.node_id]
    specs = expanded(input_specs(definitions.get(node["class_type"])), node["inputs"])
    if target.input_name in specs:
        return None
    outer = target.input_name
    while "." in outer:
        outer = outer.rpartition(".")[0]
        if outer in specs and spec_type(specs[outer]) == DYNAMIC_COMBO:
            return InputTarget(target.node_id, outer), node["inputs"].get(outer)
    return None


def _choose(inputs: JsonObject, name: str, spec: Any, key: Any) -> None:
    """Give a node the inputs that the value of a dynamic combo brings."""
    before = {each: inputs.pop(each) for each in list(inputs) if each.startswith(f"{name}.")}
    for inner, each in (option_inputs(spec, key) or {}).items():
        full = f"{name}.{inner}"
        for own in [own for own in before if own == full or own.startswith(f"{full}.")]:
            if spec_type(each) not in WIDGET_TYPES:
                inputs[own] = before[own]
        if spec_type(each) in WIDGET_TYPES and not spec_settings(each).get("forceInput"):
            inputs[full] = first_value(each)
            if spec_type(each) == DYNAMIC_COMBO:
                _choose(inputs, full, each, inputs[full])


def first_value(spec: Any) -> Any:
    """The value that a new widget of this declaration has."""
    settings = spec_settings(spec)
    if "default" in settings:
        return copied(settings["default"])
    kind = spec_type(spec)
    options = option_keys(spec) if kind == DYNAMIC_COMBO else spec[0] if isinstance(spec[0], list) else None
    listed = options if options is not None else settings.get("options")
    if kind in ("COMBO", DYNAMIC_COMBO):
        return listed[0] if isinstance(listed, list) and listed else None
    if kind in ("INT", "FLOAT"):
        return settings.get("min", 0)
    return False if kind == "BOOLEAN" else ""
