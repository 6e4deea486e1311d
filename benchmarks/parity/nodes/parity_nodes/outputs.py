"""Nodes that return what they should and should not, and show it."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from .base import INT, ExecutionBlocker, Node


class ParityReturns(Node):
    """Gives back what a node should and should not."""

    RETURN_TYPES = ("INT", "INT")
    REQUIRED: ClassVar = {
        "value": INT,
        "form": (["pair", "short", "long", "none", "list", "dict", "text", "number", "ui only", "blocker", "empty"],),
    }
    OUTPUT_NODE = True

    def go(self, value: int, form: str) -> Any:
        return {
            "pair": (value, value + 1),
            "short": (value,),
            "long": (value, value, value),
            "none": None,
            "list": [value, value],
            "dict": {"result": (value, value)},
            "text": "ab",
            "number": value,
            "ui only": {"ui": {"text": ["only"]}},
            "blocker": ExecutionBlocker("all of it"),
            "empty": {},
        }[form]


class ParityAside(Node):
    """Shows a number without being an output."""

    REQUIRED: ClassVar = {"value": INT}

    def go(self, value: int) -> dict[str, Any]:
        return {"ui": {"text": [f"aside {value}"]}, "result": (value,)}


class ParityKept(ParityAside):
    """The same, and its class asks for it to be shown again."""

    HAS_INTERMEDIATE_OUTPUT = True


class ParityUi(Node):
    """Shows what it is told, whatever that is."""

    OUTPUT_NODE = True
    RETURN_TYPES = ()
    REQUIRED: ClassVar = {"ui": ("STRING", {"default": "{}"})}

    def go(self, ui: str) -> dict[str, Any]:
        return {"ui": json.loads(ui)}
