"""The widgets of a workflow, as the editor sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, input_specs, option_keys, possible_names, spec_type
from discomfort.workflow.input_values import check_value
from discomfort.workflow.json_values import describe
from discomfort.workflow.model_folders import model_remedy
from discomfort.workflow.node_names import Target
from discomfort.workflow.nodes import WorkflowNode, class_of, iterate, subgraphs
from discomfort.workflow.widget_branches import Branch, BranchError, apply_branch, branch_of
from discomfort.workflow.widget_places import WidgetSource
from discomfort.workflow.widget_sources import WidgetSources
from discomfort.workflow.widgets import saved_widget_names, sockets

_TEXT_ONLY = frozenset({"Note", "MarkdownNote", "Reroute"})
_CONVERT = "convert the workflow first and set it on the prompt"


class WorkflowGraph:
    """A workflow's widgets by node id and input name. Edits the object it is given, not a copy."""

    def __init__(self, workflow: JsonObject, definitions: Mapping[str, Any] | None) -> None:
        self._subgraphs, self._is_known = subgraphs(workflow), bool(definitions)
        self._nodes = {found.id: found for found in iterate(workflow) if found.type not in _TEXT_ONLY}
        self._sources = WidgetSources(self._nodes, self._subgraphs, definitions or {}, self._describe)
        self.targets: list[Target] = [self._target(found) for found in self._nodes.values()]

    def names(self, node_id: str) -> Sequence[str]:
        """Return every declared or saved input of the node, sockets and promoted widgets included."""
        node, located = self._nodes[node_id].node, self._sources.map(node_id)
        slots = [str(entry["name"]) for entry in sockets(node) if "name" in entry]
        saved, shown = saved_widget_names(node), self._shown(node_id)
        labels = [each.label for each in self._sources.shown(node_id).values() if each.label]
        found = [*self._sources.specs(node_id), *saved, *slots, *located.positions, *located.absent, *shown, *labels]
        # Without the values of its dynamic combos, all that they may bring can be in the prompt.
        possible = possible_names(input_specs(self._sources.definition(node))) if located.reason else []
        return list(dict.fromkeys([*found, *possible]))

    def absence(self, node_id: str, name: str) -> str:
        """Return what to add to the error about an input that the node does not have."""
        if not self._is_known:
            # A workflow saves widget values without names; only the definitions have these.
            return " that is known without node definitions; convert first and set it on the prompt"
        return self._sources.growth_hint(node_id, name)

    def settable(self, node_id: str) -> Sequence[str]:
        """Return the inputs whose widget is found and has no link, or only one from what holds a constant."""
        names, located = [], self._sources.map(node_id)
        for name in dict.fromkeys([*located.positions, *located.absent, *self._shown(node_id)]):
            try:
                self._sources.find(node_id, name, name)
            except InputSelectorError:
                continue
            names.append(name)
        return names

    def get(self, node_id: str, name: str, selector: str) -> Any:
        """Return the widget's saved value; of a promoted one, that of the outermost node that has one."""
        return self._sources.find(node_id, name, selector).places[-1].read()

    def ends(self, node_id: str, name: str) -> list[tuple[str, str]]:
        """Return the inputs, by node id and name, that get this value in the prompt."""
        return list(self._sources.ends(self._sources.find(node_id, name, name)))

    def is_active(self, node_id: str) -> bool:
        """Return whether the node, and every subgraph around it, is neither muted nor bypassed."""
        return self._nodes[node_id].active if node_id in self._nodes else True

    def describe(self, node_id: str) -> str:
        """Return the node's id, title and class, for errors."""
        return self._describe(node_id) if node_id in self._nodes else f"node #{node_id}"

    def linked(self, node_id: str) -> list[str]:
        """Return the inputs of a node that have a link."""
        entries = sockets(self._nodes[node_id].node) if node_id in self._nodes else []
        return [str(entry.get("name")) for entry in entries if entry.get("link") is not None]

    def check_place(self, node_id: str, name: str, value: Any, selector: str) -> None:
        """Raise InputSelectorError as :meth:`set` does where no place for the value is certain."""
        source = self._sources.find(node_id, name, selector)
        if self._is_other_branch(source, value):
            self._branch(source, value, selector)

    def defer(self, node_id: str, name: str, value: Any) -> None:
        """Count with a value that only the prompt will have: it may bring inputs."""
        try:
            ends = self.ends(node_id, name)
        except InputSelectorError:
            ends = [(node_id, name)]
        self._sources.deferred |= dict.fromkeys(ends, value)

    def set(self, node_id: str, name: str, value: Any, selector: str) -> None:
        """Replace the widget's saved value, wherever it is saved."""
        source = self._sources.find(node_id, name, selector)
        spec = self._sources.specs(source.node_id).get(source.name)
        kind = spec_type(spec)
        remedy = model_remedy(class_of(self._nodes[source.node_id].node), source.name, value)
        check_value(selector, value, spec, remedy=remedy)
        if self._is_other_branch(source, value):
            found = self._nodes[source.node_id]
            apply_branch(found.graph, found.node, source.name, self._branch(source, value, selector))
        else:
            for place in source.places:
                place.write(value, kind)
        self._sources.forget_all()

    def _is_other_branch(self, source: WidgetSource, value: Any) -> bool:
        """Whether the value is another one of a dynamic combo, which brings inputs of its own."""
        spec = self._sources.specs(source.node_id).get(source.name)
        return spec_type(spec) == DYNAMIC_COMBO and value in option_keys(spec) and value != source.places[-1].read()

    def _branch(self, source: WidgetSource, value: Any, selector: str) -> Branch:
        """What the value makes of the node. Raises InputSelectorError where that is not certain."""
        found = self._nodes[source.node_id]
        try:
            self._refuse_shown(source)
            return branch_of(found.graph, found.node, self._sources.definition(found.node), source.name, value)
        except BranchError as error:
            problem = f"{describe(value)} brings other inputs than the present value, and {error}; {_CONVERT}"
            raise InputSelectorError(selector, problem) from None

    def _refuse_shown(self, source: WidgetSource) -> None:
        if len(source.places) > 1 or source.reaches or source.primitive:
            raise BranchError("its value is saved elsewhere than at its node")
        host_id, _, inner = source.node_id.rpartition(":")
        for owner, name in self._sources.promotions(host_id).entries if host_id else ():
            if owner == inner and name.startswith(f"{source.name}."):
                raise BranchError(f"{self._describe(host_id)} shows {name!r}, which the present value has")

    def _shown(self, node_id: str) -> list[str]:
        """What a subgraph's node shows: its inputs, and the widgets inside that it lists."""
        inputs = [each.name for each in self._sources.shown(node_id).values()]
        return [*inputs, *(name for _, name in self._sources.promotions(node_id).entries)]

    def _target(self, found: WorkflowNode) -> Target:
        return Target(found.id, self._title(found), self._kind(found))

    def _describe(self, node_id: str) -> str:
        return str(self._target(self._nodes[node_id]))

    def _title(self, found: WorkflowNode) -> str | None:
        title = found.node.get("title")
        if isinstance(title, str) and title:
            return title
        definition = self._sources.definition(found.node)
        name = definition.get("display_name") if isinstance(definition, Mapping) else None
        return name if isinstance(name, str) and name else None

    def _kind(self, found: WorkflowNode) -> str:
        subgraph = self._subgraphs.get(found.type)
        return str(subgraph.get("name") or found.type) if subgraph else class_of(found.node)
