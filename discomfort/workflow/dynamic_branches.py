"""The inputs that another value of a dynamic combo brings to a node of a prompt, as the frontend makes them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.dynamic_inputs import (
    AUTOGROW,
    DYNAMIC_COMBO,
    default_value,
    grown_inputs,
    least_grown,
    option_inputs,
    required_names,
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
        elif is_widget(each) and (value := default_value(each)) is not None:
            inputs[full] = copied(value)
            if spec_type(each) == DYNAMIC_COMBO:
                choose_branch(inputs, full, each, value)


def sockets_without_link(spec: Any, name: str, key: Any, linked: Collection[str]) -> list[str]:
    """The inputs that a value of a dynamic combo requires, that have no widget, and that are not among ``linked``."""
    found: list[str] = []
    required = required_names(spec, key)
    for inner, each in (option_inputs(spec, key) or {}).items():
        full = f"{name}.{inner}"
        if spec_type(each) == DYNAMIC_COMBO:
            found += sockets_without_link(each, full, default_value(each), linked)
        elif spec_type(each) == AUTOGROW:
            names = list(grown_inputs(full, each, linked))[: least_grown(each)]
            found += [own for own in names if own not in linked]
        elif inner in required and not is_widget(each) and full not in linked:
            found.append(full)
    return found


def branch_inputs(spec: Any, name: str, key: Any) -> dict[str, Any]:
    """The inputs that the value ``key`` of a dynamic combo brings, with their names and those that depend on them."""
    found: dict[str, Any] = {}
    for inner, each in (option_inputs(spec, key) or {}).items():
        full = f"{name}.{inner}"
        if spec_type(each) == AUTOGROW:
            found |= grown_inputs(full, each, ())
            continue
        found[full] = each
        if spec_type(each) == DYNAMIC_COMBO:
            found |= branch_inputs(each, full, default_value(each))
    return found


def is_widget(spec: Any) -> bool:
    """Whether an input is a widget in a new node, so that it has a value without a link."""
    settings = spec_settings(spec)
    return not settings.get("forceInput") and (widget_type(spec) in WIDGET_TYPES or "default" in settings)
