"""The widgets of a workflow, as the editor sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, expanded, input_specs, option_inputs, spec_type
from discomfort.workflow.input_values import BOX, check_value
from discomfort.workflow.model_folders import model_remedy
from discomfort.workflow.nodes import WorkflowNode, class_of, iterate, subgraphs
from discomfort.workflow.promotions import Promotions, promotions
from discomfort.workflow.selectors import Target
from discomfort.workflow.subgraphs import is_group, link_list
from discomfort.workflow.widgets import WidgetMap, locate, saved_widget_names, sockets

_TEXT_ONLY = frozenset({"Note", "MarkdownNote", "Reroute"})
_SUBGRAPH_INPUTS = "-10"  # the id that LiteGraph gives, inside a subgraph, to the node for its inputs
_MOST_HOPS = 1000
_CONVERT = "convert the workflow first and set it on the prompt"
# Then the widgets behind the reroute keep their own values (frontends 1.27.10 to 1.58.1).
_REROUTED = "through a reroute, which may not pass its value on"


@dataclass(frozen=True, slots=True)
class WidgetPlace:
    """Where a value is saved: the node, and its position in the node's list (or its key in the node's object).

    ``promoted``: the node is a subgraph's, which shows a widget of a node inside.
    """

    owner: JsonObject
    position: Any
    name: str
    promoted: bool = False

    def read(self) -> Any:
        """The saved value."""
        return self.owner["widgets_values"][self.position]

    def write(self, value: Any, kind: str) -> None:
        """Replace it, also where the same value is saved once more: by name, or a box's numbers behind the box."""
        values = self.owner["widgets_values"]
        values[self.position] = value
        named = self.owner.get("widgets_values_named")
        if isinstance(named, dict) and self.name in named:
            named[self.name] = value
        # What stands behind a promoted box is the next promoted widget.
        if kind == "BOUNDING_BOX" and isinstance(values, list) and not self.promoted:
            numbers = [value[side] for side in BOX]
            values[self.position + 1 : self.position + 1 + len(BOX)] = numbers


