"""Nodes that read and write JSON, and save texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, branching, choice, integer, link, node, text
from comfyui_emulator.registry import JsonObject

_STRING: dict[str, Any] = {"module": "comfy_extras.nodes_string", "category": "text", "v3": True}
_INDENT = {"indent": integer(2, 0, 8)}
_LINE = text(default="", multiline=False)
_LINES = text(default="", multiline=True)


@node(
    "JsonExtractString",
    {"json_string": text(multiline=True), "key": text(multiline=False)},
    "STRING",
    title="Extract Text from JSON",
    **_STRING,
)
def extract(json_string: str, key: str) -> str:
    """The value of a key of a JSON object, in Python's spelling. Empty for ``null``, and if it is not an object."""
    try:
        found = json.loads(json_string)
    except (json.JSONDecodeError, TypeError):
        return ""
    value = found.get(key) if isinstance(found, dict) else None
    return "" if value is None else str(value)


def _written(value: Any, indent: int) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent or None)


@node(
    "ConvertDictionaryToString",
    {"dictionary": link("DICT"), **_INDENT},
    "STRING",
    title="Convert Dictionary to String",
    **_STRING,
)
def from_dictionary(dictionary: Any, indent: int = 2) -> str:
    """The value as JSON; without indent in one line."""
    return _written(dictionary, indent)


@node("ConvertArrayToString", {"array": link("ARRAY"), **_INDENT}, "STRING", title="Convert Array to String", **_STRING)
def from_array(array: Any, indent: int = 2) -> str:
    """The value as JSON; without indent in one line."""
    return _written(array, indent)


@node(
    "BuildJsonPromptIdeogram",
    {
        "element": link("ARRAY"),
        "high_level_description": _LINES,
        "background": _LINES,
        "style": branching({"none": {}, "photo": {"photo": _LINE}, "art_style": {"art_style": _LINE}}),
        "aesthetics": _LINE,
        "lighting": _LINE,
        "medium": _LINE,
        "color_palette": ["COLORS", {"default": [], "socketless": False}],
    },
    "DICT",
    names="prompt",
    module="comfy_extras.nodes_json_prompt",
    category="text",
    title="Build JSON Prompt (Ideogram)",
    v3=True,
    EXPERIMENTAL=True,
)
def build_prompt(
    element: Any,
    style: Any,
    high_level_description: str = "",
    background: str = "",
    aesthetics: str = "",
    lighting: str = "",
    medium: str = "",
    color_palette: Any = None,
) -> tuple[JsonObject]:
    """The description of a picture as a dictionary, whose keys are in the order that the model was trained with."""
    built: JsonObject = {}
    if high_level_description.strip():
        built["high_level_description"] = high_level_description
    chosen = style if isinstance(style, dict) else {}
    kind = chosen.get("style", "none")
    if kind != "none":
        looks = {"aesthetics": aesthetics, "lighting": lighting}
        if kind == "photo":
            looks |= {"photo": chosen.get("photo", ""), "medium": medium}
        else:
            looks |= {"medium": medium, "art_style": chosen.get("art_style", "")}
        palette = _palette(color_palette or [])
        built["style_description"] = looks | ({"color_palette": palette} if palette else {})
    parts = element if isinstance(element, list) else []
    built["compositional_deconstruction"] = {"background": background, "elements": parts}
    return (built,)


def _palette(colors: Any) -> list[str]:
    each = colors.values() if isinstance(colors, dict) else colors
    return [color.upper() for color in each if isinstance(color, str) and color]


_FORMATS = ["txt", "csv", "md", "json"]


@node(
    "SaveText",
    {
        "text": text(forceInput=True, multiline=False),
        "filename_prefix": text(default="ComfyUI", multiline=False),
        "format": choice(_FORMATS, default="txt"),
    },
    "STRING",
    names="text",
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_text",
    category="text",
    title="Save Text",
    v3=True,
    OUTPUT_NODE=True,
)
def save_text(text: str, filename_prefix: str, format: str, **_hidden: Any) -> JsonObject:  # noqa: A002 - an input
    """Write the text into a file, JSON with new indents if it is valid; return it, and show it."""
    if format not in _FORMATS:
        raise ValueError(f"Unsupported text format: {format!r}")
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, 1, 1)
    name = f"{stem}_{counter:05}.{format}"
    content = text
    if format == "json":
        try:
            content = _written(json.loads(text), 2)
        except json.JSONDecodeError:
            content = text
    with Path(target, name).open("w", encoding="utf-8") as file:
        file.write(content)
    return {
        "ui": {"text": (text,), "files": [{"filename": name, "subfolder": subfolder, "type": "output"}]},
        "result": (text,),
    }
