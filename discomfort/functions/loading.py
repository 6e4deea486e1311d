"""Loads a workflow as a function, to be called or planned."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from discomfort._system.concurrency import to_thread
from discomfort.connector.payloads import Payload, load_payload, payload_name, taken
from discomfort.functions.bound_call import merged_values
from discomfort.functions.call_planning import plan_of_call
from discomfort.functions.host import FunctionHost
from discomfort.functions.loaded_workflow import LoadedWorkflow
from discomfort.functions.sidecar_files import read_sidecar
from discomfort.functions.workflow_function import WorkflowFunction
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.workflow.interface.sidecar_names import stem_of

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
    file = payload_name(payload)
    sidecar = await to_thread(read_sidecar, payload, interface)
    loaded = LoadedWorkflow(host, kind, graph, sidecar, name or file or "the workflow")
    await loaded.prepared()
    return WorkflowFunction(name or _name_of(file), host, loaded)


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
    given, name = merged_values(values, named), payload_name(workflow)
    kind, graph = await load_payload(workflow)
    sidecar = await to_thread(read_sidecar, workflow, None)
    loaded = LoadedWorkflow(host, kind, graph, sidecar, name or "the workflow")
    return await plan_of_call(host, loaded, name, given, online=online, api_key=api_key)


def _name_of(file: str) -> str:
    """A name for messages, from the file's: an identifier."""
    plain = _NO_LETTERS.sub("_", stem_of(file)).strip("_") or "workflow"
    return f"_{plain}" if plain[0].isdigit() else plain
