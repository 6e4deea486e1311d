"""JSON Schema (draft 2020-12) of the inputs, as OpenAPI 3.1 and MCP take it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from discomfort._json import JsonObject
from discomfort.workflow.interface.annotations import file_alias, number_bounds, scalar_types
from discomfort.workflow.interface.declarations import NO_DEFAULT, Parameter

FileForm = Literal["path", "base64"]
"""How JSON gives a file: its path, or the name of a file that the server has; or its bytes in base64."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_MEDIA = {"ImageInput": "image/png", "ImagesInput": "image/png", "AudioInput": "audio/flac", "VideoInput": "video/mp4"}


def schema_of_inputs(parameters: Iterable[Parameter], files: FileForm = "path", *, title: str = "") -> JsonObject:
    """An object with a property for each parameter, and no others."""
    known = list(parameters)
    schema: JsonObject = {"$schema": DIALECT, "type": "object"}
    if title:
        schema["title"] = title
    schema["properties"] = {each.name: schema_of_parameter(each, files) for each in known}
    schema["required"] = [each.name for each in known if each.is_required]
    schema["additionalProperties"] = False
    return schema


def schema_of_parameter(parameter: Parameter, files: FileForm = "path") -> JsonObject:
    """Type, bounds, choices, default and texts. ``x-comfyui-type`` is there where JSON has no such type."""
    schema = _type_schema(parameter, files)
    if parameter.label and parameter.label != parameter.name:
        schema["title"] = parameter.label
    if parameter.description:
        schema["description"] = parameter.description
    if parameter.default is not NO_DEFAULT and is_json(parameter.default):
        schema["default"] = parameter.default
    return schema


def is_json(value: Any) -> bool:
    """Whether the value can be written as JSON: no NaN, no infinity, at any depth."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    return value is None or isinstance(value, str | int)


def _type_schema(parameter: Parameter, files: FileForm) -> JsonObject:
    alias = file_alias(parameter)
    if alias is not None:
        return _file_schema(alias, parameter.type, files)
    choices = [choice for choice in parameter.choices or () if is_json(choice)]
    if choices:
        return {"enum": choices}
    kinds = scalar_types(parameter)
    if not kinds:
        return {"x-comfyui-type": parameter.type}
    names = [_JSON_TYPES[kind] for kind in kinds]
    schema: JsonObject = {"type": names[0] if len(names) == 1 else names}
    # A step is how far the arrows of the UI move. No server checks it, so it is not a `multipleOf`.
    low, high = number_bounds(parameter)
    return schema | {key: bound for key, bound in (("minimum", low), ("maximum", high)) if bound is not None}


def _file_schema(alias: str, comfyui_type: str, files: FileForm) -> JsonObject:
    schema: JsonObject = {"type": "string"}
    if files == "base64":
        schema |= {"contentEncoding": "base64", "contentMediaType": _MEDIA.get(alias, "application/octet-stream")}
    else:
        schema["format"] = "path"
    return schema | {"x-comfyui-type": comfyui_type}
