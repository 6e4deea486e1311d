"""Looks up nodes inside subgraphs and group nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.javascript import id_text


def pack_of(node: Mapping[str, Any]) -> str | None:
    """The pack that a workflow's node names: its registry id, else its repository (``owner/name``)."""
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return None
    for key in ("cnr_id", "aux_id"):
        value = properties.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def find_node(workflow: JsonObject, node_id: str) -> JsonObject | None:
    """The node of a workflow that a prompt's id names; ``12:5`` is node 5 in the subgraph (or group) of node 12."""
    nodes: Any = workflow.get("nodes")
    node: JsonObject | None = None
    steps = node_id.split(":")
    for depth, step in enumerate(steps):
        node = next((n for n in objects(nodes) if id_text(n.get("id")) == step), None)
        if node is None or depth == len(steps) - 1:
            return node
        inner = inner_nodes(workflow, str(node.get("type")))
        if inner is None:
            return None
        nodes = inner
    return node


def inner_nodes(workflow: JsonObject, type_name: str) -> list[JsonObject] | None:
    """The nodes inside a subgraph or a group node, with the ids that prompts give them; ``None`` for other types."""
    definitions = workflow.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for subgraph in objects(subgraphs):
        if str(subgraph.get("id")) == type_name:
            return list(objects(subgraph.get("nodes")))
    extra = workflow.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    name = type_name.removeprefix("workflow>").removeprefix("workflow/")
    group = groups.get(name) if isinstance(groups, dict) else None
    if not isinstance(group, dict):
        return None
    # Nodes stored in a group may keep the ids they had before it was made; prompts number them by position.
    return [node | {"id": index} for index, node in enumerate(objects(group.get("nodes")))]


def objects(value: Any) -> Iterator[JsonObject]:
    """The objects in a list; none if it is not a list."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
