"""Common parts of the nodes: how they report and are interrupted on either server, and their form."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

if "comfyui_emulator" in sys.modules:
    from comfyui_emulator import runtime
    from comfyui_emulator.runtime import ExecutionBlocker, GraphBuilder

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        runtime.check_interrupted()

    def report(step: int, steps: int, preview: tuple[str, Any, int] | None) -> None:
        """Report a step, with a preview image where there is one."""
        runtime.progress(step, steps, preview=None if preview is None else runtime.PreviewImage(*preview))

else:
    import comfy.model_management
    import comfy.utils
    from comfy_execution.graph_utils import ExecutionBlocker, GraphBuilder

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()

    def report(step: int, steps: int, preview: tuple[str, Any, int] | None) -> None:
        """Report a step, with a preview image where there is one."""
        comfy.utils.ProgressBar(steps).update_absolute(step, steps, preview)


__all__ = ["INT", "ExecutionBlocker", "GraphBuilder", "Node", "check_interrupted", "mappings", "report"]


class Node:
    """A node of the older schema, which returns a number."""

    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "go"
    CATEGORY = "parity"
    REQUIRED: ClassVar[dict[str, Any]] = {}
    OPTIONAL: ClassVar[dict[str, Any]] = {}
    HIDDEN: ClassVar[dict[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": dict(cls.REQUIRED), "optional": dict(cls.OPTIONAL), "hidden": dict(cls.HIDDEN)}


INT = ("INT", {"default": 0, "min": -1000, "max": 1000})


def mappings(*modules: ModuleType) -> dict[str, type]:
    """The nodes of these modules by name."""
    return {name: cls for each in modules for name, cls in vars(each).items() if name.startswith("Parity")}
