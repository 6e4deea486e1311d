"""Prompts of simple workflows, made as the frontend makes them: right for links, widgets and reroutes, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


def converted(workflow: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt of a workflow of schema 0.4 without subgraphs."""
    links = {link[0]: link for link in workflow["links"]}
    nodes = {node["id"]: node for node in workflow["nodes"]}

    def origin(link_id: int | None) -> list[Any] | None:
        while link_id is not None:
            _, node_id, slot, *_ = links[link_id]
            if nodes[node_id]["type"] != "Reroute":
                return [str(node_id), slot]
            link_id = nodes[node_id]["inputs"][0]["link"]
        return None

    made = {}
    for node in workflow["nodes"]:
        if node["type"] != "Reroute":
            inputs = _inputs(node, definitions[node["type"]], origin)
            title = node.get("title") or node["type"]
            made[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return made


def _inputs(node: Mapping[str, Any], definition: Mapping[str, Any], origin: Any) -> dict[str, Any]:
    values = list(node["widgets_values"])
    linked = {slot["name"]: origin(slot["link"]) for slot in node["inputs"]}
    groups = definition["input"]
    inputs = {}
    for name, (kind, *options) in {**groups.get("required", {}), **groups.get("optional", {})}.items():
        is_widget = isinstance(kind, list) or kind in _WIDGETS
        value = values.pop(0) if is_widget and values else None
        if options and options[0].get("control_after_generate"):
            values.pop(0)
        if linked.get(name) is not None:
            inputs[name] = linked[name]
        elif is_widget and value is not None:
            inputs[name] = value
    return inputs
