"""Nodes for an emulator under test, loaded by ``--extra-nodes``."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from comfyui_emulator import runtime


class Forever:
    """Reports one step and then runs until it is interrupted."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "test"
    OUTPUT_NODE = True
    INPUT: ClassVar[dict[str, Any]] = {"required": {"seed": ("INT", {"default": 0})}}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the protocol of nodes
        """One input."""
        return cls.INPUT

    def run(self, seed: int) -> tuple[int]:
        """Never returns by itself; its deadline is the test's own."""
        runtime.progress(1, 2)
        while True:
            runtime.check_interrupted()
            time.sleep(0.01)


class Paid:
    """A partner node: it tells whether it got a key."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "test"
    OUTPUT_NODE = True
    API_NODE = True
    INPUT: ClassVar[dict[str, Any]] = {
        "required": {"seed": ("INT", {"default": 0})},
        "hidden": {"api_key": "API_KEY_COMFY_ORG"},
    }

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the protocol of nodes
        """One input, and the key."""
        return cls.INPUT

    def run(self, seed: int, api_key: str | None = None) -> dict[str, Any]:
        """A text."""
        return {"ui": {"text": [f"{seed} {'with' if api_key else 'without'} a key"]}}


NODE_CLASS_MAPPINGS = {"Forever": Forever, "Paid": Paid}
