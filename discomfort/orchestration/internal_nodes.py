"""The internal nodes that load from, and save to, a context: in workflows that have them, and in place of ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.context.exchange import LOADER, SAVER
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import iterate
from discomfort.workflow.workflow_ports import PORT

_ID_POSITIONS = {LOADER: 1, SAVER: 0}
"""Where ``unique_id`` stands among the saved values: a loader has ``[run_id, unique_id]``, a saver the reverse."""


def context_handlers(workflow: JsonObject) -> dict[str, list[dict[str, Any]]]:
    """The internal nodes of a workflow: ``loaders`` and ``savers``, each with ``node_id`` and ``unique_id``."""
    found: dict[str, list[dict[str, Any]]] = {"loaders": [], "savers": []}
    for each in iterate(workflow):
        if each.type in _ID_POSITIONS:
            node_id = each.id if ":" in each.id else each.node.get("id")
            entry = {"node_id": node_id, "unique_id": _saved_id(each.node, _ID_POSITIONS[each.type])}
            found["loaders" if each.type == LOADER else "savers"].append(entry)
    return found


def contextual_prompt(
    prompt: Mapping[str, Any],
    port_info: Mapping[str, Any],
    run_id: str,
    behaviors: Mapping[str, str],
    handlers: Mapping[str, Any] | None = None,
) -> JsonObject:
    """A copy of a prompt in which ports by value are internal nodes under the same ids. What it lacks stays away."""
    changed: JsonObject = copied(prompt)
    wanted = {key: set(port_info.get(key) or ()) for key in ("inputs", "outputs")}
    fed = {value[0] for node in changed.values() for value in node["inputs"].values() if is_link(value)}
    for node_id, unique_id in _ports_of(changed):
        node = changed[node_id]
        link = node["inputs"].get("input_data")
        if behaviors.get(unique_id, "val") == "ref":
            continue
        if link is None and node_id in fed and unique_id in wanted["inputs"]:
            node |= {"class_type": LOADER, "inputs": {"run_id": run_id, "unique_id": unique_id}}
        elif link is not None and node_id not in fed and unique_id in wanted["outputs"]:
            node |= {"class_type": SAVER, "inputs": {"input_data": link, "unique_id": unique_id, "run_id": run_id}}
    for key in ("loaders", "savers"):
        for entry in (handlers or {}).get(key) or ():
            node = changed.get(str(entry["node_id"]))
            if node is not None:
                node["inputs"] |= {"run_id": run_id, "unique_id": entry["unique_id"]}
    return changed


def _ports_of(prompt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for node_id, node in prompt.items():
        unique_id = node["inputs"].get("unique_id")
        if node.get("class_type") == PORT and isinstance(unique_id, str):
            yield node_id, unique_id.strip()


def _saved_id(node: JsonObject, position: int) -> str:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return str(values.get("unique_id", ""))
    return str(values[position]) if isinstance(values, list) and position < len(values) else ""
