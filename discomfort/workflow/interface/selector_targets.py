"""Looks up the selectors of a sidecar: in the prompt, and for widgets that it does not have, in the workflow.

The prompt has no ``PrimitiveNode``, no subgraph's node and not their titles; the workflow has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from discomfort._error_text import nearest
from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_inputs import option_inputs, option_keys
from discomfort.workflow.interface.declarations import InputTarget, InterfaceProblem
from discomfort.workflow.interface.parameter_facts import input_facts, input_spec
from discomfort.workflow.interface.placing import closed_branch
from discomfort.workflow.interface.widget_targets import Widget, WidgetTargets
from discomfort.workflow.json_values import is_link
from discomfort.workflow.node_names import Target
from discomfort.workflow.nodes import class_of, title_of
from discomfort.workflow.prompt_index import prompt_index
from discomfort.workflow.scopes import GraphScope
from discomfort.workflow.selectors import Index
from discomfort.workflow.workflow_ports import PORT

_SOURCE: Final = "sidecar"


class SelectorTargets:
    """The inputs and nodes that selectors name."""

    def __init__(self, workflow: JsonObject | None, prompt: JsonObject, definitions: Mapping[str, Any]) -> None:
        self._prompt, self._definitions = prompt, definitions
        self._index = prompt_index(prompt, definitions, workflow)
        self._widgets = None if workflow is None else WidgetTargets(workflow, prompt)
        self._places = {} if self._widgets is None else _places(self._widgets)

    def inputs(self, selector: str) -> tuple[InputTarget, ...] | InterfaceProblem:
        """The inputs that get the value of the one widget that a selector names."""
        try:
            node_id, name = self._index.resolve(selector)
        except InputSelectorError as error:
            return self._in_workflow(selector, error)
        link = self._prompt[node_id]["inputs"].get(name)
        if is_link(link) and link[0] in self._prompt:
            feeder = self._prompt[link[0]]
            named = title_of(feeder) or feeder["class_type"]
            problem = f"{selector!r} is fed by output {link[1]} of node {link[0]} ({named})"
            return InterfaceProblem(_SOURCE, selector, problem, "name an input of that node")
        return (InputTarget(node_id, name),)

    def node(self, selector: str) -> str | InterfaceProblem:
        """The id of the one node of the prompt that a title, a class, an id or a path of these names."""
        matches = [target.id for target in self._index.nodes(selector)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            problem = f"{len(matches)} nodes match {selector!r}"
            return InterfaceProblem(_SOURCE, selector, problem, f"name one by its id: {', '.join(matches)}")
        known = {title_of(node) or "": None for node in self._prompt.values()} | {
            node["class_type"]: None for node in self._prompt.values()
        }
        near = nearest(selector, [name for name in known if name], cutoff=0.5)[:3]
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        return InterfaceProblem(_SOURCE, selector, f"there is no node {selector!r}", remedy)

    def output_node(self, selector: str) -> str | InterfaceProblem:
        """The same for a node whose results a run returns: an output node, or a port."""
        found = self.node(selector)
        if isinstance(found, InterfaceProblem):
            return found
        kind = self._prompt[found]["class_type"]
        definition = self._definitions.get(kind)
        if kind == PORT or not isinstance(definition, Mapping) or definition.get("output_node"):
            return found
        problem = f"{selector!r}: {kind} is not an output node, so a run returns nothing of it"
        return InterfaceProblem(_SOURCE, selector, problem, "name a node that saves or shows a result")

    def facts(self, target: InputTarget) -> dict[str, Any]:
        """What server and workflow say about an input, as fields of a ``Parameter``."""
        return input_facts(self._prompt, target, self._definitions)

    def spec(self, target: InputTarget) -> Any:
        """The declaration of an input; ``None`` if it is not known."""
        return input_spec(self._prompt, target, self._definitions)

    def _in_workflow(self, selector: str, error: InputSelectorError) -> tuple[InputTarget, ...] | InterfaceProblem:
        """The inputs behind a widget that only the workflow has; else what the prompt's selectors say."""
        node_text = selector.rpartition(".")[0] or selector
        near = [each for each in error.candidates if nearest(node_text, [each.rpartition(".")[0]], cutoff=0.5)][:3]
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        unknown = InterfaceProblem(
            _SOURCE, selector, f"{selector!r}: {error.problem}", self._branch(selector) or remedy
        )
        if self._widgets is None:
            return unknown
        targets = [Target(key, _title(*place), _kind(*place)) for key, place in self._places.items()]
        index = Index(targets, lambda key: self._names(*self._places[key]))
        try:
            node_id, name = index.resolve(selector)
        except InputSelectorError:
            return unknown
        reached = self._widgets.reach(Widget(*self._places[node_id], name))
        if reached.targets:
            return reached.targets
        return InterfaceProblem(_SOURCE, selector, f"{selector!r}: {reached.problem}", reached.remedy)

    def _branch(self, selector: str) -> str:
        """The value of a dynamic combo that would bring the input; empty if none does."""
        for place in (index for index, character in enumerate(selector) if character == "."):
            node_id, name = self.node(selector[:place]), selector[place + 1 :]
            closed = closed_branch(self._prompt, InputTarget(str(node_id), name), self._definitions)
            if closed is None:
                continue
            combo, inner = closed[0], name.removeprefix(f"{closed[0].input_name}.").split(".")[0]
            spec = self.spec(combo)
            keys = [key for key in option_keys(spec) if inner in (option_inputs(spec, key) or {})]
            if keys:
                values = " or ".join(map(repr, keys))
                return f"it is there where {combo} is {values}: save the workflow with that, or give both by selector"
        return ""

    def _names(self, scope: GraphScope, key: str) -> list[str]:
        return self._widgets.names(scope, key) if self._widgets is not None else []


def _places(widgets: WidgetTargets) -> dict[str, tuple[GraphScope, str]]:
    return {widgets.prompt_id(scope, key): (scope, key) for scope in widgets.root.walk() for key in scope.nodes}


def _title(scope: GraphScope, key: str) -> str | None:
    title = scope.nodes[key].get("title")
    return title if isinstance(title, str) and title else None


def _kind(scope: GraphScope, key: str) -> str:
    child = scope.children.get(key)
    return str(child.graph.get("name") or "") if child is not None else class_of(scope.nodes[key])
