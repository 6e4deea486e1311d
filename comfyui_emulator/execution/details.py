"""Builds the parts of ``execution_error`` that describe a failure. Pure."""

from __future__ import annotations

import traceback
from typing import Any

from comfyui_emulator.execution.calls import Inputs
from comfyui_emulator.execution.graph import DependencyCycleError
from comfyui_emulator.execution.validation import exception_name
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.runtime import DeviceMemoryError

_MEMORY_TIP = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."
)


def describe(value: Any) -> Any:
    """An input's value for an error: plain constants unchanged, anything else as text."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def failure_details(error: BaseException, inputs: Inputs, nodes: list[str]) -> JsonObject:
    """The part of ``execution_error`` that describes the exception; ``nodes`` are all nodes of the run."""
    if isinstance(error, DependencyCycleError):
        # ComfyUI finds these before it begins a node, and words them without the rest.
        return {
            "exception_message": str(error),
            "exception_type": "graph.DependencyCycleError",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": nodes,
        }
    return {
        "exception_message": f"{error}\n{_MEMORY_TIP if isinstance(error, DeviceMemoryError) else ''}",
        "exception_type": exception_name(error),
        "traceback": traceback.format_tb(error.__traceback__),
        "current_inputs": {name: [describe(value) for value in values] for name, values in inputs.items()},
        "current_outputs": nodes,
    }


def blocked_details(message: str) -> JsonObject:
    """The same part for a blocked output, which has no exception."""
    return {
        "exception_message": f"Execution Blocked: {message}",
        "exception_type": "ExecutionBlocked",
        "traceback": [],
        "current_inputs": [],
        "current_outputs": [],
    }
