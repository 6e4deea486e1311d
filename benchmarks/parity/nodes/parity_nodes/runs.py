"""Nodes that add, show, fail, report and wait."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from .base import INT, Node, check_interrupted, report


class ParityNumber(Node):
    """Passes a number on."""

    REQUIRED: ClassVar = {"value": INT}
    OPTIONAL: ClassVar = {"after": ("INT", {"default": 0})}

    def go(self, value: int, after: int = 0) -> tuple[int]:
        return (value,)


class ParityAdd(Node):
    """The sum of two numbers."""

    REQUIRED: ClassVar = {"a": INT, "b": INT}

    def go(self, a: int, b: int) -> tuple[int]:
        return (a + b,)


class ParityShow(Node):
    """Shows a number, and passes it on."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": INT}

    def go(self, value: int) -> dict[str, Any]:
        return {"ui": {"text": [f"shown {value}"]}, "result": (value,)}


class ParityFail(Node):
    """Raises."""

    KINDS: ClassVar = {"ValueError": ValueError, "KeyError": KeyError, "MemoryError": MemoryError, "Own": None}
    REQUIRED: ClassVar = {"value": INT, "kind": (list(KINDS),), "message": ("STRING", {"default": "boom"})}

    def go(self, value: int, kind: str, message: str) -> tuple[int]:
        raise (self.KINDS[kind] or OwnError)(message)


class OwnError(Exception):
    """An exception with a module."""


class ParityMemory(Node):
    """Says that a device has no memory left, in the words of one library or another."""

    REQUIRED: ClassVar = {"value": INT, "kind": (["device", "text"],)}

    def go(self, value: int, kind: str) -> Any:
        import comfy.model_management

        error = comfy.model_management.OOM_EXCEPTION if kind == "device" else RuntimeError
        raise error("CUDA out of memory")


class ParitySteps(Node):
    """Reports progress, with or without previews."""

    REQUIRED: ClassVar = {
        "value": INT,
        "steps": ("INT", {"default": 2, "min": 1, "max": 9}),
        "preview": (["none", "JPEG", "PNG"],),
        "size": ("INT", {"default": 16, "min": 1, "max": 4096}),
    }

    def go(self, value: int, steps: int, preview: str, size: int) -> tuple[int]:
        for step in range(1, steps + 1):
            check_interrupted()
            picture = Image.new("RGB", (size, size // 2 or 1), (step * 20, 40, 80))
            report(step, steps, None if preview == "none" else (preview, picture, 64))
        return (value,)


class ParityWait(Node):
    """Waits until the file ``path`` exists, at most a minute; makes ``path.entered`` before.

    Where it is deaf, no interruption ends it.
    """

    REQUIRED: ClassVar = {"value": INT, "path": ("STRING", {}), "deaf": ("BOOLEAN", {"default": False})}

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")

    def go(self, value: int, path: str, deaf: bool) -> tuple[int]:
        Path(f"{path}.entered").touch()
        deadline = time.monotonic() + 60
        while not Path(path).exists() and time.monotonic() < deadline:
            if not deaf:
                check_interrupted()
            time.sleep(0.005)
        return (value,)


class ParityWaitOut(ParityWait):
    """The same as an output."""

    OUTPUT_NODE = True


class ParityLater(Node):
    """The same, asynchronously."""

    REQUIRED: ClassVar = {"value": INT, "path": ("STRING", {}), "fail": ("BOOLEAN", {"default": False})}

    async def go(self, value: int, path: str, fail: bool) -> tuple[int]:
        deadline = time.monotonic() + 60
        while not os.path.exists(path) and time.monotonic() < deadline:  # noqa: ASYNC110, ASYNC240, PTH110 - a gate
            await asyncio.sleep(0.005)
        if fail:
            raise ValueError(f"later {value}")
        return (value,)
