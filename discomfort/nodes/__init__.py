"""The nodes of ComfyUI: ports, the two nodes that take their place in a run, and the test runner.

They live in ComfyUI's process, under any module name and on Python 3.10 or newer. So they import the standard library,
numpy and, relative to themselves, what ``context`` and ``workflow`` have for that process; what ComfyUI has, lazily.
"""

from __future__ import annotations

from ..context.exchange import LOADER, PORT, SAVER
from .context_loader import DiscomfortContextLoader
from .context_saver import DiscomfortContextSaver
from .port_node import DiscomfortPort
from .runner_node import (
    RESULT,
    ROUNDS,
    RUNNER,
    VALUE,
    DiscomfortTestRunner,
    DiscomfortTestRunnerResult,
    DiscomfortTestRunnerRounds,
    DiscomfortTestRunnerValue,
)

NODE_CLASS_MAPPINGS: dict[str, type] = {
    PORT: DiscomfortPort,
    LOADER: DiscomfortContextLoader,
    SAVER: DiscomfortContextSaver,
    RUNNER: DiscomfortTestRunner,
    ROUNDS: DiscomfortTestRunnerRounds,
    VALUE: DiscomfortTestRunnerValue,
    RESULT: DiscomfortTestRunnerResult,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    PORT: "Discomfort Port (Input/Output)",
    LOADER: "Discomfort Context Loader (Internal)",
    SAVER: "Discomfort Context Saver (Internal)",
    RUNNER: "Discomfort Test Runner",
    ROUNDS: "Discomfort Test Runner Rounds (Internal)",
    VALUE: "Discomfort Test Runner Value (Internal)",
    RESULT: "Discomfort Test Runner Result (Internal)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
