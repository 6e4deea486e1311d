"""Compares a converted prompt with the plan's prediction. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discomfort._json import JsonObject
    from discomfort.conversion.native.plan import Plan
    from discomfort.workflow.javascript import Value


class UnprovenError(Exception):
    """The shape cannot be learnt; the text gives the reason."""


class MismatchError(Exception):
    """With ``values``, node ``node`` of the prompt, or its input ``name``, was not as expected.

    ``suspects`` are the values that may be to blame, if known.
    """

    values: Sequence[Value]
    node: str
    name: str | None
    suspects: set[int]

    def __init__(
        self, values: Sequence[Value], node: str, name: str | None = None, suspects: Collection[int] = ()
    ) -> None:
        self.values, self.node, self.name, self.suspects = values, node, name, set(suspects)
        place = f"node {node}, input {name}," if name else f"the result of node {node}"
        super().__init__(f"{place} depends on values in a way that is not proven")


def same_frame(one: JsonObject, other: JsonObject, values: Sequence[Value]) -> None:
    """Raise ``MismatchError`` unless two prompts have the same nodes, titles and input names in the same order.

    ``other`` was made with ``values``.
    """
    different = [node for node in (*one, *other) if frame(one.get(node)) != frame(other.get(node))]
    if different:
        raise MismatchError(values, different[0])
    if list(one) != list(other):
        raise UnprovenError("the order of the nodes depends on values")


def frame(entry: Any) -> Any:
    """Class, title and input names of one node of a prompt, in a comparable form."""
    return entry and (entry.get("class_type"), json.dumps(entry.get("_meta")), list(entry["inputs"]))


def compare(plan: Plan, values: Sequence[Value], prompt: JsonObject) -> set[int]:
    """The values that did not arrive as the plan predicts.

    Raises ``MismatchError`` if the prompt differs in anything else.
    """
    predicted = plan.apply(values)
    same_frame(predicted, prompt, values)
    owner = {target: number for number, rule in enumerate(plan.rules) for target in rule.targets}
    wrong: set[int] = set()
    for node, entry in predicted.items():
        for name, value in entry["inputs"].items():
            if json.dumps(value) == json.dumps(prompt[node]["inputs"][name]):
                continue
            if (node, name) not in owner:
                raise MismatchError(values, node, name)
            wrong.add(owner[node, name])
    return wrong
