"""A node for benchmarks of pools: it writes down that it ran. Loaded by servers; imports nothing of the library."""

from __future__ import annotations

import os
import time
from typing import Any


class Tally:
    """Adds a line with ``number`` and the process to a file, in one write, then takes ``seconds``."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "benchmarks"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Its inputs."""
        return {
            "required": {
                "path": ("STRING", {"default": ""}),
                "number": ("INT", {"default": 0, "min": 0, "max": 10**9}),
                "seconds": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 60.0}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802 - ComfyUI's name
        """Always: it has to run each time."""
        return float("nan")

    def run(self, path: str, number: int, seconds: float) -> dict[str, Any]:
        """Write, wait, and show the number."""
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{number} {os.getpid()}\n".encode())
        finally:
            os.close(descriptor)
        time.sleep(seconds)
        return {"ui": {"text": [str(number)]}}


NODE_CLASS_MAPPINGS = {"BenchmarkTally": Tally}
