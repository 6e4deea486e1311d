"""Loads a workflow as a function, to be called or planned."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discomfort._system.concurrency import to_thread
from discomfort.connector.payloads import Payload, load_payload, own_copy, payload_name, taken
from discomfort.exceptions import PayloadError
from discomfort.functions.bound_call import merged_values
from discomfort.functions.call_planning import plan_of_call
from discomfort.functions.host import FunctionHost
from discomfort.functions.loaded_workflow import LoadedWorkflow
from discomfort.functions.workflow_function import WorkflowFunction
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.workflow.interface.sidecar import SIDECAR_SUFFIXES
from discomfort.workflow.interface.sidecar_text import parse_sidecar

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


async def plan_of_workflow(
    host: FunctionHost,
    workflow: Payload,
    values: Mapping[str, Any] | None,
    named: Mapping[str, Any],
    *,
    online: bool,
    api_key: str | None,
) -> WorkflowPlan:
    """The plan of a workflow with values by name. Raises as :meth:`ComfyConnector.plan`."""
    kind, graph = await load_payload(workflow)
    loaded = LoadedWorkflow(host, kind, graph, await to_thread(_sidecar, workflow, None))
    given = merged_values(values, named)
    return await plan_of_call(host, loaded, payload_name(workflow), given, online=online, api_key=api_key)


def _sidecar(workflow: Payload, given: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any] | None:
    """The given sidecar, or the one beside the workflow's file. Raises PayloadError, FileNotFoundError."""
    if isinstance(given, Mapping):
        return own_copy(given)
    if given is not None:
        return _read(Path(given))
    if not payload_name(workflow) or isinstance(workflow, Mapping):
        return None
    path = Path(workflow)
    beside = [path.with_name(path.name.partition(".")[0] + suffix) for suffix in SIDECAR_SUFFIXES]
    found = [each for each in beside if each.is_file()]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise PayloadError(f"{path.name} has more than one sidecar: {names}. Remove one, or pass interface=")
    return _read(found[0]) if found else None


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such sidecar", str(path))
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"{path}: the sidecar is not UTF-8: {error}") from error
    try:
        return parse_sidecar(text, path.suffix)
    except PayloadError as error:
        raise PayloadError(f"{path}: {error}") from error


def _name_of(workflow: Payload) -> str:
    """A name for messages, from the file's: an identifier."""
    stem = payload_name(workflow).partition(".")[0]
    plain = _NO_LETTERS.sub("_", stem).strip("_") or "workflow"
    return f"_{plain}" if plain[0].isdigit() else plain
