"""Loads a workflow as a function."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discomfort._system.concurrency import to_thread
from discomfort.connector.payloads import Payload, load_payload, taken
from discomfort.functions.host import FunctionHost
from discomfort.functions.loaded_workflow import LoadedWorkflow
from discomfort.functions.workflow_function import WorkflowFunction

_NO_LETTERS = re.compile(r"\W+")


async def load_function(
    host: FunctionHost,
    workflow: Payload,
    *,
    interface: Mapping[str, Any] | str | os.PathLike[str] | None,
    name: str | None,
) -> WorkflowFunction:
    """See :meth:`ComfyConnector.load`."""
    payload = taken(workflow)
    kind, graph = await load_payload(payload)
    loaded = LoadedWorkflow(host, kind, graph, await to_thread(_sidecar, payload, interface))
    await loaded.prepared()
    return WorkflowFunction(name or _name_of(payload), host, loaded)


def _sidecar(workflow: Payload, given: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any] | None:
    return given if isinstance(given, Mapping) else None


def _name_of(workflow: Payload) -> str:
    """A name for messages, from the file's: an identifier."""
    if isinstance(workflow, Mapping) or str(workflow).lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        return "workflow"
    stem = Path(workflow).name.partition(".")[0]
    plain = _NO_LETTERS.sub("_", stem).strip("_") or "workflow"
    return f"_{plain}" if plain[0].isdigit() else plain
