"""Facts about an input from the server's definitions: type, bounds, choices, and the kind of file that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, expanded, input_specs, spec_settings, spec_type
from discomfort.workflow.input_values import choices
from discomfort.workflow.interface.declarations import InputTarget, UploadKind
from discomfort.workflow.json_values import is_link
from discomfort.workflow.port_types import ANY, slot_type

_UPLOADS: Mapping[str, tuple[UploadKind, str]] = {
    "image_upload": ("image", "IMAGE"),
    "animated_image_upload": ("file", "IMAGE"),
    "audio_upload": ("audio", "AUDIO"),
    "video_upload": ("video", "VIDEO"),
    "file_upload": ("file", "FILE_3D"),
}
_UNMARKED: Mapping[tuple[str, str], tuple[UploadKind, str]] = {("LoadLatent", "latent"): ("file", "LATENT")}
"""Inputs that list the files of the input folder without a mark in their definition."""


CUSTOM_COMBO = "CustomCombo"
"""The class whose choices are written into the node: ``option1``, ``option2``, …, perhaps an empty one at the end."""


def written_options(node: JsonObject) -> list[Any]:
    """The choices that are written into a ``CustomCombo``; empty ones keep their place."""
    options = [value for name, value in node["inputs"].items() if name.startswith("option")]
    while options and options[-1] in ("", None):
        options.pop()
    return options


def input_spec(prompt: JsonObject, target: InputTarget, definitions: Mapping[str, Any]) -> Any:
    """The declaration of an input, with the inputs that the node has now; ``None`` if it is not known."""
    node = prompt[target.node_id]
    return expanded(input_specs(definitions.get(node["class_type"])), node["inputs"]).get(target.input_name)


def input_value(prompt: JsonObject, target: InputTarget) -> Any:
    """The constant that an input has, out of the wrapping that the frontend gives to lists; a link as it is."""
    value = prompt[target.node_id]["inputs"].get(target.input_name)
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def input_facts(prompt: JsonObject, target: InputTarget, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a ``Parameter`` for an input of the prompt; its constant is the default."""
    node = prompt[target.node_id]
    spec = input_spec(prompt, target, definitions)
    value = input_value(prompt, target)
    facts: dict[str, Any] = {"type": _type_of(spec, value)}
    if target.input_name in node["inputs"] and not is_link(node["inputs"][target.input_name]):
        facts["default"] = value
    if spec is None:
        return facts
    settings = spec_settings(spec)
    facts |= {field: settings[key] for key, field in _NUMBERS.items() if _is_number(settings.get(key))}
    tooltip = settings.get("tooltip")
    facts |= {"description": tooltip} if isinstance(tooltip, str) else {}
    facts |= {"is_multiline": True} if settings.get("multiline") else {}
    upload = _upload(node["class_type"], target.input_name, spec, definitions)
    if upload is not None:
        return facts | {"upload": upload[0], "type": upload[1]}
    allowed = written_options(node) if node["class_type"] == CUSTOM_COMBO else choices(spec)
    return facts if allowed is None else facts | {"choices": tuple(allowed)}


_NUMBERS = {"min": "minimum", "max": "maximum", "step": "step"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type_of(spec: Any, value: object) -> str:
    if spec is not None:
        kind = spec_type(spec)
        return "COMBO" if kind == DYNAMIC_COMBO else slot_type(kind)
    if isinstance(value, bool):
        return "BOOLEAN"
    return {int: "INT", float: "FLOAT", str: "STRING"}.get(type(value), ANY)


def _upload(class_type: str, name: str, spec: Any, definitions: Mapping[str, Any]) -> tuple[UploadKind, str] | None:
    """How a file is given that the input names, and the type of its content."""
    settings = spec_settings(spec)
    found = next((about for key, about in _UPLOADS.items() if settings.get(key)), _UNMARKED.get((class_type, name)))
    outputs = definitions[class_type].get("output")
    first = outputs[0] if isinstance(outputs, list) and outputs else None
    return ("mask", "MASK") if found == ("image", "IMAGE") and first == "MASK" else found
