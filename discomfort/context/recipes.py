"""Values that are passed by reference: a workflow or prompt that makes the value at an output port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.detect import unwrap
from discomfort.workflow.json_values import is_link
from discomfort.workflow.subgraphs import subgraph_list

_PORT = "DiscomfortPort"


def check_recipe(value: object, unique_id: str) -> None:
    """Refuse what is not a workflow or a prompt with an output port of this id. Raises ValueError."""
    try:
        kind, graph = unwrap(value)
    except PayloadError as error:
        raise ValueError(
            f"{unique_id!r} cannot be saved with pass_by='ref': {error}. Give a workflow or a prompt"
        ) from error
    ports = _outputs_of_prompt(graph) if kind == "prompt" else _outputs_of_workflow(graph)
    found = sorted(set(ports))
    if unique_id not in found:
        there = f"its output ports are {', '.join(map(repr, found))}" if found else "it has no output port"
        raise ValueError(
            f"{unique_id!r} cannot be saved with pass_by='ref': the {kind} has no output port of this id; {there}"
        )


def _outputs_of_prompt(prompt: JsonObject) -> Iterator[str]:
    used = {str(value[0]) for node in prompt.values() for value in _inputs(node).values() if is_link(value)}
    for node_id, node in prompt.items():
        inputs = _inputs(node)
        unique_id = inputs.get("unique_id")
        is_fed = is_link(inputs.get("input_data"))
        if node.get("class_type") == _PORT and isinstance(unique_id, str) and is_fed and node_id not in used:
            yield unique_id.strip()


def _inputs(node: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}


def _outputs_of_workflow(workflow: JsonObject) -> Iterator[str]:
    for graph in (workflow, *subgraph_list(workflow)):
        for node in graph.get("nodes", []):
            widgets = node.get("widgets_values")
            if node.get("type") != _PORT or not isinstance(widgets, list) or not widgets:
                continue
            if isinstance(widgets[0], str) and _is_fed(node) and not _feeds(node):
                yield widgets[0].strip()


def _is_fed(node: JsonObject) -> bool:
    slots = [slot for slot in node.get("inputs") or [] if isinstance(slot, dict)]
    return any(slot.get("name") == "input_data" and slot.get("link") is not None for slot in slots)


def _feeds(node: JsonObject) -> bool:
    return any(slot.get("links") for slot in node.get("outputs") or [] if isinstance(slot, dict))
