"""Builds workflows with ports for tests, as the frontend saves them."""

from __future__ import annotations

import copy
from typing import Any

Workflow = dict[str, Any]

LINK_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


class Graph:
    """A graph under construction: a workflow of schema 0.4, or the definition of a subgraph."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.subgraphs: list[dict[str, Any]] = []
        self.border: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
        self.extra: dict[str, Any] = {}
        self.more: dict[str, Any] = {}

    def add(self, kind: str, inputs: str = "", outputs: str = "", widgets: list[Any] | None = None, **more: Any) -> int:
        """A node; slots are given as ``"name:TYPE name:TYPE"``. Returns its id."""
        node_id = more.pop("id", max((node["id"] for node in self.nodes), default=0) + 1)
        index = len(self.nodes)
        self.nodes.append(
            {
                "id": node_id,
                "type": kind,
                "pos": [index * 300, 0],
                "size": [200, 100],
                "flags": {},
                "order": index,
                "mode": 0,
                "inputs": [{"name": name, "type": kind, "link": None} for name, kind in _slots(inputs)],
                "outputs": [{"name": name, "type": kind, "links": None} for name, kind in _slots(outputs)],
                "properties": {"Node name for S&R": kind},
                "widgets_values": widgets or [],
                **more,
            }
        )
        return int(node_id)

    def port(self, unique_id: Any, tags: str | None = None, **more: Any) -> int:
        """A port. Returns its id."""
        widgets = [unique_id] if tags is None else [unique_id, tags]
        return self.add("DiscomfortPort", "input_data:*", "output_data:*", widgets, **more)

    def link(self, origin: int, slot: int, target: int, target_slot: int = 0, kind: str | None = None) -> int:
        """Link an output with an input; -10 and -20 are the border of a subgraph. Returns the link's id."""
        key = len(self.links) + 1
        source = None if origin < 0 else self._node(origin)["outputs"][slot]
        sink = None if target < 0 else self._node(target)["inputs"][target_slot]
        named = kind or (source or sink or {"type": "*"})["type"]
        self.links.append([key, origin, slot, target, target_slot, named])
        if source is not None:
            source["links"] = [*(source["links"] or []), key]
        else:
            self.border["inputs"][slot]["linkIds"].append(key)
        if sink is not None:
            sink["link"] = key
        else:
            self.border["outputs"][target_slot]["linkIds"].append(key)
        return key

    def input(self, unique_id: str, target: int, slot: int = 0, **more: Any) -> int:
        """An INPUT port that feeds an input. Returns the port's id."""
        port = self.port(unique_id, **more)
        self.link(port, 0, target, slot)
        return port

    def output(self, unique_id: str, origin: int, slot: int = 0, **more: Any) -> int:
        """An OUTPUT port that an output feeds. Returns the port's id."""
        port = self.port(unique_id, **more)
        self.link(origin, slot, port)
        return port

    def expose(self, key: str, name: str, kind: str) -> int:
        """A new input or output of this subgraph. Returns its number."""
        self.border[key].append({"id": f"{key}-{name}", "name": name, "type": kind, "linkIds": []})
        return len(self.border[key]) - 1

    def workflow(self) -> Workflow:
        """The workflow, in schema 0.4."""
        made = {
            "id": "w",
            "revision": 0,
            "last_node_id": max((node["id"] for node in self.nodes), default=0),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "definitions": {"subgraphs": self.subgraphs},
            "config": {},
            "extra": self.extra,
            "version": 0.4,
            **self.more,
        }
        if not self.subgraphs:
            del made["definitions"]
        return copy.deepcopy(made)

    def definition(self, key: str) -> Workflow:
        """The definition of a subgraph with this id."""
        made = {
            "id": key,
            "version": 1,
            "state": {"lastNodeId": 0, "lastLinkId": len(self.links), "lastGroupId": 0, "lastRerouteId": 0},
            "revision": 0,
            "config": {},
            "name": f"Subgraph {key}",
            "inputNode": {"id": -10, "bounding": [0, 0, 1, 1]},
            "outputNode": {"id": -20, "bounding": [0, 0, 1, 1]},
            **self.border,
            "widgets": [],
            "nodes": self.nodes,
            "groups": [],
            "links": [dict(zip(LINK_KEYS, link, strict=True)) for link in self.links],
            "extra": {},
        }
        return copy.deepcopy(made)

    def _node(self, node_id: int) -> dict[str, Any]:
        return next(node for node in self.nodes if node["id"] == node_id)


def as_schema_1(workflow: Workflow) -> Workflow:
    """The same workflow in schema 1.0: links are objects."""
    made = copy.deepcopy(workflow)
    extra = made["extra"]
    made["links"] = [dict(zip(LINK_KEYS, link, strict=True)) for link in made["links"]]
    behind = {each["id"]: each["parentId"] for each in extra.pop("linkExtensions", [])}
    for link in made["links"]:
        if link["id"] in behind:
            link["parentId"] = behind[link["id"]]
    if "reroutes" in extra:
        made["reroutes"] = extra.pop("reroutes")
    state = {"lastNodeId": made.pop("last_node_id"), "lastLinkId": made.pop("last_link_id")}
    return {**made, "state": state, "version": 1}


def problems_of(workflow: Workflow) -> list[str]:
    """Where slots, links, borders and ids of a workflow contradict each other; empty if the frontend would agree."""
    wrong = _contradictions("", workflow)
    for graph in workflow.get("definitions", {}).get("subgraphs", []):
        wrong += _contradictions(f"{graph['name']}: ", graph)
    return wrong


def _contradictions(place: str, graph: Workflow) -> list[str]:
    links = [[entry[key] for key in LINK_KEYS] if isinstance(entry, dict) else list(entry) for entry in graph["links"]]
    wrong = []
    ids = [node["id"] for node in graph["nodes"]]
    if len(set(ids)) < len(ids) or len({link[0] for link in links}) < len(links):
        wrong.append(f"{place}an id is used twice")
    expected_in = {(link[3], link[4]): link[0] for link in links}
    if len(expected_in) < len(links):
        wrong.append(f"{place}an input has two links")
    found_in = {
        (node["id"], index): slot["link"]
        for node in graph["nodes"]
        for index, slot in enumerate(node.get("inputs") or [])
        if slot.get("link") is not None
    }
    found_out = {
        (node["id"], index, key)
        for node in graph["nodes"]
        for index, slot in enumerate(node.get("outputs") or [])
        for key in slot.get("links") or []
    }
    inner_out = {(link[1], link[2], link[0]) for link in links if link[1] not in (-10, "-10")}
    inner_in = {key: value for key, value in expected_in.items() if key[0] not in (-20, "-20")}
    if found_in != inner_in:
        wrong.append(f"{place}inputs {found_in} but links {inner_in}")
    if found_out != inner_out:
        wrong.append(f"{place}outputs {found_out} but links {inner_out}")
    for index, slot in enumerate(graph.get("inputs") or []):
        if set(slot["linkIds"]) != {link[0] for link in links if (link[1], link[2]) == (-10, index)}:
            wrong.append(f"{place}input {index} of the border")
    for index, slot in enumerate(graph.get("outputs") or []):
        if set(slot["linkIds"]) != {link[0] for link in links if (link[3], link[4]) == (-20, index)}:
            wrong.append(f"{place}output {index} of the border")
    return wrong


def _slots(text: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, _, kind in (part.partition(":") for part in text.split())]
