"""Reduces a workflow to what one of its OUTPUT ports needs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.exceptions import UnknownPortError
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import connect_border, connect_slots, read_link, read_links
from discomfort.workflow.native_reroutes import tidy_reroutes
from discomfort.workflow.nodes import class_of, subgraphs
from discomfort.workflow.subgraphs import GROUP_PREFIXES, group_members, groups, link_list, objects
from discomfort.workflow.workflow_layout import box_of, centre_of, is_inside
from discomfort.workflow.workflow_ports import PortRole, workflow_ports

_PAIRS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Nodes of packs that get a value by a name, and those that set it there; no link joins them."""
_BROADCASTS = "Everywhere"
"""In the class of nodes (Use Everywhere) that feed unlinked inputs, so nobody sees which."""


def pruned_to_output(workflow: JsonObject, unique_id: str) -> JsonObject:
    """A copy of a workflow with the OUTPUT port of that id and all nodes that it depends on.

    A port inside a subgraph keeps the whole subgraph. Definitions of subgraphs and group nodes, frames, and dots on
    links stay as far as they are used; all other keys stay as they are. Nodes that feed others without a link (Set/Get,
    Use Everywhere) are kept with what they depend on.

    Raises UnknownPortError, a KeyError, if there is no such OUTPUT port.
    """
    clean: JsonObject = copied(workflow)
    found = workflow_ports(clean).of(PortRole.OUTPUT)
    port = next((each for each in reversed(found) if each.unique_id == unique_id.strip()), None)
    if port is None:
        known = [each.unique_id for each in found]
        raise UnknownPortError(unique_id, "the workflow has no OUTPUT port with this id", known)
    outermost = port.node_id.split(":")[0]
    kept = _ancestors(clean, outermost)
    gone = {id_text(node.get("id")) for node in objects(clean["nodes"])} - kept
    remove_nodes(clean, gone)
    _drop_frames(clean)
    _drop_definitions(clean)
    return clean


def remove_nodes(graph: JsonObject, gone: Collection[str]) -> None:
    """Remove nodes of a workflow or subgraph in place, with their links and with what belonged to these alone."""
    graph["nodes"] = [node for node in objects(graph.get("nodes")) if id_text(node.get("id")) not in gone]
    graph["links"] = [entry for entry in link_list(graph) if _stays(entry, gone)]
    links = read_links(graph["links"])
    connect_slots(graph["nodes"], links)
    if "inputNode" in graph or "outputNode" in graph:
        connect_border(graph, links)
    tidy_reroutes(graph)


def _ancestors(workflow: JsonObject, node_id: str) -> set[str]:
    feeders: dict[str, set[str]] = defaultdict(set)
    for link in read_links(link_list(workflow)):
        feeders[link.target].add(link.origin)
    nodes = {id_text(node.get("id")): node for node in objects(workflow["nodes"])}
    for getter, setter in _pairs(nodes):
        feeders[getter].add(setter)
    kept: set[str] = set()
    ahead = [node_id, *(key for key, node in nodes.items() if _BROADCASTS in class_of(node))]
    while ahead:
        here = ahead.pop()
        if here not in kept:
            kept.add(here)
            ahead.extend(feeders[here])
    return kept


def _pairs(nodes: dict[str, JsonObject]) -> Iterator[tuple[str, str]]:
    setters: dict[tuple[str, str], str] = {}
    for key, node in nodes.items():
        setters[class_of(node), _first_value(node)] = key
    for key, node in nodes.items():
        wanted = _PAIRS.get(class_of(node))
        setter = setters.get((wanted, _first_value(node))) if wanted else None
        if setter is not None:
            yield key, setter


def _first_value(node: JsonObject) -> str:
    values = node.get("widgets_values")
    return str(values[0]) if isinstance(values, list) and values else ""


def _stays(entry: Any, gone: Collection[str]) -> bool:
    link = read_link(entry)
    return link is not None and link.origin not in gone and link.target not in gone


def _drop_frames(workflow: JsonObject) -> None:
    """Remove the frames in which no node is left."""
    if isinstance(workflow.get("groups"), list):
        centres = [centre for node in workflow["nodes"] if (centre := centre_of(node)) is not None]
        frames = ((frame, box_of(frame)) for frame in objects(workflow["groups"]))
        workflow["groups"] = [frame for frame, box in frames if box and any(is_inside(each, box) for each in centres)]


def _drop_definitions(workflow: JsonObject) -> None:
    """Remove the definitions of subgraphs and group nodes that no node uses."""
    used = _used_types(workflow)
    definitions = workflow.get("definitions")
    if isinstance(definitions, dict) and isinstance(definitions.get("subgraphs"), list):
        kept = [graph for graph in objects(definitions["subgraphs"]) if str(graph.get("id")) in used]
        definitions["subgraphs"] = kept
        if not kept and len(definitions) == 1:
            del workflow["definitions"]
    if groups(workflow):
        every = workflow["extra"]["groupNodes"]
        names = {kind[len(GROUP_PREFIXES[0]) :] for kind in used if kind.startswith(GROUP_PREFIXES)}
        workflow["extra"]["groupNodes"] = {name: group for name, group in every.items() if name in names}


def _used_types(workflow: JsonObject) -> set[str]:
    definitions = subgraphs(workflow)
    used: set[str] = set()
    ahead = list(_types(workflow["nodes"]))
    while ahead:
        kind = ahead.pop()
        if kind in used:
            continue
        used.add(kind)
        ahead += _types(objects(definitions.get(kind, {}).get("nodes")))
        ahead += _types(group_members(workflow, kind) or [])
    return used


def _types(nodes: Iterable[JsonObject]) -> Iterator[str]:
    return (str(node.get("type")) for node in nodes)
