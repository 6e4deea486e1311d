"""A stand-in for RunPod's package: runs the jobs of ``jobs.json`` as its worker does, and writes ``results.json``."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


class serverless:  # noqa: N801 - a module of the package
    """The part that handlers use."""

    progress: list[dict[str, Any]]

    @classmethod
    def start(cls, config: dict[str, Callable[[dict[str, Any]], Any]]) -> None:
        """Run every job; a result is taken apart as RunPod's worker does."""
        results = {}
        for job in json.loads(Path("jobs.json").read_text()):
            cls.progress = []
            output = config["handler"](job)
            error, refresh = output.pop("error", None), output.pop("refresh_worker", None)
            result = {"output": output, "progress": cls.progress}
            results[job["id"]] = result | ({"error": error} if error else {}) | ({"stopPod": True} if refresh else {})
        Path("results.json").write_text(json.dumps(results))

    @classmethod
    def progress_update(cls, job: dict[str, Any], progress: dict[str, Any]) -> None:
        """Keep a report; the server of the job ``killed`` is killed at its first step."""
        cls.progress.append(progress)
        if job["id"] == "killed" and progress["kind"] == "step":
            for child in psutil.Process().children(recursive=True):
                if "--port" in child.cmdline():
                    os.kill(child.pid, signal.SIGKILL)
