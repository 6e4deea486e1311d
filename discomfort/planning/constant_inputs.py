"""Constant inputs of the nodes that a run would execute, each with its declaration."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.dynamic_inputs import AUTOGROW, expanded, input_specs, spec_type
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import class_of, iterate
from discomfort.workflow.running_nodes import running_nodes
from discomfort.workflow.widgets import locate


@dataclass(frozen=True, slots=True)
class ConstantInput:
    """One input with a constant. ``spec`` is its declaration in ``/object_info``, ``None`` if there is none."""

    node_id: str
    class_type: str
    name: str
    value: Any
    spec: Any = None

    @property
    def place(self) -> str:
        """Node and input, as ``4.ckpt_name``."""
        return f"{self.node_id}.{self.name}"


def constant_inputs(prompt: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[ConstantInput]:
    """The constants of a prompt, as far as they would be checked by the server."""
    running = running_nodes(prompt, definitions)
    for node_id, node in prompt.items():
        kind, inputs = node.get("class_type"), node.get("inputs")
        if node_id not in running or not isinstance(kind, str) or not isinstance(inputs, dict):
            continue
        specs = expanded(input_specs(definitions.get(kind)), inputs)
        for name, value in inputs.items():
            if not is_link(value):
                constant = value["__value__"] if isinstance(value, dict) and "__value__" in value else value
                yield ConstantInput(node_id, kind, name, constant, specs.get(name))


def widget_inputs(workflow: JsonObject, definitions: Mapping[str, Any]) -> Iterator[ConstantInput]:
    """The constants of a workflow that cannot be converted, as far as its widgets are certain."""
    for found in iterate(workflow):
        definition = definitions.get(class_of(found.node))
        if not found.active or definition is None:
            continue
        values: Any = found.node.get("widgets_values")
        at = locate(found.node, definition).positions
        given = {name: values[key] for name, key in at.items()}
        specs = expanded(input_specs(definition), given)
        for name, value in given.items():
            yield ConstantInput(found.id, class_of(found.node), name, value, specs.get(name))


class UncertainNodes:
    """The nodes inside subgraphs with missing node types.

    A subgraph's node shows widgets of its inner nodes by their order. The frontend passes over those of a missing type,
    so the ones after it get each other's values in the prompt: a model's name comes to another loader.
    """

    def __init__(self, missing: Iterable[str]) -> None:
        """``missing`` are the ids of nodes whose type is missing."""
        self.hosts = frozenset(node_id.partition(":")[0] for node_id in missing if ":" in node_id)

    def __contains__(self, node_id: str) -> bool:
        host, colon, _ = node_id.partition(":")
        return bool(colon) and host in self.hosts

    def corrected(
        self,
        inputs: Iterable[ConstantInput],
        prompt: Mapping[str, Any],
        workflow: JsonObject,
        definitions: Mapping[str, Any],
        given: Container[str],
    ) -> Iterator[ConstantInput]:
        """The constants, with those that the widgets of these nodes have; what the caller has ``given`` stays."""
        running = running_nodes(prompt, definitions)
        for each in inputs:
            if each.node_id not in self or each.place in given:
                yield each
        for each in widget_inputs(workflow, definitions) if self.hosts else ():
            inner = prompt.get(each.node_id, {}).get("inputs", {})
            is_used = each.node_id in running and not is_link(inner.get(each.name))
            if each.node_id in self and is_used and each.place not in given:
                yield each


def absent_inputs(prompt: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[ConstantInput]:
    """The required inputs to which a prompt gives neither a value nor a link."""
    for node_id in sorted(running_nodes(prompt, definitions)):
        node = prompt[node_id]
        kind, inputs = node.get("class_type"), node.get("inputs")
        definition = definitions.get(kind) if isinstance(kind, str) else None
        sections = definition.get("input") if isinstance(definition, Mapping) else None
        required = sections.get("required") if isinstance(sections, Mapping) else None
        if not isinstance(required, Mapping) or not isinstance(inputs, dict):
            continue
        for name, spec in required.items():
            if name not in inputs and spec_type(spec) != AUTOGROW:
                yield ConstantInput(node_id, str(kind), name, None, spec)
