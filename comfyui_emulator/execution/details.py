"""Builds the parts of ``execution_error`` that describe a failure. Pure."""

from __future__ import annotations

import traceback
from typing import Any

from comfyui_emulator.execution.calls import Inputs
from comfyui_emulator.execution.validation import exception_name
from comfyui_emulator.registry import JsonObject


def describe(value: Any) -> Any:
    """An input's value for an error: plain constants unchanged, anything else as text."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def failure_details(error: BaseException, inputs: Inputs, nodes: list[str]) -> JsonObject:
    """The part of ``execution_error`` that describes the exception; ``nodes`` are all nodes of the run."""
    return {
        "exception_message": f"{error}\n",
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
