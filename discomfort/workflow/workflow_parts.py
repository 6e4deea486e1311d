"""One of several workflows that are stitched: its ports, and the slots by which they are reached from outside."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import GraphProblem
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS, read_links
from discomfort.workflow.port_types import is_known
from discomfort.workflow.scopes import GraphScope
from discomfort.workflow.subgraphs import link_list, objects
from discomfort.workflow.workflow_ports import WorkflowPort, port_slot, problem_of, workflow_ports

Slot = tuple[str, int]
"""A node of the workflow itself, and the number of its input or output."""


class WorkflowPart:
    """A workflow that is changed in place, and its ports as they were at first."""

    def __init__(self, workflow: JsonObject) -> None:
        self.workflow = workflow
        self.ports = workflow_ports(workflow)
        self._uses = Counter(id(scope.graph) for scope in self.ports.scope.walk())
        self._slots: dict[tuple[str, str], Slot] = {}

    def problem(self, port: WorkflowPort) -> GraphProblem | None:
        """Why a port cannot be reached from outside: its subgraph is used several times."""
        scope: GraphScope | None = port.scope
        while scope is not None:
            if self._uses[id(scope.graph)] > 1:
                name = scope.graph.get("name") or scope.graph.get("id")
                times = self._uses[id(scope.graph)]
                return problem_of(port, f"its subgraph {name!r} is used {times} times, so it cannot be connected")
            scope = scope.parent
        return None

    def input_slot(self, port: WorkflowPort) -> Slot:
        """The input of the workflow's own nodes that leads to a port; subgraphs around it get a new input."""
        return self._reached(port, "inputs", port_slot(port.node))

    def output_slot(self, port: WorkflowPort) -> Slot:
        """The output of the workflow's own nodes that comes from a port; subgraphs around it get a new output."""
        return self._reached(port, "outputs", 0)

    def _reached(self, port: WorkflowPort, key: str, slot: int) -> Slot:
        known = self._slots.get((port.node_id, key))
        if known is not None:
            return known
        node, scope = port.node, port.scope
        kind = port.type if is_known(port.type) else "*"
        _ensure_slot(node, key, slot, kind)
        while scope.host is not None and scope.parent is not None:
            name = _free_name(port.unique_id, [scope.graph, scope.host], key)
            _level(scope.graph, scope.host, key)
            _open_border(scope.graph, key, name, kind, (node, slot))
            node, scope = scope.host, scope.parent
            node[key].append(_slot(key, name, kind))
            slot = len(node[key]) - 1
        found = self._slots[port.node_id, key] = id_text(node.get("id")), slot
        return found


def _ensure_slot(node: JsonObject, key: str, slot: int, kind: str) -> None:
    """Give a port that was saved without slots the one that is needed."""
    slots = node[key] = list(objects(node.get(key)))
    if slot >= len(slots):
        slots.append(_slot(key, "input_data" if key == "inputs" else "output_data", kind))


def _slot(key: str, name: Any, kind: Any) -> JsonObject:
    return {"name": name, "type": kind, **({"link": None} if key == "inputs" else {"links": []})}


def _level(graph: JsonObject, host: JsonObject, key: str) -> None:
    """Give a host and its definition equally many slots, since the frontend matches them by number."""
    inside = graph[key] = list(objects(graph.get(key)))
    outside = host[key] = list(objects(host.get(key)))
    more, missing = outside[len(inside) :], inside[len(outside) :]
    outside += [_slot(key, slot.get("name"), slot.get("type")) for slot in missing]
    inside += [
        {"id": str(uuid.uuid4()), "name": slot.get("name"), "type": slot.get("type"), "linkIds": []} for slot in more
    ]


def _free_name(wanted: str, holders: Sequence[JsonObject], key: str) -> str:
    taken = {slot.get("name") for holder in holders for slot in objects(holder.get(key))}
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def _open_border(graph: JsonObject, key: str, name: str, kind: str, inside: tuple[JsonObject, int]) -> None:
    """Add an input (or output) to a subgraph's definition, linked with a slot of a node inside."""
    node, slot = inside
    links = graph["links"] = link_list(graph)
    state = graph.get("state") if isinstance(graph.get("state"), dict) else {}
    numbers = [int(link.key) for link in read_links(links) if str(link.key).isdecimal()]
    last = state.get("lastLinkId") if state else 0
    link_id = max([*numbers, last if isinstance(last, int) else 0], default=0) + 1
    if state:
        state["lastLinkId"] = link_id
    borders = graph[key] = list(objects(graph.get(key)))
    borders.append({"id": str(uuid.uuid4()), "name": name, "type": kind, "linkIds": [link_id]})
    outer = len(borders) - 1
    link: JsonObject = {"id": link_id, "type": kind}
    if key == "inputs":
        # A reroute that leads nowhere may be linked there.
        _cut(graph, links, node, slot)
        link |= {"origin_id": int(SUBGRAPH_INPUTS), "origin_slot": outer, "target_id": node["id"], "target_slot": slot}
        node["inputs"][slot]["link"] = link_id
    else:
        link |= {"origin_id": node["id"], "origin_slot": slot, "target_id": int(SUBGRAPH_OUTPUTS), "target_slot": outer}
        node["outputs"][slot]["links"] = [*(node["outputs"][slot].get("links") or []), link_id]
    links.append(link)


def _cut(graph: JsonObject, links: list[Any], node: JsonObject, slot: int) -> None:
    own = id_text(node.get("id"))
    gone = [link for link in read_links(links) if (link.target, link.target_slot) == (own, slot)]
    ids = {link.id for link in gone}
    graph["links"][:] = [entry for entry in links if not (found := read_links([entry])) or found[0].id not in ids]
    for other in objects(graph.get("nodes")):
        for output in objects(other.get("outputs")):
            if isinstance(output.get("links"), list):
                output["links"] = [key for key in output["links"] if id_text(key) not in ids]
