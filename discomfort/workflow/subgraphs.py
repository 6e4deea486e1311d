"""Looks up subgraphs, group nodes, the nodes inside them, and links in a workflow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._json_objects import JsonObject
from .javascript import id_text

GROUP_PREFIXES = ("workflow>", "workflow/")
"""Prefixes of the type of a group node, before its name. Older workflows use a slash."""


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


def subgraph_list(workflow: JsonObject) -> list[JsonObject]:
    """The definitions of a workflow's subgraphs."""
    definitions = workflow.get("definitions")
    return list(objects(definitions.get("subgraphs") if isinstance(definitions, dict) else None))


def find_subgraph(workflow: JsonObject, type_name: str) -> JsonObject | None:
    """The definition of the subgraph that a node of that type represents."""
    return next((each for each in subgraph_list(workflow) if str(each.get("id")) == type_name), None)


def groups(workflow: JsonObject) -> dict[str, JsonObject]:
    """The definitions of a workflow's group nodes, by name."""
    extra = workflow.get("extra")
    found = extra.get("groupNodes") if isinstance(extra, dict) else None
    return {name: group for name, group in found.items() if isinstance(group, dict)} if isinstance(found, dict) else {}


def is_group(type_name: str) -> bool:
    """Whether a node's type is that of a group node, which older frontends had instead of subgraphs."""
    return type_name.startswith(GROUP_PREFIXES)


def group_members(workflow: JsonObject, type_name: str) -> list[JsonObject] | None:
    """The nodes in a group node, as they are stored; ``None`` for other types."""
    group = groups(workflow).get(type_name[len(GROUP_PREFIXES[0]) :]) if is_group(type_name) else None
    nodes = group.get("nodes") if group else None
    return list(objects(nodes)) if isinstance(nodes, list) else None


def inner_nodes(workflow: JsonObject, type_name: str) -> list[JsonObject] | None:
    """The nodes inside a subgraph or a group node, with the ids that prompts give them; ``None`` for other types."""
    subgraph = find_subgraph(workflow, type_name)
    if subgraph is not None:
        return list(objects(subgraph.get("nodes")))
    members = group_members(workflow, type_name)
    # Nodes stored in a group may keep the ids they had before it was made; prompts number them by position.
    return None if members is None else [node | {"id": index} for index, node in enumerate(members)]


def link_list(graph: JsonObject) -> list[Any]:
    """The links of a workflow or subgraph: lists in version 0.4, objects since; some writers give an object of them."""
    links = graph.get("links")
    return list(links.values()) if isinstance(links, dict) else links if isinstance(links, list) else []


def objects(value: Any) -> Iterator[JsonObject]:
    """The objects in a list; none if it is not a list."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
