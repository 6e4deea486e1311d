"""The nodes of a prompt that a server runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort.workflow.json_values import is_link


def running_nodes(prompt: Mapping[str, Any], definitions: Mapping[str, Any]) -> set[str]:
    """The ids of the nodes that ComfyUI would check and run: its output nodes, and those that they depend on.

    A node of an unknown class may be an output node, so it counts as one.
    """
    waiting = [node_id for node_id, node in prompt.items() if _may_be_output(node, definitions)]
    found = set(waiting)
    while waiting:
        inputs = prompt[waiting.pop()].get("inputs")
        for value in inputs.values() if isinstance(inputs, dict) else ():
            if is_link(value) and value[0] in prompt and value[0] not in found:
                found.add(value[0])
                waiting.append(value[0])
    return found


def _may_be_output(node: Any, definitions: Mapping[str, Any]) -> bool:
    if not isinstance(node, dict):
        return False
    definition = definitions.get(str(node.get("class_type")))
    return definition is None or (isinstance(definition, Mapping) and bool(definition.get("output_node")))
