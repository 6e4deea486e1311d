"""The models that a prompt uses, and its skeleton, for the scheduler. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.planning.constant_inputs import constant_inputs
from discomfort.planning.model_search import model_uses
from discomfort.pool.run_requests import ModelFile
from discomfort.workflow.json_values import is_link


def models_by_node(prompt: JsonObject, definitions: Mapping[str, Any]) -> dict[str, frozenset[ModelFile]]:
    """The models that each node of a prompt names, by the node's id; nodes that would not run are left out."""
    found: dict[str, set[ModelFile]] = {}
    for use in model_uses(constant_inputs(prompt, definitions), definitions, ()):
        # A place is a node and an input, and the name of an input may have dots.
        node_id = use.place.partition(".")[0]
        found.setdefault(node_id, set()).add(ModelFile(use.folder, use.name))
    return {node_id: frozenset(models) for node_id, models in found.items()}


def skeleton_of(prompt: JsonObject) -> str:
    """The same text for prompts that differ in values only."""
    digest = hashlib.blake2b(digest_size=8)
    for node_id, node in prompt.items():
        inputs = node.get("inputs")
        digest.update(f"{node_id} {node.get('class_type')}".encode())
        for name, value in sorted(inputs.items()) if isinstance(inputs, Mapping) else ():
            digest.update(f" {name}={value}".encode() if is_link(value) else f" {name}".encode())
    return digest.hexdigest()
