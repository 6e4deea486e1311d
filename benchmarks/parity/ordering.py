"""The order in which ComfyUI runs outputs: that of a set of strings, which only the seed of its hashes decides.

The emulator runs outputs in the order of the prompt. So that both do the same, ComfyUI is started with a known seed,
and the outputs of a prompt are put into the order that its set will have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.parity.building import Graph

SEED = "1"
"""``PYTHONHASHSEED`` of the ComfyUI that is compared with, unless another one is named.

Under it ``{"a", "b"}`` is in order, the one set that no prompt decides (that of lazy inputs), and the outputs of every
scenario have an order that their set keeps. Under others they may have none: where two hashes meet in the set's table,
it can give two names in the reverse of whichever order they were put in.
"""

_PROGRAM = """
import itertools, json, sys

def ordered(names):
    found = set()
    for name in names:
        found.add(name)
    return list(found)

def steady():
    names = [f"o{k}" for k in range(1000)]
    return [next(name for name in names if hash(name) & 7 == slot) for slot in (0, 2, 4, 6)]

for line in sys.stdin:
    names = json.loads(line) or steady()
    orders = itertools.islice(itertools.permutations(names), 5040)
    print(json.dumps(next((list(o) for o in orders if ordered(o) == list(o)), names)), flush=True)
"""


class SetOrder:
    """Asks a process with that seed how it orders a set. A context manager."""

    def __init__(self, python: Path | None = None, output_classes: Collection[str] = (), seed: str = SEED) -> None:
        self.output_classes = output_classes
        command = [str(python or sys.executable), "-c", _PROGRAM]
        self._process = subprocess.Popen(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End the process."""
        with self._process:
            self._process.kill()

    def ask(self, names: Sequence[str]) -> list[str]:
        """The names in an order that a set keeps into which they are put one after another."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both were asked for")
        self._process.stdin.write(json.dumps(list(names)) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    def steady(self) -> list[str]:
        """Four names that every set of some of them keeps in this order: each has a place of its own in the table."""
        return self.ask([])

    def arranged(self, graph: Graph, targets: object = None) -> Graph:
        """The graph with its outputs in the order in which ComfyUI will run them."""
        names = [name for name, node in graph.items() if self._is_output(name, node, targets)]
        if len(names) < 2:
            return graph
        left, members = iter(self.ask(names)), set(names)
        order = [next(left) if name in members else name for name in graph]
        return {name: graph[name] for name in order}

    def _is_output(self, name: str, node: object, targets: object) -> bool:
        chosen = targets is None or (isinstance(targets, list | str) and name in targets)
        return chosen and isinstance(node, dict) and node.get("class_type") in self.output_classes
