"""Joins workflows into one, wherever an earlier one has an OUTPUT and a later one an INPUT of the same id. Pure.

Only the links between ports are new; nodes, subgraphs, group nodes, frames and dots on links come along. Nodes that act
on others without a link (Use Everywhere, Set and Get) then see the nodes of all parts.
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.exceptions import GraphProblem, PortError
from discomfort.workflow.definition_pool import DefinitionPool
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import connect_slots, read_links
from discomfort.workflow.native_reroutes import tidy_reroutes
from discomfort.workflow.port_types import excludes, is_known
from discomfort.workflow.pruning import remove_nodes
from discomfort.workflow.structure import check_cycles
from discomfort.workflow.subgraphs import objects
from discomfort.workflow.workflow_layout import lay_side_by_side
from discomfort.workflow.workflow_numbering import LastIds, renumber
from discomfort.workflow.workflow_parts import Slot, WorkflowPart
from discomfort.workflow.workflow_ports import (
    PORT,
    PortRole,
    WorkflowPort,
    by_id,
    problem_of,
    workflow_ports,
)

_STALE = ("ue_links", "links_added_by_ue")
"""What a pack notes about links by ids of nodes, and finds out again whenever it is needed."""


@dataclass(frozen=True, slots=True)
class Joint:
    """An OUTPUT port, and the INPUT port of a later part that gets its value. The numbers are those of the parts."""

    source_part: int
    source: WorkflowPort
    target_part: int
    target: WorkflowPort


def stitched(
    workflows: Sequence[JsonObject], *, delete_input_ports: bool = False, delete_output_ports: bool = False
) -> JsonObject:
    """One workflow, in schema 0.4, made of copies of these, which have passed the checks of their structure.

    An OUTPUT feeds every later INPUT of its id, until a later OUTPUT has this id; if nothing then needs the earlier
    one, its port is left out. With the two options, what is still INPUT or OUTPUT at the end is deleted.

    Raises PortError, which names the nodes, if types exclude each other, if two OUTPUT ports of one workflow have the
    same id, or if a port to be connected is in a subgraph that is used several times.
    """
    parts = [WorkflowPart(copied(workflow)) for workflow in workflows]
    joints, left_out = _plan(parts)
    problems = [problem for number, part in enumerate(parts, 1) for problem in _shared_outputs(number, part)]
    problems += [problem for joint in joints for problem in _problems(parts, joint)]
    if problems:
        raise PortError("the workflows cannot be stitched", problems)
    merged = _merged(parts, _slots(parts, joints), left_out)
    roles = [PortRole.INPUT] * delete_input_ports + [PortRole.OUTPUT] * delete_output_ports
    if roles:
        delete_ports(merged, roles)
    _number_order(merged)
    return merged


def delete_ports(workflow: JsonObject, roles: Sequence[PortRole]) -> None:
    """Delete, in place, the ports with these roles and their links; unconnected ports count as both kinds.

    A port that gets such a role because another one is gone is deleted, too.
    """
    while _delete_once(workflow, roles):
        pass


def _delete_once(workflow: JsonObject, roles: Sequence[PortRole]) -> bool:
    found = workflow_ports(workflow)
    wanted = {*roles, PortRole.UNCONNECTED}
    # In a subgraph that is used several times, a port goes only if none of the uses needs it.
    kept = {id(port.node) for port in (*found.inactive, *found.unnamed)}
    kept |= {id(port.node) for port in found.ports if port.role not in wanted}
    gone = [port for port in found.ports if id(port.node) not in kept]
    for graph in {id(port.scope.graph): port.scope.graph for port in gone}.values():
        remove_nodes(graph, {id_text(port.node.get("id")) for port in gone if port.scope.graph is graph})
    return bool(gone)


def _plan(parts: Sequence[WorkflowPart]) -> tuple[list[Joint], list[tuple[int, WorkflowPort]]]:
    """Which ports are joined, and which are left out: OUTPUT ports that later ones replace before anybody takes their
    value, and what feeds only them.

    An INPUT that feeds only such ports is not joined: with something into it and nothing out of it, it would become an
    OUTPUT of the whole.
    """
    idle: set[tuple[int, str]] = set()
    while True:
        joints, shadowed = _joints(parts, idle)
        gone = _in_vain(parts, [each for each in shadowed if _can_go(parts, each)])
        names = {(number, port.node_id) for number, port in gone}
        ends = [(joint.target_part, joint.target) for joint in joints]
        more = {(number, port.node_id) for number, port in ends if _feeds_only(names, number, port)}
        if not more:
            return joints, gone
        idle |= more


def _joints(
    parts: Sequence[WorkflowPart], idle: Container[tuple[int, str]]
) -> tuple[list[Joint], list[tuple[int, WorkflowPort]]]:
    """What is joined, without these INPUT ports, and the OUTPUT ports that are replaced before they are needed."""
    joints: list[Joint] = []
    shadowed: list[tuple[int, WorkflowPort]] = []
    current: dict[str, tuple[int, WorkflowPort]] = {}
    taken: set[int] = set()
    for number, part in enumerate(parts):
        for port in part.ports.of(PortRole.INPUT):
            if port.unique_id in current and (number, port.node_id) not in idle:
                source_part, source = current[port.unique_id]
                joints.append(Joint(source_part, source, number, port))
                taken.add(id(source))
        for port in part.ports.of(PortRole.OUTPUT):
            before = current.get(port.unique_id)
            if before is not None and before[0] != number and id(before[1]) not in taken:
                shadowed.append(before)
            current[port.unique_id] = number, port
    return joints, shadowed


def _can_go(parts: Sequence[WorkflowPart], place: tuple[int, WorkflowPort]) -> bool:
    """Inside a subgraph it may be the port of another use, too: there it stays."""
    number, port = place
    return not port.scope.prefix or parts[number].problem(port) is None


def _in_vain(
    parts: Sequence[WorkflowPart], shadowed: Sequence[tuple[int, WorkflowPort]]
) -> list[tuple[int, WorkflowPort]]:
    """These ports, and those that only hand something on to them: such a port would become an OUTPUT without them."""
    gone = list(shadowed)
    handing_on = [(number, port) for number, part in enumerate(parts) for port in part.ports.of(PortRole.PASSTHRU)]
    while True:
        names = {(number, port.node_id) for number, port in gone}
        more = [
            (number, port)
            for number, port in handing_on
            if (number, port.node_id) not in names
            and _feeds_only(names, number, port)
            and _can_go(parts, (number, port))
        ]
        if not more:
            return gone
        gone += more


def _feeds_only(names: Container[tuple[int, str]], number: int, port: WorkflowPort) -> bool:
    return bool(port.targets) and all((number, end.node_id) in names for end in port.targets)


def _shared_outputs(number: int, part: WorkflowPart) -> Iterator[GraphProblem]:
    for ports in by_id(part.ports.of(PortRole.OUTPUT)).values():
        if len(ports) > 1:
            nodes = ", ".join(port.node_id for port in ports)
            yield problem_of(ports[-1], f"nodes {nodes} of workflow {number} are OUTPUT ports of this id: keep one")


def _problems(parts: Sequence[WorkflowPart], joint: Joint) -> Iterator[GraphProblem]:
    for number, port in ((joint.source_part, joint.source), (joint.target_part, joint.target)):
        problem = parts[number].problem(port)
        if problem is not None:
            yield problem
    source, kind = joint.source, joint.source.input_type
    for end in joint.target.targets:
        if end.class_type != PORT and excludes(kind, end.type):
            gives = f"node {source.node_id} of workflow {joint.source_part + 1} gives {kind}"
            takes = f"node {end.node_id} ({end.class_type}) of workflow {joint.target_part + 1} takes {end.type}"
            yield problem_of(joint.target, f"{gives}, but {takes}")
            return


def _slots(parts: Sequence[WorkflowPart], joints: Sequence[Joint]) -> list[tuple[int, Slot, int, Slot, str]]:
    """The new links: from a part and an output to a part and an input, with their type."""
    found = []
    for joint in joints:
        source = parts[joint.source_part].output_slot(joint.source)
        target = parts[joint.target_part].input_slot(joint.target)
        kind = joint.source.type if is_known(joint.source.type) else "*"
        found.append((joint.source_part, source, joint.target_part, target, kind))
    return found


def _merged(
    parts: Sequence[WorkflowPart],
    joints: Sequence[tuple[int, Slot, int, Slot, str]],
    left_out: Sequence[tuple[int, WorkflowPort]],
) -> JsonObject:
    for _, port in left_out:
        remove_nodes(port.scope.graph, {id_text(port.node.get("id"))})
    last, pool = LastIds(), DefinitionPool()
    graphs = [part.workflow for part in parts]
    lay_side_by_side(graphs)
    numbers = []
    for graph in graphs:
        pool.take(graph)
        numbers.append(renumber(graph, last))
    nodes = [node for graph in graphs for node in graph["nodes"]]
    links = [link for graph in graphs for link in graph["links"]]
    for source_part, source, target_part, target, kind in joints:
        origin, end = numbers[source_part][source[0]], numbers[target_part][target[0]]
        links = [link for link in links if (link[3], link[4]) != (end, target[1])]
        links.append([last.next("link"), origin, source[1], end, target[1], kind])
    connect_slots(nodes, read_links(links))
    merged = _envelope(graphs, pool) | {"last_node_id": last.node, "last_link_id": last.link}
    merged |= {"nodes": nodes, "links": links}
    tidy_reroutes(merged)
    return merged


def _envelope(graphs: Sequence[JsonObject], pool: DefinitionPool) -> JsonObject:
    """All of the result but its nodes and links, in the order in which the frontend saves it."""
    merged: JsonObject = {"id": str(uuid.uuid4()), "revision": 0, "last_node_id": 0, "last_link_id": 0}
    merged |= {"nodes": [], "links": []}
    floating = [each for graph in graphs for each in graph.get("floatingLinks", [])]
    if floating:
        merged["floatingLinks"] = floating
    merged["groups"] = [frame for graph in graphs for frame in objects(graph.get("groups"))]
    if pool.subgraphs or pool.others:
        merged["definitions"] = {**pool.others, "subgraphs": pool.subgraphs}
    known = {*merged, "config", "extra", "version", "state", "definitions", "floatingLinks"}
    configs = [graph.get("config") for graph in graphs]
    merged["config"] = _joined([config for config in configs if isinstance(config, dict)])
    merged["extra"] = _joined_extra([graph["extra"] for graph in graphs], pool)
    for key, value in ((key, value) for graph in graphs for key, value in graph.items() if key not in known):
        merged.setdefault(key, value)
    return merged | {"version": 0.4}


def _joined_extra(extras: Sequence[JsonObject], pool: DefinitionPool) -> JsonObject:
    merged = {key: value for key, value in _joined(extras).items() if key not in _STALE}
    for key in ("reroutes", "linkExtensions"):
        found = [each for extra in extras for each in extra.get(key, [])]
        if found:
            merged[key] = found
    versions = [extra["node_versions"] for extra in extras if isinstance(extra.get("node_versions"), dict)]
    if versions:
        merged["node_versions"] = _joined(versions)
    apps = [extra["linearData"] for extra in extras if isinstance(extra.get("linearData"), dict)]
    if apps:
        lists = {key: [each for app in apps for each in app[key]] for key in ("inputs", "outputs")}
        merged["linearData"] = _joined(apps) | lists
    if pool.groups:
        merged["groupNodes"] = pool.groups
    return merged


def _joined(objects_in_order: Sequence[Mapping[str, Any]]) -> JsonObject:
    """The keys of all; of several values the first counts."""
    merged: JsonObject = {}
    for each in objects_in_order:
        for key, value in each.items():
            merged.setdefault(key, value)
    return merged


def _number_order(workflow: JsonObject) -> None:
    order = {id_text(key): index for index, key in enumerate(check_cycles(workflow))}
    for node in workflow["nodes"]:
        node["order"] = order[id_text(node["id"])]