class WorkflowGraph:
    """A workflow's widgets by node id and input name. Edits the object it is given, not a copy."""

    def __init__(self, workflow: JsonObject, definitions: Mapping[str, Any] | None) -> None:
        self._definitions = definitions or {}
        self._subgraphs = subgraphs(workflow)
        self._nodes = {found.id: found for found in iterate(workflow) if found.type not in _TEXT_ONLY}
        self._uses = Counter(found.type for found in self._nodes.values() if found.type in self._subgraphs)
        self._maps: dict[str, WidgetMap] = {}
        self._by_graph: dict[int, dict[str, JsonObject]] = {}
        self._links: dict[int, dict[str, tuple[str, int]]] = {}
        self.targets: list[Target] = [
            Target(found.id, self._title(found), self._kind(found)) for found in self._nodes.values()
        ]

    def names(self, node_id: str) -> Sequence[str]:
        """Return every declared or saved input of the node, sockets and promoted widgets included."""
        node = self._nodes[node_id].node
        slots = [str(entry["name"]) for entry in sockets(node) if "name" in entry]
        saved, shown = saved_widget_names(node), [name for _, name in self._promotions(node_id).entries]
        return list(dict.fromkeys([*self._specs(node_id), *saved, *slots, *self._map(node_id).positions, *shown]))

    def settable(self, node_id: str) -> Sequence[str]:
        """Return the inputs whose widget is found and has no link, or only one from a PrimitiveNode."""
        names = []
        shown = [name for _, name in self._promotions(node_id).entries]
        for name in dict.fromkeys([*self._map(node_id).positions, *shown]):
            try:
                self._places(node_id, name, name)
            except InputSelectorError:
                continue
            names.append(name)
        return names

    def get(self, node_id: str, name: str, selector: str) -> Any:
        """Return the widget's saved value; of a promoted one, that of the outermost node that has one."""
        return self._places(node_id, name, selector)[-1].read()

    def set(self, node_id: str, name: str, value: Any, selector: str) -> None:
        """Replace the widget's saved value, wherever it is saved."""
        places = self._places(node_id, name, selector)
        node_id = self._inside(node_id, name)
        node = self._nodes[node_id].node
        spec = self._specs(node_id).get(name)
        kind = spec_type(spec)
        check_value(selector, value, spec, remedy=model_remedy(class_of(node), name, value))
        if kind == DYNAMIC_COMBO and option_inputs(spec, value) != option_inputs(spec, places[0].read()):
            raise InputSelectorError(selector, f"that value brings other inputs than the present one; {_CONVERT}")
        for place in places:
            place.write(value, kind)

    def _places(self, node_id: str, name: str, selector: str) -> list[WidgetPlace]:
        """Return where the input's value is saved; the last one counts in frontends that know promoted widgets."""
        found = self._nodes[node_id]
        shared = str(found.graph.get("id")) if ":" in node_id else ""
        if self._uses.get(shared, 0) > 1:
            problem = f"its subgraph is used {self._uses[shared]} times, and this would change all of them; {_CONVERT}"
            raise InputSelectorError(selector, problem)
        link = next(
            (e.get("link") for e in sockets(found.node) if _names_of(e, name) and e.get("link") is not None), None
        )
        if link is not None:
            return [self._feeder(found, link, selector)]
        if found.type in self._subgraphs:
            inner = self._promotions(node_id).inside(name)
            if inner is None or f"{node_id}:{inner}" not in self._nodes:
                raise InputSelectorError(selector, f"the widgets of a subgraph cannot be told apart; {_CONVERT}")
            return self._places(f"{node_id}:{inner}", name, selector)
        located = self._map(node_id)
        if name not in located.positions:
            reason = located.reason or "it has no saved value, or its position among the widgets is uncertain"
            raise InputSelectorError(selector, f"{reason}; {_CONVERT}")
        if class_of(found.node) == "PrimitiveNode" and self._is_rerouted(found):
            raise InputSelectorError(selector, f"feeds its inputs {_REROUTED}; {_CONVERT}")
        own = WidgetPlace(found.node, located.positions[name], name)
        return [own, *self._promoted(node_id, name, selector)]

    def _promoted(self, node_id: str, name: str, selector: str) -> Iterator[WidgetPlace]:
        """The values that the subgraphs around a node have for its widget, from the inside."""
        host_id, _, inner = node_id.rpartition(":")
        while host_id:
            shown = self._promotions(host_id)
            if (inner, name) not in shown.entries:
                return
            if shown.values and not shown.certain:
                host = Target(host_id, self._title(self._nodes[host_id]), self._kind(self._nodes[host_id]))
                raise InputSelectorError(selector, f"{host} may have a value of its own for it; {_CONVERT}")
            position = shown.position(inner, name)
            if position is not None:
                yield WidgetPlace(self._nodes[host_id].node, position, name, promoted=True)
            host_id, _, inner = host_id.rpartition(":")

    def _inside(self, node_id: str, name: str) -> str:
        """The node whose widget is meant: for a promoted one, the node inside the subgraph."""
        while self._nodes[node_id].type in self._subgraphs:
            node_id = f"{node_id}:{self._promotions(node_id).inside(name)}"
        return node_id

    def _promotions(self, node_id: str) -> Promotions:
        found = self._nodes[node_id]
        if found.type not in self._subgraphs:
            return Promotions()
        return promotions(found.node, {str(node.get("id")) for node in self._subgraphs[found.type]["nodes"]})

    def _feeder(self, found: WorkflowNode, link: object, selector: str) -> WidgetPlace:
        """Follow a link upstream through reroutes to a PrimitiveNode, or say what else feeds the input."""
        nodes = self._graph_nodes(found.graph)
        links = self._graph_links(found.graph)
        is_rerouted = False
        for _ in range(_MOST_HOPS):
            origin, slot = links.get(str(link), ("", 0))
            if origin == _SUBGRAPH_INPUTS:
                raise InputSelectorError(selector, f"is fed by input {slot} of its subgraph; {_CONVERT}")
            node = nodes.get(origin)
            if node is None:
                raise InputSelectorError(selector, f"is fed by link {link}, which has no source; {_CONVERT}")
            if class_of(node) == "Reroute":
                is_rerouted = True
                link = next((entry.get("link") for entry in sockets(node)), None)
                continue
            if class_of(node) == "PrimitiveNode" and is_rerouted:
                raise InputSelectorError(selector, f"is fed by a PrimitiveNode {_REROUTED}; {_CONVERT}")
            if class_of(node) == "PrimitiveNode" and locate(node, None).positions:
                return WidgetPlace(node, 0, "value")
            prefix = found.id.rpartition(":")[0]
            feeder_id = f"{prefix}:{origin}" if prefix else origin
            feeder = Target(feeder_id, self._title(self._nodes[feeder_id]), class_of(node))
            candidates = [f"#{feeder_id}.{name}" for name in self._map(feeder_id).positions]
            remedy = "; set that node instead" if candidates else ""
            raise InputSelectorError(selector, f"is fed by output {slot} of {feeder}{remedy}", candidates)
        raise InputSelectorError(selector, f"is fed by a chain of reroutes that does not end; {_CONVERT}")

    def _is_rerouted(self, primitive: WorkflowNode) -> bool:
        """Whether a reroute stands behind a PrimitiveNode."""
        links, own = self._graph_links(primitive.graph), str(primitive.node.get("id"))
        reroutes = (node for node in primitive.graph["nodes"] if class_of(node) == "Reroute")
        return any(links.get(str(entry.get("link")), ("", 0))[0] == own for each in reroutes for entry in sockets(each))

    def _map(self, node_id: str) -> WidgetMap:
        if node_id not in self._maps:
            found = self._nodes[node_id]
            is_container = found.type in self._subgraphs or is_group(found.type)
            reason = WidgetMap({}, "the widgets of a group cannot be told apart")
            self._maps[node_id] = reason if is_container else locate(found.node, self._definition(found.node))
        return self._maps[node_id]

    def _specs(self, node_id: str) -> dict[str, Any]:
        """The declarations of the inputs that the node has with its present values."""
        node = self._nodes[node_id].node
        values: dict[str, Any] = {str(entry.get("name")): None for entry in sockets(node)}
        values |= {name: node["widgets_values"][at] for name, at in self._map(node_id).positions.items()}
        return expanded(input_specs(self._definition(node)), values)

    def _definition(self, node: JsonObject) -> Any:
        return self._definitions.get(class_of(node))

    def _title(self, found: WorkflowNode) -> str | None:
        title = found.node.get("title")
        if isinstance(title, str) and title:
            return title
        definition = self._definition(found.node)
        name = definition.get("display_name") if isinstance(definition, Mapping) else None
        return name if isinstance(name, str) and name else None

    def _kind(self, found: WorkflowNode) -> str:
        subgraph = self._subgraphs.get(found.type)
        return str(subgraph.get("name") or found.type) if subgraph else class_of(found.node)

    def _graph_nodes(self, graph: JsonObject) -> dict[str, JsonObject]:
        if id(graph) not in self._by_graph:
            self._by_graph[id(graph)] = {str(node.get("id")): node for node in graph["nodes"]}
        return self._by_graph[id(graph)]

    def _graph_links(self, graph: JsonObject) -> dict[str, tuple[str, int]]:
        if id(graph) not in self._links:
            self._links[id(graph)] = dict(filter(None, map(_link_origin, link_list(graph))))
        return self._links[id(graph)]


def _names_of(entry: JsonObject, name: str) -> bool:
    widget = entry.get("widget")
    return (widget.get("name") if isinstance(widget, dict) else entry.get("name")) == name


def _link_origin(link: Any) -> tuple[str, tuple[str, int]] | None:
    """Return a link's id, the node that it comes from and that node's output: schema 0.4 has lists, 1.0 objects."""
    if isinstance(link, list) and len(link) >= 3:
        return str(link[0]), (str(link[1]), link[2])
    if isinstance(link, dict):
        return str(link.get("id")), (str(link.get("origin_id")), link.get("origin_slot", 0))
    return None
