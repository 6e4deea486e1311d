"""Finds the ports of a workflow: its ``DiscomfortPort`` nodes, each with its variable, its role and its type. Pure.

The connections of a port decide its role. Reroutes and the borders of subgraphs are only ways; they connect nothing by
themselves. Muted and bypassed ports are not in the prompt, so they have no role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .._json_objects import JsonObject
from ..exceptions import GraphProblem
from .javascript import id_text
from .link_ends import LinkEnd, origin_of, targets_of
from .nodes import class_of
from .port_types import ANY, excludes, is_known
from .scopes import GraphScope, workflow_scope
from .subgraphs import group_members, objects

PORT = "DiscomfortPort"
"""The class of a port."""


class PortRole(str, Enum):  # noqa: UP042 - StrEnum needs Python 3.11, and ComfyUI may have 3.10
    """What a port does in a run."""

    __str__ = str.__str__

    INPUT = "input"  # the variable's value enters here: something out of it, nothing into it
    OUTPUT = "output"  # what arrives here becomes the variable's value: something into it, nothing out of it
    PASSTHRU = "passthru"  # both: it hands on what it gets
    UNCONNECTED = "unconnected"  # neither: it does nothing


@dataclass(frozen=True, slots=True)
class WorkflowPort:
    """One port. ``node_id`` is its id as a prompt has it (``"5:1"`` inside a subgraph).

    ``source`` is the output that feeds it, ``targets`` are the inputs that it feeds. Other ports are among them.
    """

    unique_id: str
    role: PortRole
    tags: tuple[str, ...]
    input_type: str
    output_type: str
    node: JsonObject = field(repr=False)
    scope: GraphScope = field(repr=False)
    source: LinkEnd | None = None
    targets: tuple[LinkEnd, ...] = ()

    @property
    def node_id(self) -> str:
        """The id as a prompt has it."""
        return self.scope.prefix + id_text(self.node.get("id"))

    @property
    def saved_id(self) -> Any:
        """The id as the file has it; inside a subgraph the one that a prompt has."""
        return self.node_id if self.scope.prefix else self.node.get("id")

    @property
    def type(self) -> str:
        """The type of the variable: of what it feeds, and for an output of what feeds it."""
        return self.input_type if self.role is PortRole.OUTPUT else self.output_type


@dataclass(frozen=True, slots=True)
class WorkflowPorts:
    """All ports of a workflow, in the order of the file, each subgraph's after its node.

    ``ports`` have an id and are active, ``unnamed`` ones lack the id, ``inactive`` ones are muted or bypassed.
    """

    scope: GraphScope = field(repr=False)
    ports: tuple[WorkflowPort, ...] = ()
    unnamed: tuple[WorkflowPort, ...] = ()
    inactive: tuple[WorkflowPort, ...] = ()
    problems: tuple[GraphProblem, ...] = ()

    def of(self, *roles: PortRole) -> list[WorkflowPort]:
        """The ports with one of these roles."""
        return [port for port in self.ports if port.role in roles]

    def duplicates(self) -> dict[str, list[Any]]:
        """The ids that several INPUT or several OUTPUT ports have, each with the ids of these nodes."""
        found: dict[str, list[Any]] = {}
        for role in (PortRole.INPUT, PortRole.OUTPUT):
            for unique_id, ports in by_id(self.of(role)).items():
                if len(ports) > 1:
                    found.setdefault(unique_id, []).extend(port.saved_id for port in ports)
        return found


def by_id(ports: Iterable[WorkflowPort]) -> dict[str, list[WorkflowPort]]:
    """Ports by their unique id."""
    found: dict[str, list[WorkflowPort]] = {}
    for port in ports:
        found.setdefault(port.unique_id, []).append(port)
    return found


def workflow_ports(workflow: JsonObject) -> WorkflowPorts:
    """The ports of a workflow that passed :func:`~discomfort.workflow.detect.classify`.

    Raises PayloadError if a subgraph contains itself.
    """
    root = workflow_scope(workflow)
    ports, unnamed, inactive = [], [], []
    problems: list[GraphProblem] = []
    for scope, node in _in_order(root):
        if class_of(node) != PORT:
            problems += _in_group(workflow, scope, node)
            continue
        port, computed_by = _port(scope, node)
        if not scope.is_active(node):
            inactive.append(port)
        elif not port.unique_id:
            unnamed.append(port)
            text = f"its unique_id is computed by node {computed_by}" if computed_by else "it has no unique_id"
            problems.append(problem_of(port, f"{text}: type a name into it"))
        else:
            ports.append(port)
            problems += _contradictions(port)
    found = WorkflowPorts(root, tuple(ports), tuple(unnamed), tuple(inactive))
    more = [*problems, *_shared_outputs(found)]
    return WorkflowPorts(root, found.ports, found.unnamed, found.inactive, tuple(more))


def problem_of(port: WorkflowPort, problem: str) -> GraphProblem:
    """A problem of a port."""
    title = port.node.get("title")
    named = f"port {port.unique_id!r}: {problem}" if port.unique_id else problem
    return GraphProblem(port.node_id, PORT, title if isinstance(title, str) else None, None, named)


def port_slot(node: JsonObject) -> int:
    """The position of a port's ``input_data``, normally 0."""
    names = [slot.get("name") for slot in objects(node.get("inputs"))]
    return names.index("input_data") if "input_data" in names else 0


