"""A folder in which examples run, and the workflows that they find there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from contract.engines import REPOSITORY, EngineUnderTest
from PIL import Image

EXAMPLES = REPOSITORY / "examples"


@dataclass
class Desk:
    """A folder with a workflow, in which examples run on one engine."""

    folder: Path
    engine: EngineUnderTest
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The engine's settings as variables."""
        settings = {f"DISCOMFORT_{key}": str(value) for key, value in self.engine.config().items()}
        return {**os.environ, **settings, "DISCOMFORT_NATIVE_CONVERSION": "off", "PYTHONUNBUFFERED": "1"}

    def start(self, *words: str, path: Path | None = None) -> subprocess.Popen[str]:
        """Start a program of Python; ``path`` is a folder of modules that it finds first."""
        found = os.pathsep.join(filter(None, [str(path or ""), os.environ.get("PYTHONPATH", "")]))
        program = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder, env={**self.environment, "PYTHONPATH": found}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(program)
        return program

    def run(self, *words: str, path: Path | None = None) -> str:
        """Run a program of Python to its end, which is a success; returns what it printed."""
        program = self.start(*words, path=path)
        printed, _ = program.communicate(timeout=240)
        assert program.returncode == 0, printed
        return printed

    def pictures(self, pattern: str = "results/*.png") -> list[Path]:
        """Pictures that are there, all of them whole."""
        found = sorted(self.folder.glob(pattern))
        for path in found:
            Image.open(path).load()
        return found

    def end(self) -> None:
        """End the programs that are still running, as Ctrl-C does."""
        for program in self.started:
            if program.poll() is None:
                program.send_signal(signal.SIGINT)
        for program in self.started:
            try:
                program.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                program.kill()
                raise


def server_of(program: int) -> int:
    """The pid of the server that a program has started."""
    children = psutil.Process(program).children(recursive=True)
    return next(child.pid for child in children if "--port" in child.cmdline())


def workflow(*, from_photo: bool = False, meeting: Path | None = None) -> dict[str, Any]:
    """As the UI saves it: a text, a sampler and a saver, by their usual titles, and perhaps a photo."""
    nodes = [
        _node(1, "StandInText", "Positive", ["a fox"], [], [("STANDIN_TEXT", [1])]),
        _node(2, "StandInSampler", "KSampler", [0, "fixed", 2, str(meeting or "")],
              [("positive", "STANDIN_TEXT", 1), ("image", "IMAGE", 3 if from_photo else None)], [("IMAGE", [2])]),
        _node(3, "SaveImage", "Out", ["made"], [("images", "IMAGE", 2)], []),
    ]  # fmt: skip
    links = [[1, 1, 0, 2, 0, "STANDIN_TEXT"], [2, 2, 0, 3, 0, "IMAGE"]]
    if from_photo:
        outputs: list[tuple[str, list[int]]] = [("IMAGE", [3]), ("MASK", [])]
        nodes.append(_node(4, "LoadImage", None, ["missing.png", "image"], [], outputs))
        links.append([3, 4, 0, 2, 1, "IMAGE"])
    return {
        "last_node_id": 4, "last_link_id": 3, "nodes": nodes, "links": links,
        "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }  # fmt: skip


def _node(
    number: int,
    kind: str,
    title: str | None,
    values: list[Any],
    inputs: list[tuple[str, str, int | None]],
    outputs: list[tuple[str, list[int]]],
) -> dict[str, Any]:
    made = {
        "id": number, "type": kind, "pos": [300 * number, 10], "size": [280, 120], "flags": {}, "order": number,
        "mode": 0, "inputs": [{"name": name, "type": kind, "link": link} for name, kind, link in inputs],
        "outputs": [{"name": kind, "type": kind, "links": links} for kind, links in outputs],
        "properties": {"Node name for S&R": kind}, "widgets_values": values,
    }  # fmt: skip
    return made | ({"title": title} if title else {})
