"""The nodes of a workflow or prompt that call paid services, ComfyUI's partner nodes, and what a run may spend. Pure.

A partner node gets its key from the extra data of its prompt, so without a key nothing is spent. With one, a run has to
be allowed to spend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PaidNode, PaidNodesError
from discomfort.workflow.nodes import class_of, iterate, title_of
from discomfort.workflow.replacements import replaced_classes
from discomfort.workflow.running_nodes import running_nodes
from discomfort.workflow.subgraphs import group_members

API_KEY = "api_key_comfy_org"
"""The entry of a prompt's extra data from which ComfyUI gives partner nodes their key (0.3.64 and newer)."""
_KEYS = (API_KEY, "auth_token_comfy_org")
"""The entries that let partner nodes spend; ComfyUI keeps neither of them in its history."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Whether a run may use paid nodes, and the key for them, which ``repr`` does not show."""

    allowed: bool = False
    api_key: str | None = field(default=None, repr=False)

    def extra_data(self, given: Mapping[str, Any] | None, paid: Sequence[PaidNode] | None) -> Mapping[str, Any] | None:
        """The extra data to send with a prompt that has these ``paid`` nodes; ``None`` if nothing tells which are.

        The key is sent only with prompts that need it, and one in ``given`` stays. Raises PaidNodesError.
        """
        has_keys = any((given or {}).get(name) for name in _KEYS)
        if not self.allowed:
            if paid or (paid is None and has_keys):
                raise PaidNodesError(paid or ())
            return given
        is_needed = paid is None or bool(paid)
        if self.api_key is None or not is_needed or has_keys:
            return given
        return {**(given or {}), API_KEY: self.api_key}


NO_SPENDING = Spending()


def partner_nodes(
    graph: JsonObject, definitions: Mapping[str, Any], replacements: Mapping[str, Any] | None = None
) -> tuple[PaidNode, ...]:
    """The nodes that ``definitions`` mark as paid, in the order of the graph, as far as they would run.

    ``replacements`` is the server's ``/node_replacements``: a class that is not installed may become a paid one.
    """
    is_workflow = isinstance(graph.get("nodes"), list)
    nodes = _of_workflow(graph) if is_workflow else _of_prompt(graph, definitions)
    return tuple(node for node in nodes if _is_paid(node.class_type, definitions, replacements))


def _is_paid(kind: str, definitions: Mapping[str, Any], replacements: Mapping[str, Any] | None) -> bool:
    if kind not in definitions and replacements:
        kind = replaced_classes([kind], definitions, replacements).get(kind, kind)
    definition = definitions.get(kind)
    return isinstance(definition, Mapping) and bool(definition.get("api_node"))


def _of_prompt(prompt: JsonObject, definitions: Mapping[str, Any]) -> Iterator[PaidNode]:
    running = running_nodes(prompt, definitions)
    for node_id, node in prompt.items():
        if node_id in running:
            yield PaidNode(node_id, str(node.get("class_type")), title_of(node))


def _of_workflow(workflow: JsonObject) -> Iterator[PaidNode]:
    for found in iterate(workflow):
        if not found.active:
            continue
        members = group_members(workflow, found.type)
        inner = [(found.id, found.node)]
        if members is not None:
            inner = [(f"{found.id}:{index}", member) for index, member in enumerate(members)]
        for node_id, node in inner:
            title = node.get("title")
            yield PaidNode(node_id, class_of(node), title if isinstance(title, str) and title else None)
