"""Makes the interface of a workflow out of all sources that declare inputs and outputs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.interface.app_mode import app_entries
from discomfort.workflow.interface.declaring_nodes import node_entries
from discomfort.workflow.interface.merging import merged
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.port_entries import port_entries
from discomfort.workflow.interface.selector_targets import SelectorTargets
from discomfort.workflow.interface.sidecar import sidecar_entries
from discomfort.workflow.interface.title_outputs import title_outputs


def interface_of(
    prompt: JsonObject,
    definitions: Mapping[str, Any],
    *,
    workflow: JsonObject | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> Interface:
    """The named inputs and outputs of a workflow.

    ``prompt`` is what the frontend made of ``workflow`` (``None`` if there is only a prompt), and ``definitions`` is
    the server's ``/object_info``. The sources, the highest first: ``sidecar``, ``DiscomfortPort`` nodes, ComfyUI's App
    Mode, the declaring nodes of other packs; for the outputs of a workflow that declares none, its output nodes.

    An entry that cannot be used is among the interface's ``problems``.
    """
    sources = [port_entries(prompt, definitions, workflow)]
    if workflow is not None:
        sources.append(app_entries(workflow, prompt, definitions))
    sources.append(node_entries(prompt, definitions))
    by_title = title_outputs(prompt, definitions)
    if not any(source.outputs for source in sources):
        sources.append(by_title)
    if sidecar is not None:
        known = SelectorTargets(workflow, prompt, definitions)
        lower = merged(sources, prompt, definitions)
        highest = sidecar_entries(sidecar, lower, known)
        sources = [highest, *(each for each in sources if each is not by_title or not highest.outputs)]
    return merged(sources, prompt, definitions)
