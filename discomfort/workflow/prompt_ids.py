"""Maps the nodes of a prompt to those of its workflow. Pure.

A node's id in the prompt is the path of ids that leads to it: ``12:5`` is node 5 in the subgraph of node 12. These are
the workflow's own ids, with two exceptions: the frontend assigns an id to a node without one, and newer frontends
(1.58.1) renumber an inner node whose id another graph of the workflow also uses. New ids ascend in node order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .javascript import id_text
from .nodes import FRONTEND_ONLY
from .subgraphs import inner_nodes, objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._json_objects import JsonObject

_HOLDER: Final = "\0holder"
"""Placeholder class for a node that occurs in the prompt only as the prefix of other ids."""


class PromptIds:
    """The ids that ``output``, the prompt of ``workflow``, gives to its nodes; without a prompt, the workflow's own."""

    def __init__(self, workflow: JsonObject, output: Mapping[str, Any] | None) -> None:
        self._workflow, self._output = workflow, output or {}
        self._steps: dict[str, dict[str, Any]] = {}
        for node_id, made in self._output.items():
            steps = node_id.split(":")
            for depth, step in enumerate(steps):
                prefix = "".join(f"{each}:" for each in steps[:depth])
                kind = made.get("class_type") if depth == len(steps) - 1 and isinstance(made, dict) else _HOLDER
                self._steps.setdefault(prefix, {})[step] = kind

    def ids(self, nodes: Sequence[JsonObject], prefix: str) -> list[str]:
        """The prompt ids of ``nodes``, which belong to one graph and share ``prefix``."""
        own = [prefix + id_text(node.get("id")) for node in nodes]
        steps = self._steps.get(prefix, {})
        known = {each.removeprefix(prefix) for each in own}
        strange = sorted((step for step in steps if step not in known and step.isdigit()), key=int)
        for index, node in enumerate(nodes) if strange else ():
            if own[index] in self._output or own[index].removeprefix(prefix) in steps:
                continue
            found = next((step for step in strange if self._fits(steps[step], str(node.get("type")))), None)
            if found is not None:
                strange.remove(found)
                own[index] = prefix + found
        return own

    def _fits(self, made: Any, kind: str) -> bool:
        """Whether a node of type ``kind`` may have become a prompt node of class ``made``."""
        if made == _HOLDER:
            return inner_nodes(self._workflow, kind) is not None
        return made == kind or (
            made is None and kind not in FRONTEND_ONLY and inner_nodes(self._workflow, kind) is None
        )


def prompt_paths(workflow: JsonObject, output: Mapping[str, Any]) -> dict[str, str]:
    """The prompt's id for each node of a workflow, by the path of the workflow's own ids; also of hosts."""
    known, found = PromptIds(workflow, output), dict[str, str]()
    waiting = [(list(objects(workflow.get("nodes"))), "", "")]
    while waiting:
        nodes, own, prefix = waiting.pop()
        for node, made in zip(nodes, known.ids(nodes, prefix), strict=True):
            path = own + id_text(node.get("id"))
            found[path] = made
            inner = inner_nodes(workflow, str(node.get("type")))
            if inner is not None:
                waiting.append((inner, f"{path}:", f"{made}:"))
    return found
