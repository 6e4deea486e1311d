"""Classes that a server replaces by others before it checks a prompt (NODE_REPLACEMENTS). Pure.

The server takes the first entry of a class that it does not have. It fails with 500, instead of refusing the prompt, if
such a node has no ``_meta``, or lacks an input that the entry hands on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputProblem, ValidationError
from discomfort.workflow.nodes import title_of


def replaced_classes(
    missing: Iterable[str], definitions: Mapping[str, Any], replacements: Mapping[str, Any] | None
) -> dict[str, str]:
    """Those of the ``missing`` classes that the server replaces, each with the class that takes its place."""
    entries = {name: entry for name in missing if (entry := _first(replacements or {}, name)) is not None}
    return {name: str(entry["new_node_id"]) for name, entry in entries.items() if entry["new_node_id"] in definitions}


def prepare_replaced(prompt: JsonObject, replaced: Mapping[str, str], replacements: Mapping[str, Any]) -> JsonObject:
    """A copy of ``prompt`` whose replaced nodes all have a title.

    Raises ValidationError if a node lacks an input that the server hands on.
    """
    problems: list[InputProblem] = []
    made = dict(prompt)
    for node_id, node in prompt.items():
        kind = node["class_type"]
        if kind not in replaced:
            continue
        needed = _handed_on(_first(replacements, kind) or {})
        told = f"Required input is missing, because the server replaces this node by {replaced[kind]}"
        problems += [
            InputProblem(node_id, kind, title_of(node), name, "required_input_missing", told)
            for name in needed
            if name not in node["inputs"]
        ]
        if not isinstance(node.get("_meta"), Mapping):
            made[node_id] = {**node, "_meta": {"title": kind}}
    if problems:
        raise ValidationError("the prompt was not sent, the server would fail on it", problems)
    return made


def _first(replacements: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    entries = replacements.get(name)
    entry = entries[0] if isinstance(entries, list) and entries else None
    return entry if isinstance(entry, Mapping) and isinstance(entry.get("new_node_id"), str) else None


def _handed_on(entry: Mapping[str, Any]) -> Iterator[str]:
    """The inputs of the old node whose values the new one gets."""
    mapping = entry.get("input_mapping")
    for each in mapping if isinstance(mapping, list) else ():
        if isinstance(each, Mapping) and "set_value" not in each and isinstance(each.get("old_id"), str):
            yield each["old_id"]
