"""Nodes with faults of their own, for both engines."""

from __future__ import annotations

import os
import subprocess
from typing import Any


class _Node:
    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "run"
    CATEGORY = "matrix"
    OUTPUT_NODE = True
    REQUIRED: dict[str, Any] = {}  # noqa: RUF012 - read only

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": dict(cls.REQUIRED)}

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")


class Flood(_Node):
    """Writes ``megabytes`` to the server's output, in lines."""

    REQUIRED = {"megabytes": ("INT", {"default": 1, "min": 0, "max": 1000})}  # noqa: RUF012

    def run(self, megabytes: int) -> dict[str, Any]:
        lines = (b"x" * 127 + b"\n") * 512
        for _ in range(megabytes * 16):
            os.write(1, lines)
        os.write(2, b"the flood is over\n")
        return {"ui": {"text": ["dry"]}, "result": (0,)}


class Spawn(_Node):
    """Leaves three processes: a child, one in its own session, one without a parent."""

    def run(self) -> dict[str, Any]:
        child = subprocess.Popen(["sleep", "600"])
        apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"], check=True)
        return {"ui": {"text": [str(child.pid), str(apart.pid)]}, "result": (0,)}


class Circle(_Node):
    """Turns into two nodes that wait for each other."""

    def run(self) -> dict[str, Any]:
        graph = {
            "a": {"class_type": "ContractShow", "inputs": {"value": ["b", 0]}},
            "b": {"class_type": "ContractShow", "inputs": {"value": ["a", 0]}},
        }
        return {"expand": graph, "result": (["a", 0],)}


NODE_CLASS_MAPPINGS = {f"Matrix{cls.__name__}": cls for cls in (Flood, Spawn, Circle)}
