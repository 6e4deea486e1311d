"""Takes out of a graph the nodes that only hand on what they get: reroutes, and connected ports. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.javascript import id_text
from discomfort.workflow.link_ends import REROUTE
from discomfort.workflow.links import (
    SUBGRAPH_INPUTS,
    SUBGRAPH_OUTPUTS,
    connect_border,
    connect_slots,
    read_link,
    read_links,
    with_origin,
)
from discomfort.workflow.native_reroutes import drop_native_reroutes, tidy_reroutes
from discomfort.workflow.nodes import class_of
from discomfort.workflow.subgraphs import link_list, objects, subgraph_list
from discomfort.workflow.workflow_ports import PORT, PortRole, port_slot, workflow_ports

Passing = Callable[[JsonObject], int | None]
"""The input whose value a node hands on; ``None`` for a node that stays."""

_BORDERS = frozenset({SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS})


def reroute_input(node: JsonObject) -> int | None:
    """The input of a reroute."""
    return 0 if class_of(node) == REROUTE else None


def without_passing(
    nodes: Mapping[Any, JsonObject], links: Sequence[Any], passing: Passing, borders: Collection[str] = ()
) -> tuple[dict[Any, JsonObject], list[Any]]:
    """Nodes and links without those nodes: each link begins at the first node in front of them that stays.

    It keeps its id and its type. A link that then begins nowhere is dropped. The results are copies.
    """
    ways = {id_text(key): slot for key, node in nodes.items() if (slot := passing(node)) is not None}
    kept = {key: copied(node) for key, node in nodes.items() if id_text(key) not in ways}
    known = {id_text(key) for key in kept} | set(borders)
    into = {(link.target, link.target_slot): entry for entry in links if (link := read_link(entry)) is not None}
    clean = []
    for entry in links:
        link = read_link(entry)
        if link is None or link.target not in known:
            continue
        source = _source(entry, ways, into)
        begin = read_link(source) if source is not None else None
        if begin is not None and begin.origin in known:
            clean.append(with_origin(entry, source))
    connect_slots(kept.values(), read_links(clean))
    return kept, clean


def without_reroutes(workflow: JsonObject) -> JsonObject:
    """A copy of a workflow without reroutes, as nodes and as dots on links, also in its subgraphs."""
    clean: JsonObject = copied(workflow)
    for graph in (clean, *subgraph_list(clean)):
        drop_native_reroutes(graph)
        _take_out(graph, reroute_input)
    return clean


def without_connected_ports(workflow: JsonObject) -> JsonObject:
    """A copy of a workflow without its PASSTHRU ports: what they feed is linked to what feeds them."""
    clean: JsonObject = copied(workflow)
    found = workflow_ports(clean)
    connected = {id(port.node) for port in found.of(PortRole.PASSTHRU)}
    # A subgraph that is used twice may have other connections around its second use.
    connected -= {id(port.node) for port in (*found.ports, *found.inactive) if port.role is not PortRole.PASSTHRU}

    def passing(node: JsonObject) -> int | None:
        return port_slot(node) if class_of(node) == PORT and id(node) in connected else None

    for graph in (clean, *subgraph_list(clean)):
        _take_out(graph, passing)
        tidy_reroutes(graph)
    return clean


def _take_out(graph: JsonObject, passing: Passing) -> None:
    is_inner = "inputNode" in graph or "outputNode" in graph
    nodes = {id_text(node.get("id")): node for node in objects(graph.get("nodes"))}
    kept, links = without_passing(nodes, link_list(graph), passing, _BORDERS if is_inner else ())
    graph["nodes"], graph["links"] = list(kept.values()), links
    if is_inner:
        connect_border(graph, read_links(links))


def _source(entry: Any, ways: Mapping[str, int], into: Mapping[tuple[str, int], Any]) -> Any:
    """The entry of ``links`` at the begin of a chain; ``None`` if the chain begins nowhere, or is a circle."""
    seen: set[str] = set()
    while True:
        link = read_link(entry)
        if link is None or link.origin in seen:
            return None
        if link.origin not in ways:
            return entry
        seen.add(link.origin)
        entry = into.get((link.origin, ways[link.origin]))
