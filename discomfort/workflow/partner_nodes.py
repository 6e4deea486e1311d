"""The nodes of a workflow or prompt that call paid services: ComfyUI's partner nodes, which definitions mark. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PaidNode, PaidNodesError
from discomfort.workflow.nodes import class_of, iterate, title_of
from discomfort.workflow.replacements import replaced_classes
from discomfort.workflow.subgraphs import group_members

API_KEY = "api_key_comfy_org"
"""The entry of a prompt's extra data from which ComfyUI gives partner nodes their key (0.3.64 and newer)."""
KEYS = (API_KEY, "auth_token_comfy_org")
"""The entries that let partner nodes spend; ComfyUI keeps neither in its history."""


def partner_nodes(
    graph: JsonObject, definitions: Mapping[str, Any], replacements: Mapping[str, Any] | None = None
) -> tuple[PaidNode, ...]:
    """The nodes that ``definitions`` mark as paid, in the order of the graph; muted and bypassed ones do not count.

    ``replacements`` is the server's ``/node_replacements``: a class that is not installed may become a paid one.
    """
    nodes = _of_workflow(graph) if isinstance(graph.get("nodes"), list) else _of_prompt(graph)
    found = []
    for node in nodes:
        kind = node.class_type
        if kind not in definitions and replacements:
            kind = replaced_classes([kind], definitions, replacements).get(kind, kind)
        if is_paid(definitions.get(kind)):
            found.append(node)
    return tuple(found)


def is_paid(definition: Any) -> bool:
    """Whether a class, by its entry of ``/object_info``, calls a paid service."""
    return isinstance(definition, Mapping) and bool(definition.get("api_node"))


def refuse_paid(
    graph: JsonObject, definitions: Mapping[str, Any], replacements: Mapping[str, Any] | None = None
) -> None:
    """Raise PaidNodesError if there is a paid node."""
    if nodes := partner_nodes(graph, definitions, replacements):
        raise PaidNodesError(nodes)


def has_keys(extra_data: Mapping[str, Any] | None) -> bool:
    """Whether a prompt's extra data let partner nodes spend."""
    return any((extra_data or {}).get(name) for name in KEYS)


def _of_prompt(prompt: JsonObject) -> Iterator[PaidNode]:
    for node_id, node in prompt.items():
        if isinstance(node, dict):
            yield PaidNode(node_id, str(node.get("class_type")), title_of(node))


def _of_workflow(workflow: JsonObject) -> Iterator[PaidNode]:
    for found in iterate(workflow):
        if not found.active:
            continue
        members = group_members(workflow, found.type)
        inner = (
            [(found.id, found.node)] if members is None else [(f"{found.id}:{at}", m) for at, m in enumerate(members)]
        )
        for node_id, node in inner:
            title = node.get("title")
            yield PaidNode(node_id, class_of(node), title if isinstance(title, str) and title else None)
