"""Rewrites a workflow in schema 0.4 with new ids for nodes, links, dots and frames, so that several can be joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import Link, connect_slots, read_links
from discomfort.workflow.native_reroutes import link_reroutes, native_reroutes
from discomfort.workflow.subgraphs import link_list, objects


@dataclass(slots=True)
class LastIds:
    """The last id that was given, of each kind."""

    node: int = 0
    link: int = 0
    reroute: int = 0
    group: int = 0
    floating: int = 0

    def next(self, kind: str) -> int:
        """A new id."""
        setattr(self, kind, getattr(self, kind) + 1)
        found: int = getattr(self, kind)
        return found


def renumber(workflow: JsonObject, last: LastIds) -> dict[str, int]:
    """Renumber a workflow of either schema in place; returns the new ids of its nodes by the old ones, as texts.

    The result has schema 0.4. Entries of ``links`` that are not links are dropped, and slots name what the list has.
    """
    links = read_links(link_list(workflow))
    behind = link_reroutes(workflow)
    dots = {id_text(dot.get("id")): last.next("reroute") for dot in native_reroutes(workflow)}
    nodes: dict[str, int] = {}
    for node in workflow["nodes"]:
        old, node["id"] = node.get("id"), last.next("node")
        if old is not None:
            nodes.setdefault(id_text(old), node["id"])
    kept = [link for link in links if link.origin in nodes and link.target in nodes]
    keys = {link.id: last.next("link") for link in kept}
    workflow["links"] = [_as_list(link, keys, nodes) for link in kept]
    for node in workflow["nodes"]:
        for slot in objects(node.get("outputs")):
            saved = slot.get("links") if isinstance(slot.get("links"), list) else []
            slot["links"] = [keys[id_text(key)] for key in saved or () if id_text(key) in keys]
    connect_slots(workflow["nodes"], read_links(workflow["links"]))
    _renumber_dots(workflow, dots, keys, {link.id: behind[link.id] for link in kept if link.id in behind})
    _renumber_floating(workflow, nodes, dots, last)
    for frame in objects(workflow.get("groups")):
        frame["id"] = last.next("group")
    _renumber_app(workflow, nodes)
    return nodes


def _as_list(link: Link, keys: Mapping[str, int], nodes: Mapping[str, int]) -> list[Any]:
    origin, target = nodes[link.origin], nodes[link.target]
    return [keys[link.id], origin, link.origin_slot, target, link.target_slot, link.type]


def _renumber_dots(
    workflow: JsonObject, dots: Mapping[str, int], keys: Mapping[str, int], behind: Mapping[str, Any]
) -> None:
    found = native_reroutes(workflow)
    extra = workflow["extra"] = workflow["extra"] if isinstance(workflow.get("extra"), dict) else {}
    for key in ("reroutes", "linkExtensions"):
        extra.pop(key, None)
    workflow.pop("reroutes", None)
    for dot in found:
        dot["id"] = dots[id_text(dot.get("id"))]
        if dot.get("parentId") is not None:
            dot["parentId"] = dots.get(id_text(dot["parentId"]))
        if isinstance(dot.get("linkIds"), list):
            dot["linkIds"] = [keys[id_text(key)] for key in dot["linkIds"] if id_text(key) in keys]
    if found:
        extra["reroutes"] = found
        ends = ((keys[link], dots[id_text(dot)]) for link, dot in behind.items() if id_text(dot) in dots)
        extra["linkExtensions"] = [{"id": link, "parentId": dot} for link, dot in ends]


def _renumber_floating(workflow: JsonObject, nodes: Mapping[str, int], dots: Mapping[str, int], last: LastIds) -> None:
    kept = []
    for floating in objects(workflow.pop("floatingLinks", None)):
        ends = {key: nodes.get(id_text(floating.get(key)), -1) for key in ("origin_id", "target_id")}
        dot = dots.get(id_text(floating.get("parentId")))
        if dot is not None and max(ends.values()) > 0:
            kept.append({**floating, **ends, "id": last.next("floating"), "parentId": dot})
    if kept:
        workflow["floatingLinks"] = kept


def _renumber_app(workflow: JsonObject, nodes: Mapping[str, int]) -> None:
    """App Mode names nodes, or nodes inside subgraphs by their path; what names nothing is dropped."""
    app = workflow["extra"].get("linearData")
    if not isinstance(app, dict):
        return
    inputs = app.get("inputs") if isinstance(app.get("inputs"), list) else []
    outputs = app.get("outputs") if isinstance(app.get("outputs"), list) else []
    named = [(_moved(each[0], nodes), *each[1:]) for each in inputs or () if isinstance(each, list) and each]
    app["inputs"] = [list(each) for each in named if each[0] is not None]
    app["outputs"] = [new for each in outputs or () if (new := _moved(each, nodes)) is not None]


def _moved(node_id: Any, nodes: Mapping[str, int]) -> Any:
    first, colon, rest = id_text(node_id).partition(":")
    if first not in nodes:
        return None
    if colon:
        return f"{nodes[first]}:{rest}"
    return str(nodes[first]) if isinstance(node_id, str) else nodes[first]
