"""Compares the values that an editor set in a workflow with the prompt that the frontend made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.edited_workflow import EditedWorkflow, WidgetSet, ordered
from discomfort.workflow.javascript import through_javascript
from discomfort.workflow.json_values import describe, is_link
from discomfort.workflow.prompt_graph import PromptGraph
from discomfort.workflow.prompt_ids import prompt_paths
from discomfort.workflow.workflow_graph import WorkflowGraph

_TEMPLATE = ("{", "}", "//", "/*", "%")
"""What the frontend replaces in texts: random choices, comments, and the date or other values in names of files."""

End = tuple[str, str]
"""One input of a prompt: node and name."""


class SetArrival:
    """Compares the sets of a workflow with its prompt. ``made`` is the prompt of the edited workflow."""

    def __init__(self, edited: EditedWorkflow, made: JsonObject, definitions: Mapping[str, Any]) -> None:
        self._edited, self._made, self._definitions = edited, made, definitions
        self._graph = WorkflowGraph(copied(edited), definitions)
        self._ids = prompt_paths(edited, made)
        self._sets = [one for one in edited.sets if not one.deferred]

    @property
    def is_proven(self) -> bool:
        """Whether every value is there, and the frontend reads all other widgets of these nodes as the editor does.

        A list that was saved by another version of a pack fails this: the next widgets differ as well.
        """
        is_whole = all(map(self._arrived, self._sets)) and not any(map(self._is_shifted, self._sets))
        return is_whole and not any(self._unlinked())

    def prompt(self, base: JsonObject | None = None) -> JsonObject:
        """The prompt with every value; ``base`` is that of the workflow before it was edited, where it is needed.

        If the edited workflow's prompt differs from it in other inputs, too, or a value is missing, the values are set
        on ``base``, which is exact for constants. Raises InputSelectorError if that cannot be done.
        """
        self._refuse_absent()
        if base is None or self._is_clean(base):
            prompt, pending = self._made, [one for one in self._sets if not self._is_exact(one)]
        else:
            prompt, pending = base, list(self._sets)
        pending += [one for one in self._edited.sets if one.deferred]
        return self._applied(prompt, pending) if pending else prompt

    def refuse(self) -> None:
        """Raise InputSelectorError for the first value that is not there."""
        self._refuse_absent()
        for one in self._sets:
            if not self._arrived(one):
                raise self._failed(one)

    # --- the values in the prompt ----------------------------------------------------------------------------------

    def _ends(self, node_id: str, name: str) -> list[End]:
        """Where a value arrives; inputs of nodes that the prompt leaves out are left out."""
        ends = [(self._ids.get(end, end), each) for end, each in self._graph.ends(node_id, name)]
        return [end for end in ends if end[0] in self._made]

    def _arrived(self, one: WidgetSet) -> bool:
        ends = self._safe_ends(one)
        return bool(ends) and all(_same(self._read(self._made, end), one.value) for end in ends)

    def _is_exact(self, one: WidgetSet) -> bool:
        """Whether the value itself is there; JavaScript rounds whole numbers beyond 2**53."""
        return not isinstance(one.value, int) or all(
            self._read(self._made, end) == one.value for end in self._safe_ends(one)
        )

    def _safe_ends(self, one: WidgetSet) -> list[End]:
        ends = [(self._ids.get(node_id, node_id), name) for node_id, name in self._safe_workflow_ends(one)]
        return [end for end in ends if end[0] in self._made]

    def _safe_workflow_ends(self, one: WidgetSet) -> list[End]:
        try:
            return self._graph.ends(one.node_id, one.name)
        except (InputSelectorError, KeyError):  # the payload was changed by hand after the editor
            return []

    def _is_shifted(self, one: WidgetSet) -> bool:
        """Whether another widget of the same node has a value in the prompt that the workflow has elsewhere."""
        owners = {one.node_id, *(end for end, _ in self._safe_workflow_ends(one))}
        return any(
            not _same(self._read(self._made, end), value) for owner in owners for end, value in self._saved(owner)
        )

    def _saved(self, node_id: str) -> Iterator[tuple[End, Any]]:
        for name in self._graph.settable(node_id):
            value = self._graph.get(node_id, name, name)
            for end in self._ends(node_id, name) if value is not None else ():
                made = self._read(self._made, end)
                if made is not None and not is_link(made):
                    yield end, value

    def _unlinked(self) -> Iterator[End]:
        """Linked inputs that depend on a set, whose link the prompt lacks: 1.58.1 drops some of those that stay.

        What feeds them may also be muted, or hold a constant.
        """
        for node_id, name in (end for one in self._sets for end in self._safe_workflow_ends(one)):
            for linked in self._graph.linked(node_id):
                end = self._ids.get(node_id, node_id), linked
                if linked.startswith(f"{name}.") and end[0] in self._made and not is_link(self._read(self._made, end)):
                    yield end

    def _is_clean(self, base: JsonObject) -> bool:
        """Whether only what was set, and what depends on it, differs between the two prompts."""
        if any(end[0] in base and is_link(self._read(base, end)) for end in self._unlinked()):
            return False
        if not all(map(self._arrived, self._sets)) or base.keys() != self._made.keys():
            return False
        ends = {end for one in self._sets for end in self._safe_ends(one)}
        return all(end in ends or any(_depends(end, other) for other in ends) for end in self._changes(base))

    def _changes(self, base: JsonObject) -> Iterator[End]:
        for node_id, node in self._made.items():
            old, new = base[node_id].get("inputs", {}), node.get("inputs", {})
            for name in {*old, *new}:
                before, after = old.get(name), new.get(name)
                is_text = isinstance(before, str) and isinstance(after, str)
                if before != after and not (is_text and self._drawn(node_id)):
                    yield node_id, name

    def _drawn(self, node_id: str) -> bool:
        """Whether a text of the node in the workflow is a template, which each conversion fills anew."""
        own = next((path for path, made in self._ids.items() if made == node_id), node_id)
        return any(_is_template(value) for _, value in self._saved(own))

    @staticmethod
    def _read(prompt: JsonObject, end: End) -> Any:
        value = prompt[end[0]].get("inputs", {}).get(end[1])
        return value["__value__"] if isinstance(value, dict) and "__value__" in value else value

    # --- the values that the workflow does not carry ---------------------------------------------------------------

    def _applied(self, prompt: JsonObject, pending: list[WidgetSet]) -> JsonObject:
        made: JsonObject = copied(prompt)
        graph = PromptGraph(made, self._definitions)
        for one in ordered(pending):
            for node_id, name in self._all_ends(one):
                if node_id not in made or name not in graph.names(node_id) or _is_template(one.value):
                    raise self._failed(one)
                graph.set(node_id, name, copied(one.value), one.selector)
        for one in self._edited.sets:
            if not all(_same(self._read(made, end), one.value) for end in self._all_ends(one)):
                raise self._failed(one)
        return made

    def _all_ends(self, one: WidgetSet) -> list[End]:
        """Where a value arrives, or would, if the workflow does not say where."""
        return self._safe_ends(one) or [(self._ids.get(one.node_id, one.node_id), one.name)]

    def _refuse_absent(self) -> None:
        for one in self._edited.sets:
            if not self._graph.is_active(one.node_id):
                problem = f"{self._graph.describe(one.node_id)} is muted or bypassed, so the prompt does not have it"
                raise InputSelectorError(one.selector, problem, remedy="Enable the node, or leave the value out")

    def _failed(self, one: WidgetSet) -> InputSelectorError:
        where = self._graph.describe(one.node_id)
        ends = self._safe_ends(one)
        if not ends:
            return InputSelectorError(one.selector, f"{where} has no such input in the prompt")
        found = ", ".join(sorted({describe(self._read(self._made, end)) for end in ends}))
        return InputSelectorError(
            one.selector,
            f"the prompt has {found} there and not {describe(one.value)}: the widgets of {where} are not where its "
            "class has them, as in a workflow that another version of its pack has saved",
            remedy="Convert the workflow and set it on the prompt, or save the workflow again in ComfyUI",
        )


def _depends(end: End, other: End) -> bool:
    return end[0] == other[0] and end[1].startswith(f"{other[1]}.")


def _is_template(value: object) -> bool:
    return isinstance(value, str) and any(mark in value for mark in _TEMPLATE)


def _same(made: Any, value: Any) -> bool:
    """Whether a value of a prompt is one of a workflow, as JavaScript and the frontend's templates leave it."""
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    if isinstance(value, bool) or isinstance(made, bool):
        return made is value
    if isinstance(value, int | float):
        return isinstance(made, int | float) and float(made) == float(through_javascript(value))
    if isinstance(value, str) and _is_template(value):
        return isinstance(made, str)
    return bool(made == value)
