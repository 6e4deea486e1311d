"""Outputs by the titles of the prompt's output nodes, for a workflow that declares none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.dynamic_inputs import input_specs, spec_type
from discomfort.workflow.interface.declarations import Source
from discomfort.workflow.interface.source_entries import OutputEntry, SourceEntries
from discomfort.workflow.nodes import title_of
from discomfort.workflow.port_types import is_known, slot_type

_SAVED = ("IMAGE", "VIDEO", "AUDIO", "MASK", "LATENT", "STRING")


def title_outputs(prompt: JsonObject, definitions: Mapping[str, Any]) -> SourceEntries:
    """All output nodes of the prompt."""
    found = SourceEntries()
    for node_id, node in prompt.items():
        definition = definitions.get(node["class_type"])
        if isinstance(definition, Mapping) and definition.get("output_node"):
            entry = f"node {node_id} ({node['class_type']})"
            found.outputs.append(output_entry("output", entry, prompt, node_id, definitions))
    return found


def output_entry(
    source: Source, entry: str, prompt: JsonObject, node_id: str, definitions: Mapping[str, Any]
) -> OutputEntry:
    """The output of a node: by its title if somebody gave it one, else by what it takes (``image``)."""
    node = prompt[node_id]
    definition = definitions.get(node["class_type"])
    shown = definition.get("display_name") if isinstance(definition, Mapping) else None
    title, kind = title_of(node), output_type(prompt, node_id, definitions)
    is_named = title is not None and title not in (shown, node["class_type"])
    words = [title, f"{title} {kind}" if kind else None] if is_named else [kind or title or node["class_type"]]
    names = tuple(word for word in words if word)
    return OutputEntry(
        source=source, entry=entry, names=names, is_named=is_named, node_id=node_id, given={"type": kind}
    )


def output_type(prompt: JsonObject, node_id: str, definitions: Mapping[str, Any]) -> str:
    """The type of what an output node takes, as far as the definitions tell; else ``""``."""
    definition = definitions.get(prompt[node_id]["class_type"])
    kinds = [slot_type(spec_type(spec)) for spec in input_specs(definition).values()]
    linked = next((kind for kind in kinds if kind in _SAVED[:-1]), "")
    return linked or next((kind for kind in kinds if is_known(kind) and kind.startswith("FILE_3D")), "")
