"""Which node of a prompt is which node of the workflow. Pure.

A prompt's id is the path of ids that leads to a node: ``12:5`` is node 5 in the subgraph of node 12. They are the
workflow's own ids, with two exceptions: a node without an id is given one, and newer frontends (1.58.1) give an inner
node another one where two graphs of the workflow use the same. New ids ascend in the order of the nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from discomfort.workflow.javascript import id_text
from discomfort.workflow.nodes import FRONTEND_ONLY
from discomfort.workflow.subgraphs import inner_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discomfort._json import JsonObject

_HOLDER: Final = "\0holder"
"""Stands for the class of a node that is in the prompt only as the first part of other ids."""


class Numbering:
    """The ids that the prompt ``output`` of ``workflow`` gives to its nodes; the workflow's own without a prompt."""

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
        """The id of each of ``nodes``, all of one graph, whose ids begin with ``prefix``."""
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
        """Whether a node of the type ``kind`` may have become what the prompt has the class ``made`` for."""
        if made == _HOLDER:
            return inner_nodes(self._workflow, kind) is not None
        return made == kind or (
            made is None and kind not in FRONTEND_ONLY and inner_nodes(self._workflow, kind) is None
        )
