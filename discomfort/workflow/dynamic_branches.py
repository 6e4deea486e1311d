"""The inputs that another value of a dynamic combo brings to a node of a prompt, as the frontend makes them. Pure."""

from __future__ import annotations

from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.dynamic_inputs import (
    AUTOGROW,
    DYNAMIC_COMBO,
    default_value,
    grown_inputs,
    option_inputs,
    spec_settings,
    spec_type,
    widget_type,
)
from discomfort.workflow.input_values import WIDGET_TYPES
from discomfort.workflow.json_values import is_link


def choose_branch(inputs: JsonObject, name: str, spec: Any, key: Any) -> None:
    """Give a node, in place, the inputs that the value ``key`` of the dynamic combo ``name`` brings.

    Those of the former value go, but inputs of the same name keep their links (1.49.6 and 1.58.1). Widgets have their
    defaults.
    """
    before = {each: inputs.pop(each) for each in list(inputs) if each.startswith(f"{name}.")}
    for inner, each in (option_inputs(spec, key) or {}).items():
        full = f"{name}.{inner}"
        if spec_type(each) == AUTOGROW:
            grown = grown_inputs(full, each, before)
            inputs.update({own: value for own, value in before.items() if own in grown and is_link(value)})
        elif is_link(before.get(full)):
            inputs[full] = before[full]
        elif has_default(each):
            inputs[full] = copied(default_value(each))
            if spec_type(each) == DYNAMIC_COMBO:
                choose_branch(inputs, full, each, inputs[full])


def has_default(spec: Any) -> bool:
    """Whether an input is a widget in a new node, so that it has a value without a link."""
    settings = spec_settings(spec)
    return not settings.get("forceInput") and (widget_type(spec) in WIDGET_TYPES or "default" in settings)
