"""Walks a workflow's nodes, subgraphs included, and finds types that a server does not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._json_objects import JsonObject
from ..exceptions import MissingNode, PayloadError
from .subgraphs import group_members, pack_of, subgraph_list

MAX_NODES = 200_000
"""Maximum number of nodes in a workflow once every subgraph is expanded; nesting multiplies them."""

NOTES = frozenset({"Note", "MarkdownNote"})
"""Node types that only show a text."""

FRONTEND_ONLY = NOTES | {"Reroute", "PrimitiveNode"}
"""Node types that only the frontend has; a server never sees them."""

MODE_MUTED, MODE_BYPASSED = 2, 4
"""LiteGraph's ``mode`` values for a muted node and for a bypassed one, which passes its inputs through."""


@dataclass(frozen=True, slots=True)
class WorkflowNode:
    """One node of a workflow, with its position among the subgraphs.

    ``id`` is the id that the frontend gives it in the prompt: inside a subgraph, the ids of the instances around it and
    its own, joined by colons (``"10:3"``). ``graph`` is the workflow or subgraph definition whose list ``node`` is in.
    ``active`` is false if it, or an instance around it, is muted or bypassed.
    """

    id: str
    node: JsonObject
    graph: JsonObject
    active: bool = True

    @property
    def type(self) -> str:
        """The node's class, or the id of its subgraph definition."""
        return str(self.node.get("type"))


def subgraphs(workflow: JsonObject) -> dict[str, JsonObject]:
    """Return the subgraph definitions of a workflow by id."""
    return {str(graph["id"]): graph for graph in subgraph_list(workflow) if "id" in graph}


def iterate(workflow: JsonObject) -> Iterator[WorkflowNode]:
    """Yield every node of a workflow, each subgraph's nodes once per instance and right after the instance.

    The workflow must have passed :func:`~discomfort.workflow.detect.classify`. Raises :class:`PayloadError` if a
    subgraph contains itself, or if there are more than :data:`MAX_NODES` nodes.
    """
    definitions = subgraphs(workflow)
    stack: list[tuple[str, JsonObject, Iterator[JsonObject], bool, str | None]] = [
        ("", workflow, iter(workflow["nodes"]), True, None)
    ]
    count = 0
    while stack:
        prefix, graph, nodes, active, _ = stack[-1]
        node = next(nodes, None)
        if node is None:
            stack.pop()
            continue
        count += 1
        if count > MAX_NODES:
            raise PayloadError(f"the workflow has more than {MAX_NODES} nodes once its subgraphs are expanded")
        found = WorkflowNode(
            f"{prefix}{node.get('id')}", node, graph, active and node.get("mode") not in (MODE_MUTED, MODE_BYPASSED)
        )
        yield found
        inner = definitions.get(found.type)
        if inner is not None:
            if any(frame[4] == found.type for frame in stack):
                raise PayloadError(f"node {found.id}: the subgraph {inner.get('name', found.type)!r} contains itself")
            stack.append((f"{found.id}:", inner, iter(inner["nodes"]), found.active, found.type))


def titles(prompt: JsonObject) -> dict[str, str]:
    """Return a name for each node of a prompt: its title if it has one, else its class."""
    return {node_id: title_of(node) or str(node.get("class_type")) for node_id, node in prompt.items()}


def title_of(node: Mapping[str, Any]) -> str | None:
    """Return the title in the ``_meta`` of a prompt's node, or ``None``."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) and title else None


def missing_nodes(graph: JsonObject, known: Collection[str], *, include_inactive: bool = False) -> list[MissingNode]:
    """List the node types of a workflow or prompt that are not in ``known``, in the order in which they appear.

    Types that only the frontend has, and subgraphs and group nodes that the workflow defines, count as known; the nodes
    inside them are checked. Muted and bypassed nodes never reach a server: they count only with ``include_inactive``.
    The pack is the registry id that the workflow names (``cnr_id``), else its repository (``aux_id``).
    """
    if not isinstance(graph.get("nodes"), list):
        return missing_in_prompt(graph, known)
    definitions = subgraphs(graph)
    ids: dict[str, list[str]] = {}
    packs: dict[str, str | None] = {}
    for found in iterate(graph):
        if not (found.active or include_inactive) or found.type in definitions:
            continue
        members = group_members(graph, found.type)
        candidates = [(found.id, found.node)]
        if members is not None:
            candidates = [(f"{found.id}:{index}", member) for index, member in enumerate(members)]
        for node_id, node in candidates:
            kind = class_of(node)
            if kind not in known and kind not in FRONTEND_ONLY:
                ids.setdefault(kind, []).append(node_id)
                packs[kind] = packs.get(kind) or pack_of(node)
    return [MissingNode(kind, tuple(node_ids), packs[kind]) for kind, node_ids in ids.items()]


def missing_in_prompt(prompt: Mapping[str, Any], known: Collection[str]) -> list[MissingNode]:
    """List the classes of a well-formed prompt that are not in ``known``."""
    ids: dict[str, list[str]] = {}
    for node_id, node in prompt.items():
        kind = node["class_type"]
        if kind not in known:
            ids.setdefault(str(kind), []).append(node_id)
    return [MissingNode(kind, tuple(node_ids)) for kind, node_ids in ids.items()] if ids else []


def class_of(node: JsonObject) -> str:
    """Return the class of a workflow's node; if the frontend lost it, the properties may still have it."""
    kind = node.get("type")
    if isinstance(kind, str) and kind:
        return kind
    properties = node.get("properties")
    return str((properties.get("Node name for S&R") if isinstance(properties, dict) else None) or kind)
