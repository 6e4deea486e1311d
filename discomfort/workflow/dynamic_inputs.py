"""The inputs of a node's definition, and those that depend on values.

An input of type ``COMFY_DYNAMICCOMBO_V3`` chooses by its value which inputs follow it; one of type
``COMFY_AUTOGROW_V3`` is a row of equal inputs. (ComfyUI 0.33.0 has both in its definitions, 0.3.64 neither.) Workflows
and prompts have the inputs that result, by names with dots: ``mode``, ``mode.width``, ``images.image0``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import Any

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"
"""An input whose type only has to match that of others with the same template: always a socket."""

_MOST_GROWN = 100
_PLAIN_DEFAULTS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}


def input_specs(definition: Any) -> dict[str, Any]:
    """Return the inputs of a node class in the frontend's order: required, then optional, by ``input_order``."""
    if not isinstance(definition, Mapping):
        return {}
    return _ordered(definition.get("input"), definition.get("input_order"))


def spec_type(spec: Any) -> str:
    """Return the type of an input's declaration; both ways of writing a list of choices are ``COMBO``."""
    kind = spec[0] if isinstance(spec, list | tuple) and spec else None
    return "COMBO" if isinstance(kind, list | tuple) else str(kind)


def spec_settings(spec: Any) -> Mapping[str, Any]:
    """Return the settings of an input's declaration (``default``, ``min``, …); empty if there are none."""
    settings = spec[1] if isinstance(spec, list | tuple) and len(spec) > 1 else None
    return settings if isinstance(settings, Mapping) else {}


def widget_type(spec: Any) -> str:
    """Return the type of an input's widget: the input's own, unless the definition names another."""
    given = spec_settings(spec).get("widgetType")
    return spec_type(spec) if given is None else str(given)


def default_value(spec: Any) -> Any:
    """Return the value that an input has in a new node; ``None`` if only the frontend knows it."""
    settings, kind = spec_settings(spec), spec_type(spec)
    if "default" in settings:
        return settings["default"]
    if kind in _PLAIN_DEFAULTS:
        return _PLAIN_DEFAULTS[kind]
    if kind == DYNAMIC_COMBO:
        return next(iter(option_keys(spec)), None)
    options = spec[0] if kind == "COMBO" and isinstance(spec[0], list) else settings.get("options")
    return options[0] if kind == "COMBO" and isinstance(options, list) and options else None


def option_keys(spec: Any) -> list[str]:
    """Return the values that a dynamic combo takes."""
    return [option["key"] for option in _options(spec)]


def option_inputs(spec: Any, key: object) -> dict[str, Any] | None:
    """Return the inputs, without prefix, that a value of a dynamic combo brings; ``None`` for other values."""
    found = next((option for option in _options(spec) if option["key"] == key), None)
    return None if found is None else _ordered(found.get("inputs"), None)


def required_names(spec: Any, key: object) -> frozenset[str]:
    """Return the names, without prefix, of the inputs that a value of a dynamic combo requires."""
    found = next((option for option in _options(spec) if option["key"] == key), {})
    inputs = found.get("inputs")
    required = inputs.get("required") if isinstance(inputs, Mapping) else None
    return frozenset(required) if isinstance(required, Mapping) else frozenset()


def least_grown(spec: Any) -> int:
    """Return how many inputs a growing one needs at least."""
    template = spec_settings(spec).get("template")
    least = template.get("min") if isinstance(template, Mapping) else None
    return least if isinstance(least, int) else 0


def grown_inputs(name: str, spec: Any, present: Container[str]) -> dict[str, Any]:
    """Return the inputs of a growing one that are ``present``, and the first that is not."""
    template = spec_settings(spec).get("template")
    each = next(iter(_ordered(template.get("input"), None).values()), None) if isinstance(template, Mapping) else None
    grown: dict[str, Any] = {}
    one_more = False
    for full in islice(_grown_names(name, template), _MOST_GROWN) if each is not None else ():
        if full in present or not one_more:
            grown[full] = each
        one_more = one_more or full not in present
    return grown


def possible_names(specs: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs that a node may have with any values of its dynamic combos; rows left out."""
    found: list[str] = []
    for name, spec in specs.items():
        if spec_type(spec) == AUTOGROW:
            continue
        found.append(name)
        for key in option_keys(spec) if spec_type(spec) == DYNAMIC_COMBO else ():
            brought = option_inputs(spec, key) or {}
            found += possible_names({f"{name}.{inner}": each for inner, each in brought.items()})
    return list(dict.fromkeys(found))


def growing_inputs(specs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the growing inputs that a node has with these values, those that a dynamic combo brings included."""
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        if spec_type(spec) == AUTOGROW:
            found[name] = spec
        elif spec_type(spec) == DYNAMIC_COMBO:
            brought = option_inputs(spec, values.get(name)) or {}
            found |= growing_inputs({f"{name}.{inner}": each for inner, each in brought.items()}, values)
    return found


def growth_hint(specs: Mapping[str, Any], values: Mapping[str, Any], name: str) -> str:
    """Return what to say of an input that a node does not have, if it would be one of a growing row; else ``""``."""
    for row, spec in growing_inputs(specs, values).items():
        if name != row and not name.startswith(f"{row}."):
            continue
        free = [each for each in grown_inputs(row, spec, values) if each not in values]
        if free:
            return f"; {row!r} is a row of inputs that grows by one at a time: the next is {free[0]!r}"
        return f"; {row!r} is a row of inputs, and all that it may have are used"
    return ""


def expanded(specs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all inputs that a node has with these values; a dynamic combo without a known value brings none."""
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        kind = spec_type(spec)
        if kind == AUTOGROW:
            found |= grown_inputs(name, spec, values)
            continue
        found[name] = spec
        if kind == DYNAMIC_COMBO:
            brought = option_inputs(spec, values.get(name)) or {}
            found |= expanded({f"{name}.{inner}": each for inner, each in brought.items()}, values)
    return found


def _ordered(inputs: Any, orders: Any) -> dict[str, Any]:
    if not isinstance(inputs, Mapping):
        return {}
    specs: dict[str, Any] = {}
    for section in ("required", "optional"):
        declared = inputs.get(section)
        if not isinstance(declared, Mapping):
            continue
        order = orders.get(section) if isinstance(orders, Mapping) else None
        names = (
            [name for name in order if isinstance(name, str) and name in declared] if isinstance(order, list) else []
        )
        for name in [*names, *(name for name in declared if name not in names)]:
            specs[name] = declared[name]
    return specs


def _options(spec: Any) -> Iterator[Mapping[str, Any]]:
    options = spec_settings(spec).get("options")
    for option in options if isinstance(options, list) else ():
        if isinstance(option, Mapping) and isinstance(option.get("key"), str):
            yield option


def _grown_names(name: str, template: Any) -> Iterator[str]:
    names, prefix, most = (template.get(key) for key in ("names", "prefix", "max"))
    if isinstance(names, list):
        yield from (f"{name}.{each}" for each in names)
    elif isinstance(prefix, str):
        yield from (f"{name}.{prefix}{index}" for index in range(most if isinstance(most, int) else _MOST_GROWN))
