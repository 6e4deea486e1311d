"""Finds what holds the value of a workflow's input: its widget, a PrimitiveNode, or a widget of a subgraph's node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_branches import is_widget
from discomfort.workflow.dynamic_inputs import expanded, growing_inputs, growth_hint, input_specs, spec_type
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import SUBGRAPH_INPUTS, Link, read_links
from discomfort.workflow.nodes import WorkflowNode, class_of
from discomfort.workflow.promotions import OF_AN_INPUT, Promotions, promotions
from discomfort.workflow.shown_inputs import ShownInput, host_entry, kept_entries, linked_name, shown_inputs
from discomfort.workflow.subgraphs import is_group, link_list
from discomfort.workflow.widget_places import KeptPlace, Place, WidgetPlace, WidgetSource
from discomfort.workflow.widgets import WidgetMap, locate, saved_widget_names, sockets

_MOST_HOPS = 1000
_CONVERT = "convert the workflow first and set it on the prompt"
# Then the widgets behind the reroute keep their own values (frontends 1.27.10 to 1.58.1).
_REROUTED = "through a reroute, which may not pass its value on"


class WidgetSources:
    """The sources of a workflow's values, by node id and input name.

    ``describe`` names a node in errors.
    """

    def __init__(
        self,
        nodes: Mapping[str, WorkflowNode],
        subgraphs: Mapping[str, JsonObject],
        definitions: Mapping[str, Any],
        describe: Callable[[str], str],
    ) -> None:
        self._nodes, self._subgraphs, self._definitions, self._describe = nodes, subgraphs, definitions, describe
        self._uses = Counter(found.type for found in nodes.values() if found.type in subgraphs)
        self._maps: dict[str, WidgetMap] = {}
        self._shown: dict[str, dict[int, ShownInput]] = {}
        self._links: dict[int, dict[str, Link]] = {}
        self.deferred: dict[tuple[str, str], Any] = {}
        """Values by node and input that only the prompt will have."""

    # --- what a node has -------------------------------------------------------------------------------------------

    def map(self, node_id: str) -> WidgetMap:
        """The places of a node's own widgets."""
        if node_id not in self._maps:
            found = self._nodes[node_id]
            is_container = found.type in self._subgraphs or is_group(found.type)
            reason = WidgetMap({}, "the widgets of a group cannot be told apart")
            self._maps[node_id] = reason if is_container else locate(found.node, self.definition(found.node))
        return self._maps[node_id]

    def forget_all(self) -> None:
        """Read all widgets and links again, because an edit may have changed more than one value."""
        self._maps.clear()
        self._shown.clear()
        self._links.clear()

    def definition(self, node: JsonObject) -> Any:
        """The definition of the node's class, ``None`` if it is unknown."""
        return self._definitions.get(class_of(node))

    def specs(self, node_id: str) -> dict[str, Any]:
        """The declarations of the inputs that the node has with its present values."""
        return expanded(input_specs(self.definition(self._nodes[node_id].node)), self._values(node_id))

    def growth_hint(self, node_id: str, name: str) -> str:
        """What to say of an input that the node does not have, if it would be one of a growing row."""
        return growth_hint(input_specs(self.definition(self._nodes[node_id].node)), self._values(node_id), name)

    def _rows(self, node_id: str) -> Iterable[str]:
        return growing_inputs(input_specs(self.definition(self._nodes[node_id].node)), self._values(node_id))

    def _values(self, node_id: str) -> dict[str, Any]:
        node, located = self._nodes[node_id].node, self.map(node_id)
        values: dict[str, Any] = {str(entry.get("name")): None for entry in sockets(node)}
        values |= {name: located.defaults[at] for name, at in located.absent.items()}
        values |= {name: node["widgets_values"][at] for name, at in located.positions.items()}
        return values | {name: value for (owner, name), value in self.deferred.items() if owner == node_id}

    def promotions(self, node_id: str) -> Promotions:
        """The widgets inside that a subgraph's node lists."""
        found = self._nodes[node_id]
        if found.type not in self._subgraphs:
            return Promotions()
        return promotions(found.node, {str(node.get("id")) for node in self._subgraphs[found.type]["nodes"]})

    def shown(self, node_id: str) -> Mapping[int, ShownInput]:
        """The inputs that a subgraph's node shows as widgets; none for other nodes."""
        found = self._nodes[node_id]
        if found.type not in self._subgraphs:
            return {}
        if found.type not in self._shown:

            def is_widget(inner: str, name: str) -> bool:
                return self._has_widget(f"{node_id}:{inner}", name)

            self._shown[found.type] = {}
            self._shown[found.type] = shown_inputs(self._subgraphs[found.type], is_widget)
        return self._shown[found.type]

    def _has_widget(self, node_id: str, name: str) -> bool:
        if node_id not in self._nodes:
            return False
        if self._nodes[node_id].type in self._subgraphs:
            return any(each.name == name for each in self.shown(node_id).values())
        located, node = self.map(node_id), self._nodes[node_id].node
        if name in located.positions or name in located.absent:
            return True
        # An input that its class does not declare has no widget. Dynamic inputs depend on the values.
        is_declared = self.definition(node) is None or "." in name or name in self.specs(node_id)
        return is_declared and name in saved_widget_names(node)

    # --- where its values are --------------------------------------------------------------------------------------

    def find(self, node_id: str, name: str, selector: str) -> WidgetSource:
        """The source of an input's value. Raises InputSelectorError if there is none that can be set, or none that is
        certain.
        """
        found = self._nodes[node_id]
        entry = next((each for each in sockets(found.node) if _names_of(each, name) and _is_linked(each)), None)
        if found.type in self._subgraphs:
            return self._of_host(node_id, name, selector)
        if entry is not None:
            return self._fed(node_id, name, entry["link"], selector)
        self._refuse_shared(found, selector)
        places = (self._own(node_id, name, selector), *self._promoted(node_id, name, selector))
        primitive = node_id if class_of(found.node) == "PrimitiveNode" else ""
        return WidgetSource(places, node_id, name, primitive=primitive)

    def ends(self, source: WidgetSource) -> Iterator[tuple[str, str]]:
        """The inputs that get the value, by node id and name: of a PrimitiveNode, all that it feeds."""
        if not source.primitive:
            yield from source.reaches or ((source.node_id, source.name),)
            return
        found, prefix = self._nodes[source.primitive], source.primitive.rpartition(":")[0]
        own = id_text(found.node.get("id"))
        for link in self._graph_links(found.graph).values():
            target_id = f"{prefix}:{link.target}" if prefix else link.target
            if link.origin != own or target_id not in self._nodes:
                continue
            name = linked_name(self._nodes[target_id].node, link.key)
            shown = next((each for each in self.shown(target_id).values() if each.name == name), None)
            if shown is not None:
                yield from self._ends(target_id, shown)
            elif name is not None:
                yield target_id, name

    def _own(self, node_id: str, name: str, selector: str) -> WidgetPlace:
        found, located = self._nodes[node_id], self.map(node_id)
        if name in located.absent:
            return WidgetPlace(found.node, located.absent[name], name, defaults=located.defaults)
        if name not in located.positions:
            self._refuse_socket(node_id, name, selector)
            reason = located.reason or "it has no saved value, or its position among the widgets is uncertain"
            raise InputSelectorError(selector, f"{reason}; {_CONVERT}")
        if class_of(found.node) == "PrimitiveNode" and self._is_rerouted(found):
            raise InputSelectorError(selector, f"feeds its inputs {_REROUTED}; {_CONVERT}")
        return WidgetPlace(found.node, located.positions[name], name)

    def _refuse_socket(self, node_id: str, name: str, selector: str) -> None:
        spec = self.specs(node_id).get(name)
        is_plain = any(
            entry.get("name") == name and not entry.get("widget") for entry in sockets(self._nodes[node_id].node)
        )
        is_grown = any(name.startswith(f"{row}.") for row in self._rows(node_id))
        if spec is not None and (is_grown or (is_plain and not is_widget(spec))):
            problem = (
                f"takes a link of type {spec_type(spec)}, which is made in ComfyUI; or {_CONVERT}: [node id, slot]"
            )
            raise InputSelectorError(selector, problem)

    def _refuse_shared(self, found: WorkflowNode, selector: str) -> None:
        shared = str(found.graph.get("id")) if ":" in found.id else ""
        if self._uses.get(shared, 0) > 1:
            problem = f"its subgraph is used {self._uses[shared]} times, and this would change all of them; {_CONVERT}"
            raise InputSelectorError(selector, problem)

    def _promoted(self, node_id: str, name: str, selector: str) -> Iterator[WidgetPlace]:
        """The values that the subgraphs around a node have for its widget, from the inside."""
        host_id, _, inner = node_id.rpartition(":")
        while host_id:
            listed = self.promotions(host_id)
            if (inner, name) not in listed.entries:
                return
            if listed.values and not listed.certain:
                problem = f"{self._describe(host_id)} may have a value of its own for it; {_CONVERT}"
                raise InputSelectorError(selector, problem)
            position = listed.position(inner, name)
            if position is not None:
                yield WidgetPlace(self._nodes[host_id].node, position, name, promoted=True)
            host_id, _, inner = host_id.rpartition(":")

    # --- subgraphs -------------------------------------------------------------------------------------------------

    def _of_host(self, node_id: str, name: str, selector: str) -> WidgetSource:
        """The source of what a subgraph's node shows under this name: an input, or a widget inside that it lists."""
        shown = self.shown(node_id)
        index = next((at for at, each in shown.items() if each.name == name), None)
        if index is None:
            labelled = [at for at, each in shown.items() if each.label == name]
            index = labelled[0] if len(labelled) == 1 else None
        if index is not None:
            return self._shown_input(node_id, index, selector)
        entry = host_entry(self._nodes[node_id].node, name)
        if entry is not None and _is_linked(entry):
            return self._fed(node_id, name, entry["link"], selector)
        inner = self.promotions(node_id).inside(name)
        if inner is None or f"{node_id}:{inner}" not in self._nodes:
            raise InputSelectorError(selector, f"the widgets of a subgraph cannot be told apart; {_CONVERT}")
        return self.find(f"{node_id}:{inner}", name, selector)

    def _shown_input(self, host_id: str, index: int, selector: str) -> WidgetSource:
        host, shown = self._nodes[host_id], self.shown(host_id)[index]
        entry = host_entry(host.node, shown.name)
        if entry is not None and _is_linked(entry):
            source = self._fed(host_id, shown.name, entry["link"], selector)
        else:
            self._refuse_shared(host, selector)
            inside = self._inside(host_id, shown, selector)
            around = self._promoted(host_id, shown.name, selector)
            source = WidgetSource((*inside, *self._at_host(host_id, shown, selector), *around), "", "")
        node_id, name = self._first(host_id, shown)
        return replace(source, node_id=node_id, name=name, reaches=tuple(self._ends(host_id, shown)))

    def _at_host(self, host_id: str, shown: ShownInput, selector: str) -> list[Place]:
        """The values that the host has for one of its inputs."""
        host, listed = self._nodes[host_id].node, self.promotions(host_id)
        kept: list[Place] = [KeptPlace(entry) for entry in kept_entries(host, shown.name)]
        values = listed.values
        if not values:
            return kept
        own = {*shown.targets, (OF_AN_INPUT, shown.name)}
        listed_at = {at for at, entry in enumerate(listed.entries) if entry in own}
        is_free = shown.position >= len(listed.entries) and not listed_at
        if not (is_free or listed_at == {shown.position}) or len(values) > self._room(host_id):
            problem = f"{self._describe(host_id)} may have a value of its own for it; {_CONVERT}"
            raise InputSelectorError(selector, problem)
        here = shown.position < len(values)
        return [*([WidgetPlace(host, shown.position, shown.name, promoted=True)] if here else []), *kept]

    def _room(self, host_id: str) -> int:
        return max(len(self.shown(host_id)), len(self.promotions(host_id).entries))

    def _inside(self, host_id: str, shown: ShownInput, selector: str) -> list[Place]:
        """The values inside, the first target's last."""
        has_own = bool(self._at_host(host_id, shown, selector))
        is_shared = self._uses[self._nodes[host_id].type] > 1
        if is_shared and has_own:
            return []
        places: list[Place] = []
        for inner, name in reversed(shown.targets):
            node_id = f"{host_id}:{inner}"
            if is_shared:
                self._refuse_shared(self._nodes[node_id], selector)
            if self._nodes[node_id].type in self._subgraphs:
                each = next(each for each in self.shown(node_id).values() if each.name == name)
                places += [*self._inside(node_id, each, selector), *self._at_host(node_id, each, selector)]
                continue
            try:
                places.append(self._own(node_id, name, selector))
            except InputSelectorError:
                if not has_own:
                    raise
        return places

    def _ends(self, host_id: str, shown: ShownInput) -> Iterator[tuple[str, str]]:
        """The inputs that get the value of a host's input, subgraphs inside followed."""
        for inner, name in shown.targets:
            node_id = f"{host_id}:{inner}"
            if self._nodes[node_id].type in self._subgraphs:
                yield from self._ends(node_id, next(each for each in self.shown(node_id).values() if each.name == name))
            else:
                yield node_id, name

    def _first(self, host_id: str, shown: ShownInput) -> tuple[str, str]:
        return next(self._ends(host_id, shown))

    # --- links -----------------------------------------------------------------------------------------------------

    def _fed(self, node_id: str, name: str, link: object, selector: str) -> WidgetSource:
        """Follow a link upstream through reroutes to what holds a constant, or say what else feeds the input."""
        found = self._nodes[node_id]
        links, prefix = self._graph_links(found.graph), found.id.rpartition(":")[0]
        is_rerouted = False
        for _ in range(_MOST_HOPS):
            origin = links.get(id_text(link))
            if origin is not None and origin.origin == SUBGRAPH_INPUTS and prefix:
                if is_rerouted or origin.origin_slot not in self.shown(prefix):
                    problem = f"is fed by input {origin.origin_slot} of its subgraph, {_way(is_rerouted)}; {_CONVERT}"
                    raise InputSelectorError(selector, problem)
                source = self._shown_input(prefix, origin.origin_slot, selector)
                return replace(source, node_id=node_id, name=name)
            feeder_id = f"{prefix}:{origin.origin}" if origin and prefix else origin.origin if origin else ""
            node = self._graph_node(found.graph, origin.origin) if origin else None
            if node is None or origin is None:
                raise InputSelectorError(selector, f"is fed by link {link}, which has no source; {_CONVERT}")
            if class_of(node) == "Reroute":
                is_rerouted = True
                link = next((entry.get("link") for entry in sockets(node)), None)
                continue
            if class_of(node) == "PrimitiveNode" and is_rerouted:
                raise InputSelectorError(selector, f"is fed by a PrimitiveNode {_REROUTED}; {_CONVERT}")
            if class_of(node) == "PrimitiveNode" and locate(node, None).positions:
                self._refuse_shared(found, selector)
                return WidgetSource((WidgetPlace(node, 0, "value"),), node_id, name, primitive=feeder_id)
            candidates = [f"#{feeder_id}.{each}" for each in self.map(feeder_id).positions]
            remedy = "; set that node instead" if candidates else ""
            problem = f"is fed by output {origin.origin_slot} of {self._describe(feeder_id)}{remedy}"
            raise InputSelectorError(selector, problem, candidates)
        raise InputSelectorError(selector, f"is fed by a chain of reroutes that does not end; {_CONVERT}")

    def _is_rerouted(self, primitive: WorkflowNode) -> bool:
        """Whether a reroute stands behind a PrimitiveNode."""
        links, own = self._graph_links(primitive.graph), id_text(primitive.node.get("id"))
        reroutes = (node for node in primitive.graph["nodes"] if class_of(node) == "Reroute")
        fed = (links.get(id_text(entry.get("link"))) for each in reroutes for entry in sockets(each))
        return any(link is not None and link.origin == own for link in fed)

    def _graph_node(self, graph: JsonObject, node_id: str) -> JsonObject | None:
        return next((node for node in graph["nodes"] if id_text(node.get("id")) == node_id), None)

    def _graph_links(self, graph: JsonObject) -> dict[str, Link]:
        if id(graph) not in self._links:
            self._links[id(graph)] = {link.id: link for link in read_links(link_list(graph))}
        return self._links[id(graph)]


def _way(is_rerouted: bool) -> str:
    return _REROUTED if is_rerouted else "which shows no widget for it"


def _is_linked(entry: JsonObject) -> bool:
    return entry.get("link") is not None


def _names_of(entry: JsonObject, name: str) -> bool:
    widget = entry.get("widget")
    return (widget.get("name") if isinstance(widget, dict) else entry.get("name")) == name
