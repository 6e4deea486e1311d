"""Keys of rows: the digest of the prompt that a row runs. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.sweeps.value_forms import compared
from discomfort.workflow.interface.parameters import Interface


class ContentKeys:
    """Gives the same key to rows that run the same prompt on the same files.

    Neither names, order nor titles count. A value that equals the workflow's own is the same as none.
    """

    def __init__(self, prompt: Mapping[str, Any], interface: Interface) -> None:
        self._interface = interface
        self._nodes = {str(id_): _bare(node) for id_, node in prompt.items() if isinstance(node, Mapping)}
        self._digests = {id_: _digest(node) for id_, node in self._nodes.items()}

    def key(self, forms: Mapping[str, Any]) -> str:
        """The key of a row with these forms of its values."""
        changed: dict[str, JsonObject] = {}
        others: JsonObject = {}
        for name, form in forms.items():
            parameter = self._interface.inputs.get(name)
            targets = parameter.targets if parameter is not None else ()
            for target in targets:
                if target.node_id in self._nodes:
                    node = changed.setdefault(target.node_id, json.loads(json.dumps(self._nodes[target.node_id])))
                    node["inputs"][target.input_name] = compared(form)
            if not any(target.node_id in self._nodes for target in targets):
                others[parameter.port if parameter is not None and parameter.port else name] = compared(form)
        digests = self._digests | {id_: _digest(node) for id_, node in changed.items()}
        return _digest([sorted(digests.items()), others])


def _bare(node: Mapping[str, Any]) -> JsonObject:
    inputs = node.get("inputs")
    return {"class_type": node.get("class_type"), "inputs": compared(inputs) if isinstance(inputs, Mapping) else {}}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
