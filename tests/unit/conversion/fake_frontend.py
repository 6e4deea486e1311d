"""A frontend in a few lines, with widgets that misbehave on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from discomfort.conversion.environment import Environment

NAMES = {"Sampler": ("seed", "steps", "cfg", "name", "tiled"), "Text": ("text",), "Load": ("file",), "Note": ()}
"""Names of each class's widgets, in order; a note's value arrives nowhere."""

DEFINITIONS: dict[str, Any] = {
    "Sampler": {
        "input": {
            "required": {
                "seed": ["INT", {"min": 0, "max": 2**64 - 1}],
                "steps": ["INT", {"min": 0, "max": 10000, "step": 8}],
                "cfg": ["FLOAT", {"min": 0.0, "max": 100.0}],
                "name": [["euler", "heun", "ddim", "lms"], {}],
                "tiled": ["BOOLEAN", {}],
            }
        }
    },
    "Text": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}},
    "Load": {"input": {"required": {"file": [["a.safetensors"], {}]}}},
}


def environment(*, foreign: bool = False) -> Environment:
    """What the server offers; with ``foreign`` a pack's script runs in the page."""
    return Environment.of({"/extensions/p.js": b""} if foreign else {}, json.dumps(DEFINITIONS).encode())


def workflow(**values: Any) -> str:
    """A sampler, a text, a file and a note, as JSON."""
    sampler = [values.get("seed", 77), values.get("steps", 20), values.get("cfg", 7.5), values.get("name", "euler")]
    nodes = [
        {"id": 1, "type": "Sampler", "widgets_values": [*sampler, values.get("tiled", True)]},
        {"id": 2, "type": "Text", "widgets_values": [values.get("text", "a fox")]},
        {"id": 3, "type": "Load", "widgets_values": [values.get("file", "gone.safetensors")]},
        {"id": 4, "type": "Note", "widgets_values": [values.get("note", "remember")]},
    ]
    return json.dumps({"nodes": nodes})


class FakeFrontEnd:
    """Converts; ``quirk`` may change the prompt, given also the values by class and input."""

    def __init__(self, quirk: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None) -> None:
        self.quirk = quirk
        self.conversions = 0
        self.unsteady = False

    async def convert(self, text: str, *, steady: bool = False) -> dict[str, Any] | None:
        """The prompt; ``None`` where the quirk throws, or where ``unsteady`` is set and ``steady`` is asked for."""
        self.conversions += 1
        if steady and self.unsteady:
            return None
        prompt: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for node in json.loads(text)["nodes"]:
            inputs = dict(zip(NAMES[node["type"]], node["widgets_values"], strict=False))
            values |= inputs or {"note": node["widgets_values"][0]}
            if inputs:
                prompt[str(node["id"])] = {
                    "inputs": inputs | {"model": ["3", 0]},
                    "class_type": node["type"],
                    "_meta": {"title": node["type"]},
                }
        if self.quirk is not None:
            try:
                self.quirk(prompt, values)
            except ArithmeticError:
                return None
        made: dict[str, Any] = json.loads(json.dumps(prompt), parse_int=lambda digits: _double(int(digits)))
        return made


def _double(number: int) -> int | float:
    from discomfort.workflow.javascript import through_javascript

    value = through_javascript(number)
    return value if isinstance(value, int | float) else 0
