"""Nodes that do a server harm; load in ComfyUI (as a file in a custom node folder) and in the emulator."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar


class _Node:
    CATEGORY = "traps"
    FUNCTION = "go"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("INT",)
    OUTPUT_NODE = True


class TrapAny(_Node):
    """Takes anything."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"value": ("*", {})}}

    def go(self, value: object) -> dict[str, Any]:
        return {"ui": {"text": [repr(value)]}, "result": (1,)}


class TrapWait(_Node):
    """Waits for a file."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"path": ("STRING", {})}}

    def go(self, path: str) -> tuple[int]:
        while not Path(path).exists():
            time.sleep(0.01)
        return (1,)


class TrapHarm(_Node):
    """Does one kind of harm while it runs."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"kind": ("STRING", {})}, "hidden": {"own": "UNIQUE_ID"}}

    def go(self, kind: str, own: str) -> Any:
        return getattr(self, f"_{kind}")(own)

    def _system_exit(self, _own: str) -> Any:
        raise SystemExit(3)

    def _keyboard_interrupt(self, _own: str) -> Any:
        raise KeyboardInterrupt

    def _no_json(self, _own: str) -> Any:
        return {"ui": {"text": [object()]}, "result": (1,)}

    def _nan(self, _own: str) -> Any:
        return {"ui": {"numbers": [float("nan")]}, "result": (1,)}

    def _own_id(self, own: str) -> Any:
        inner = {own: {"class_type": "TrapHarm", "inputs": {"kind": "own_id"}}}
        return {"result": ([own, 0],), "expand": inner}

    def _cycle(self, own: str) -> Any:
        names = (f"{own}.a", f"{own}.b")
        inner = {
            name: {"class_type": "TrapAny", "inputs": {"value": [other, 0]}} for name, other in (names, reversed(names))
        }
        return {"result": ([names[0], 0],), "expand": inner}

    def _flood(self, _own: str) -> Any:
        from server import PromptServer

        for _ in range(24):
            PromptServer.instance.send_sync("flood", {"pad": "x" * 1_000_000}, None)
        return (1,)


NODE_CLASS_MAPPINGS = {"TrapAny": TrapAny, "TrapWait": TrapWait, "TrapHarm": TrapHarm}