def _in_order(scope: GraphScope) -> Iterator[tuple[GraphScope, JsonObject]]:
    stack = [(scope, iter(list(scope.nodes.values())))]
    while stack:
        here, nodes = stack[-1]
        node = next(nodes, None)
        if node is None:
            stack.pop()
            continue
        yield here, node
        child = here.children.get(id_text(node.get("id")))
        if child is not None:
            stack.append((child, iter(list(child.nodes.values()))))


def _port(scope: GraphScope, node: JsonObject) -> tuple[WorkflowPort, str]:
    """The port of a node, and the id of the node that computes its unique_id, if one does."""
    own = id_text(node.get("id"))
    unique_id, computed_by = _unique_id(scope, node)
    source = _source_of(scope, node)
    targets = tuple(targets_of(scope, own, 0))
    role = (
        (PortRole.PASSTHRU if targets else PortRole.OUTPUT)
        if source is not None
        else (PortRole.INPUT if targets else PortRole.UNCONNECTED)
    )
    input_type = _type_of_source(source)
    output_type = next((kind for kind in _types_of_targets(targets) if is_known(kind)), ANY)
    port = WorkflowPort(unique_id, role, _tags(node), input_type, output_type, node, scope, source, targets)
    return port, computed_by


def _source_of(scope: GraphScope, node: JsonObject) -> LinkEnd | None:
    return origin_of(scope, scope.links.into(id_text(node.get("id")), port_slot(node)))


def _type_of_source(source: LinkEnd | None) -> str:
    """The type behind other ports, whose own slots take anything."""
    seen: set[str] = set()
    while source is not None and source.class_type == PORT and source.node_id not in seen:
        seen.add(source.node_id)
        before = _source_of(source.scope, source.node)
        if before is None:
            return source.type
        source = before
    return ANY if source is None else source.type


def _types_of_targets(targets: Iterable[LinkEnd]) -> Iterator[str]:
    seen: set[str] = set()
    stack = list(reversed(list(targets)))
    while stack:
        end = stack.pop()
        if end.class_type != PORT:
            yield end.type
        elif end.node_id not in seen and end.slot == port_slot(end.node):
            seen.add(end.node_id)
            stack += reversed(list(targets_of(end.scope, id_text(end.node.get("id")), 0)))


def _unique_id(scope: GraphScope, node: JsonObject) -> tuple[str, str]:
    value = _widget(node, 0, "unique_id")
    slots = list(objects(node.get("inputs")))
    at = next((index for index, slot in enumerate(slots) if slot.get("name") == "unique_id"), None)
    link = None if at is None else scope.links.into(id_text(node.get("id")), at)
    if link is not None:
        feeder = origin_of(scope, link)
        if feeder is not None and feeder.class_type == "PrimitiveNode":
            value = _widget(feeder.node, 0, "value")
        elif feeder is not None:
            return "", feeder.node_id
    return ("" if value is None else str(value).strip()), ""


def _tags(node: JsonObject) -> tuple[str, ...]:
    value = _widget(node, 1, "tags")
    return tuple(tag for part in value.split(",") if (tag := part.strip())) if isinstance(value, str) else ()


def _widget(node: JsonObject, position: int, name: str) -> Any:
    values = node.get("widgets_values")
    if isinstance(values, list):
        return values[position] if position < len(values) else None
    return values.get(name) if isinstance(values, dict) else None


def _in_group(workflow: JsonObject, scope: GraphScope, node: JsonObject) -> Iterator[GraphProblem]:
    """Ports in group nodes, whose connections only the frontend knows."""
    for index, member in enumerate(group_members(workflow, str(node.get("type"))) or []):
        if class_of(member) == PORT:
            place = f"{scope.prefix}{id_text(node.get('id'))}:{index}"
            text = "it is in a group node, where its role cannot be read: convert the group to a subgraph"
            yield GraphProblem(place, PORT, None, None, text)


def _contradictions(port: WorkflowPort) -> Iterator[GraphProblem]:
    """Inputs that take what the port can never give."""
    kinds = [(end, end.type) for end in port.targets if end.class_type != PORT]
    first = (port.source, port.input_type) if is_known(port.input_type) else next(iter(kinds), None)
    for end, kind in kinds:
        if first is not None and first[0] is not None and excludes(first[1], kind):
            gives = f"{first[1]} of node {first[0].node_id} ({first[0].class_type})"
            yield problem_of(port, f"{gives} and {kind} of node {end.node_id} ({end.class_type}) exclude each other")


def _shared_outputs(found: WorkflowPorts) -> Iterator[GraphProblem]:
    for ports in by_id(found.of(PortRole.OUTPUT)).values():
        if len(ports) > 1:
            nodes = ", ".join(port.node_id for port in ports)
            yield problem_of(ports[-1], f"{len(ports)} OUTPUT ports have this id (nodes {nodes}): rename all but one")
