"""Puts the value of a parameter into a prompt, as if it had been typed in the UI.

Some widgets of the frontend change other inputs, too: the value of a dynamic combo decides which inputs follow it, and
that of a ``CustomCombo`` is also the number of its option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.dynamic_branches import choose_branch
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, expanded, input_specs, spec_type
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
            choose_branch(inputs, name, spec, value)
        # As in frontend 1.58.1. 1.49.6 leaves the number of another option where a subgraph's node shows the combo.
        if node["class_type"] == CUSTOM_COMBO and name == "choice" and "index" in inputs:
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
