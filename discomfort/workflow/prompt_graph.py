"""The inputs of a prompt, as the editor sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.dynamic_branches import choose_branch
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, expanded, growth_hint, input_specs, spec_type
from discomfort.workflow.input_values import WIDGET_TYPES, check_value
from discomfort.workflow.json_values import is_link
from discomfort.workflow.model_folders import model_remedy
from discomfort.workflow.node_names import Target
from discomfort.workflow.nodes import title_of


class PromptGraph:
    """A prompt's inputs by node id and name. Edits the object it is given, not a copy."""

    def __init__(self, prompt: JsonObject, definitions: Mapping[str, Any] | None) -> None:
        self._prompt = prompt
        self._definitions = definitions or {}
        self.targets: list[Target] = [Target(key, title_of(node), node["class_type"]) for key, node in prompt.items()]

    def names(self, node_id: str) -> Sequence[str]:
        """Return the inputs that the node has, then those that it may have."""
        inputs = self._prompt[node_id]["inputs"]
        return [*inputs, *(name for name in self._specs(node_id) if name not in inputs)]

    def absence(self, node_id: str, name: str) -> str:
        """Return what to add to the error about an input that the node does not have."""
        node = self._prompt[node_id]
        return growth_hint(input_specs(self._definitions.get(node["class_type"])), node["inputs"], name)

    def settable(self, node_id: str) -> Sequence[str]:
        """Return the inputs that take a constant now."""
        inputs, specs = self._prompt[node_id]["inputs"], self._specs(node_id)
        present = [name for name, value in inputs.items() if not is_link(value)]
        return [*present, *(name for name in specs if name not in inputs and spec_type(specs[name]) in WIDGET_TYPES)]

    def get(self, node_id: str, name: str, selector: str) -> Any:
        """Return the input's constant or link."""
        inputs = self._prompt[node_id]["inputs"]
        if name not in inputs:
            raise InputSelectorError(selector, "the prompt gives it no value")
        value = inputs[name]
        return value["__value__"] if isinstance(value, dict) and "__value__" in value else value

    def set(self, node_id: str, name: str, value: Any, selector: str) -> None:
        """Set the input to a constant, or connect it if the value is a link to an existing node."""
        node = self._prompt[node_id]
        current = node["inputs"].get(name)
        if is_link(value):
            if value[0] not in self._prompt:
                raise InputSelectorError(selector, f"the value is a link to node {value[0]!r}, which does not exist")
            node["inputs"][name] = list(value)
            return
        if is_link(current) and current[0] in self._prompt:
            self._refuse_fed(current, selector, is_cut=value is None)
        spec = self._specs(node_id).get(name)
        if spec is not None and spec_type(spec) not in WIDGET_TYPES and (current is None or is_link(current)):
            raise InputSelectorError(selector, f"takes a link of type {spec_type(spec)}: [node id, slot]")
        check_value(selector, value, spec, remedy=model_remedy(node["class_type"], name, value))
        if spec is not None and spec_type(spec) == DYNAMIC_COMBO and value != current:
            choose_branch(node["inputs"], name, spec, value)
        # The server reads a bare list as a link, or refuses it; wrapped, it is a value. Newer frontends also wrap some
        # others, with their type.
        typed = isinstance(current, dict) and "__type__" in current and "__value__" in current
        wrapper = current if typed else {}
        node["inputs"][name] = {**wrapper, "__value__": value} if typed or isinstance(value, list) else value

    def _specs(self, node_id: str) -> dict[str, Any]:
        node = self._prompt[node_id]
        return expanded(input_specs(self._definitions.get(node["class_type"])), node["inputs"])

    def _refuse_fed(self, link: Sequence[Any], selector: str, *, is_cut: bool) -> None:
        source = self._prompt[link[0]]
        feeder = Target(link[0], title_of(source), source["class_type"])
        candidates = [f"#{feeder.id}.{name}" for name in self.settable(feeder.id)]
        remedy = "; set that node instead" if candidates else ""
        if is_cut:
            remedy = "; null takes no link away: delete the input from the payload"
        raise InputSelectorError(selector, f"is fed by output {link[1]} of {feeder}{remedy}", candidates)
