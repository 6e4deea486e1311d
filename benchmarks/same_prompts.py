"""Compares prompts. A node without a class, and the pictures of a 3D viewer, can be written in several ways."""

from __future__ import annotations

import json
import re
from typing import Any

_PICTURE = re.compile(r"(scene(?:_[a-z]+)*_)[0-9]{13}\.png")
"""A picture that a 3D viewer has taken for its node; its name has the time in milliseconds."""


def same(prompt: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they say the same, with their nodes and inputs in the same order."""
    return _plain(prompt) == _plain(other)


def _plain(prompt: dict[str, Any]) -> str:
    # A node of unknown type has no class and no title; text leaves them out where an object has null.
    nodes = {}
    for node_id, node in prompt.items():
        meta = {key: value for key, value in node.get("_meta", {}).items() if value is not None}
        known = {key: value for key, value in node.items() if value is not None} | {"_meta": meta}
        nodes[node_id] = dict(sorted(known.items()))
    return _PICTURE.sub(r"\1TIME.png", json.dumps(nodes))
