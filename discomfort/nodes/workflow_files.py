"""Workflow files that a prompt names: which of them our nodes read, and how.

Whoever reaches the server's port can name one. So it must be JSON in one of a few folders, in which no link leads out.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from .._json_objects import JsonObject
from .._system.descriptors import open_existing
from ..exceptions import PayloadError

LARGEST = 16 << 20
"""Bytes of a file that is read."""

DEFAULT = "custom_nodes/discomfort/test_workflow.json"


@dataclass(frozen=True)
class WorkflowFile:
    """What a file has: ``graph`` as it was parsed, and whether that is a prompt in API format."""

    name: str
    data: bytes = field(repr=False)
    graph: JsonObject = field(repr=False)

    @property
    def is_prompt(self) -> bool:
        """Whether it is in API format; else the UI saved it."""
        return "nodes" not in self.graph

    @property
    def digest(self) -> str:
        """Stands for the content."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class WorkflowFolders:
    """Where workflows may be: below one of ``roots``. A relative name begins at ``base`` or at a root.

    ``default`` is the file that :data:`DEFAULT` names if the pack is a link, or is not in the folder of packs.
    """

    base: Path
    roots: Sequence[Path]
    default: Path | None = None

    def read(self, name: str) -> WorkflowFile:
        """The workflow in a file. Raises PayloadError, which names the file and the remedy."""
        try:
            return self._parsed(name, _content(self._found(name)))
        except OSError as error:
            raise PayloadError(f"workflow_json {name[:200]!r} cannot be read: {error.strerror}") from error

    def _found(self, name: str) -> Path:
        if not name.strip() or "\0" in name:
            raise PayloadError("workflow_json is empty: enter the name of a workflow file")
        if PurePath(name).suffix.lower() != ".json":
            raise PayloadError(f"workflow_json {name[:200]!r} is not a JSON file: name one that ends in .json")
        roots = [Path(os.path.realpath(root)) for root in self.roots]
        outside = False
        for path in self._candidates(name):
            real = Path(os.path.realpath(path))
            if not real.is_file():
                continue
            if real == self.default or any(root in real.parents for root in roots):
                return real
            outside = True
        where = ", ".join(str(root) for root in self.roots)
        if outside:
            raise PayloadError(
                f"workflow_json {name[:200]!r} is in none of the folders of workflows: move it to {where}"
            )
        raise PayloadError(f"workflow_json {name[:200]!r} is not there: put the file into one of {where}")

    def _candidates(self, name: str) -> Iterator[Path]:
        path = Path(name)
        yield self.base / path
        if path.is_absolute():
            return
        for root in self.roots:
            yield root / path
        if self.default is not None and path == Path(DEFAULT):
            yield self.default

    def _parsed(self, name: str, data: bytes) -> WorkflowFile:
        try:
            graph: Any = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise PayloadError(f"workflow_json {name!r} is not JSON: {error}") from error
        if isinstance(graph, dict) and isinstance(graph.get("prompt"), dict) and "class_type" not in graph["prompt"]:
            graph = graph["prompt"]  # the body of POST /prompt
        is_workflow = isinstance(graph, dict) and isinstance(graph.get("nodes"), list)
        if not is_workflow and not _is_prompt(graph):
            raise PayloadError(f"workflow_json {name!r} is JSON, but neither a workflow nor a prompt in API format")
        return WorkflowFile(name, data, graph)


def _is_prompt(graph: Any) -> bool:
    return (
        isinstance(graph, dict)
        and bool(graph)
        and all(
            isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
            for node in graph.values()
        )
    )


def _content(path: Path) -> bytes:
    """All bytes of a file that is not too large. Raises OSError, PayloadError."""
    with os.fdopen(open_existing(path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PayloadError(f"workflow_json {path.name!r} is not a file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise PayloadError(f"workflow_json {path.name!r} is larger than {LARGEST >> 20} MiB")
    return data
