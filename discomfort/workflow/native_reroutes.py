"""Native reroutes: dots on links, which the frontend draws without a node. Pure.

Schema 0.4 keeps them in ``extra.reroutes`` and names those of a link in ``extra.linkExtensions``; schema 1.0 and
subgraphs have ``reroutes`` and a ``parentId`` in each link. A floating link ends at such a dot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import read_links
from discomfort.workflow.subgraphs import link_list, objects


def native_reroutes(graph: JsonObject) -> list[JsonObject]:
    """The native reroutes of a graph of either schema."""
    return [*objects(_extra(graph).get("reroutes")), *objects(graph.get("reroutes"))]


def link_reroutes(graph: JsonObject) -> dict[str, Any]:
    """The native reroute in front of each link's target, by the link's id."""
    found = {id_text(each.get("id")): each.get("parentId") for each in objects(_extra(graph).get("linkExtensions"))}
    found |= {link.id: link.reroute for link in read_links(link_list(graph)) if link.reroute is not None}
    return {key: each for key, each in found.items() if each is not None}


def drop_native_reroutes(graph: JsonObject) -> None:
    """Remove all of them in place; links keep their ends, and floating links go."""
    graph.pop("reroutes", None)
    graph.pop("floatingLinks", None)
    for key in ("reroutes", "linkExtensions"):
        _extra(graph).pop(key, None)
    for link in objects(link_list(graph)):
        link.pop("parentId", None)


def tidy_reroutes(graph: JsonObject) -> None:
    """Remove, in place, what only belongs to nodes and links that the graph no longer has."""
    links = {link.id for link in read_links(link_list(graph))}
    nodes = {id_text(node.get("id")) for node in objects(graph.get("nodes"))}
    extra = _extra(graph)
    _filter(extra, "linkExtensions", lambda each: id_text(each.get("id")) in links)
    _filter(graph, "floatingLinks", lambda each: _is_anchored(each, nodes))
    needed = _needed(graph, [*link_reroutes(graph).values(), *_floating_ends(graph)])
    for holder in (extra, graph):
        _filter(holder, "reroutes", lambda each: id_text(each.get("id")) in needed)
    for reroute in native_reroutes(graph):
        if isinstance(reroute.get("linkIds"), list):
            reroute["linkIds"] = [key for key in reroute["linkIds"] if id_text(key) in links]


def _needed(graph: JsonObject, ends: Iterable[Any]) -> set[str]:
    """The ids of the reroutes on the ways to these."""
    parents = {id_text(each.get("id")): each.get("parentId") for each in native_reroutes(graph)}
    needed: set[str] = set()
    for end in ends:
        here = end
        while here is not None and id_text(here) not in needed:
            needed.add(id_text(here))
            here = parents.get(id_text(here))
    return needed


def _floating_ends(graph: JsonObject) -> list[Any]:
    return [each.get("parentId") for each in objects(graph.get("floatingLinks")) if each.get("parentId") is not None]


def _is_anchored(floating: JsonObject, nodes: set[str]) -> bool:
    ends = (id_text(floating.get("origin_id")), id_text(floating.get("target_id")))
    return any(end in nodes for end in ends) and all(end in nodes or end.startswith("-") for end in ends)


def _filter(holder: JsonObject, key: str, keeps: Callable[[JsonObject], bool]) -> None:
    if isinstance(holder.get(key), list):
        kept = [each for each in objects(holder[key]) if keeps(each)]
        holder[key] = kept
        if not kept:
            del holder[key]


def _extra(graph: JsonObject) -> JsonObject:
    extra = graph.get("extra")
    return extra if isinstance(extra, dict) else {}
