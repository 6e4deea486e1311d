"""Refuses prompts that ComfyUI would accept but not survive, before anything is sent.

ComfyUI validates only the declared inputs of nodes that lead to an output, but follows more during execution. A link to
a missing node anywhere else ends its execution thread permanently, while HTTP still answers 200. So do a node without
``inputs``, a link wrapped in ``{"__value__": …}``, and a cycle through undeclared inputs (tried on 0.3.64 and 0.33.0).

Nodes that are not objects, or whose ``inputs`` are not, end it only before NODE_REPLACEMENTS. Newer servers answer 500
for them, which names neither the node nor what is wrong, so they are refused here in the same way.

What a server checks by itself is left to it, since it knows more: inputs that a node validates in its own way, dynamic
inputs, types. So values of combos are compared here only before COMBO_CHECK, when the server would run the node with
whatever it is given; and a class that is not installed passes if the server has a replacement for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._error_text import packs_remedy
from discomfort._json import JsonObject, copied
from discomfort.exceptions import (
    GraphProblem,
    InputProblem,
    MissingNode,
    MissingNodesError,
    PayloadError,
    UnsafePromptError,
    ValidationError,
)
from discomfort.server_features import COMBO_CHECK, ServerFeatures
from discomfort.workflow.input_values import choices
from discomfort.workflow.json_values import describe, json_problem
from discomfort.workflow.model_folders import model_remedy
from discomfort.workflow.nodes import missing_in_prompt, title_of
from discomfort.workflow.replacements import prepare_replaced, replaced_classes
from discomfort.workflow.workflow_ports import PORT

MAX_CHAIN = 900
"""Longest chain of links. ComfyUI validates recursively: 900 nodes in a chain pass on 0.3.64, 980 on
0.33.0; 1,500 and 1,100 fail (measured)."""

_UNKNOWN = ServerFeatures()

_SCALARS = frozenset({str, int, float, bool, type(None)})


def check_prompt(
    prompt: JsonObject,
    definitions: Mapping[str, Any] | None = None,
    *,
    features: ServerFeatures = _UNKNOWN,
    replacements: Mapping[str, Any] | None = None,
) -> JsonObject:
    """Return the prompt if it is safe to send, else raise an error that lists its problems.

    ``definitions`` is the server's ``/object_info``; without it, checks that depend on node classes are skipped.
    ``features`` say what the server checks by itself, ``replacements`` is its ``/node_replacements``.
    The result is the caller's own object, or a shallow copy without ``is_changed`` keys (a server trusts them, and
    pictures carry them in their metadata), and with a title for each node that the server replaces (it answers 500
    without one); the caller's object is never changed. Time is linear in the size.

    Lists of files go stale as files are added: fetch the definitions again before trusting a :class:`ValidationError`.

    Raises:
        UnsafePromptError: the server would not survive it, or fail without a reason: malformed nodes, links to missing
            nodes, cycles, chains of more than 900 links. All problems are listed.
        MissingNodesError: node classes that are missing from ``definitions``, all of them.
        ValidationError: constants that are not in the list of a combo that the server would not check (before 0.8.0),
            or a replaced node without an input that its replacement needs.
        PayloadError: values that are not JSON, or a prompt without an output node.
    """
    if not isinstance(prompt, dict) or not prompt:
        raise PayloadError(f"a prompt is an object of nodes, found {describe(prompt)}")
    check = _Check(prompt)
    for node_id, node in prompt.items():
        check.node(node_id, node)
    # First, because every later check reads class_type and inputs.
    if check.malformed:
        raise UnsafePromptError(check.problems)
    replaced: dict[str, str] = {}
    if definitions is not None and (missing := missing_in_prompt(prompt, definitions)):
        replaced = replaced_classes([each.class_type for each in missing], definitions, replacements)
        if missing := [each for each in missing if each.class_type not in replaced]:
            raise MissingNodesError(missing, remedy=_remedy(missing))
    check.links(definitions)
    if check.problems:
        raise UnsafePromptError(check.problems)
    if check.upstream:
        _check_chains(prompt, check.upstream)
    if definitions is not None:
        _check_outputs(prompt, definitions, replaced)
        if not features.has(COMBO_CHECK):
            _check_combos(prompt, definitions)
    if check.change_tokens:
        prompt = _without_change_tokens(prompt, check.change_tokens)
    return prepare_replaced(prompt, replaced, replacements or {}) if replaced else prompt


def _remedy(missing: Sequence[MissingNode]) -> str:
    """The remedy for missing types: a port needs a run, no pack."""
    packs = [each.pack for each in missing if each.class_type != PORT]
    if len(packs) == len(missing):
        return ""
    told = f"{PORT} stands for a value that Discomfort.run() gives: run the workflow with that, which needs no pack"
    return f"{told}. {packs_remedy(packs)}" if packs else told


class _Check:
    """One pass over the nodes: problems, links and ``is_changed`` keys."""

    __slots__ = ("change_tokens", "malformed", "pairs", "problems", "prompt", "upstream")

    def __init__(self, prompt: JsonObject) -> None:
        self.prompt = prompt
        self.problems: list[GraphProblem] = []
        self.malformed = False
        self.change_tokens: list[str] = []
        self.pairs: list[tuple[str, str, Any]] = []
        self.upstream: dict[str, list[str]] = {}

    def node(self, node_id: object, node: Any) -> None:
        """Check the shape of one node and collect the input values that look like links."""
        if not isinstance(node_id, str):
            raise PayloadError(f"prompt: the node id {node_id!r} is of type {type(node_id).__name__}, not a string")
        if not isinstance(node, dict):
            return self._malformed(node_id, {}, f"is {describe(node)}, not an object")
        if not isinstance(node.get("class_type"), str):
            hint = " (the frontend did not know its type)" if "class_type" in node else ""
            return self._malformed(
                node_id, node, f"class_type is {describe(node.get('class_type'))}, not a string{hint}"
            )
        inputs = node.get("inputs")
        if not isinstance(inputs, dict):
            return self._malformed(node_id, node, f"inputs is {describe(inputs)}, not an object")
        for name, value in inputs.items():
            if type(name) is not str:
                _require_json({name: None}, node_id, "inputs")
            if type(value) in _SCALARS:
                continue
            _require_json(value, node_id, name)
            while isinstance(value, dict) and "__value__" in value:
                value = value["__value__"]
            if isinstance(value, list | tuple) and len(value) == 2:
                self.pairs.append((node_id, name, value))
        if len(node) > 2:
            self._extras(node_id, node)
        return None

    def _extras(self, node_id: str, node: JsonObject) -> None:
        for key, value in node.items():
            if key == "is_changed":
                self.change_tokens.append(node_id)
            elif key not in {"class_type", "inputs"}:
                _require_json({key: value}, node_id, key)

    def _malformed(self, node_id: str, node: JsonObject, problem: str) -> None:
        self.malformed = True
        self._add(node_id, node, None, problem)

    def _add(self, node_id: str, node: JsonObject, name: str | None, problem: str) -> None:
        kind = node.get("class_type")
        self.problems.append(
            GraphProblem(node_id, kind if isinstance(kind, str) else None, title_of(node), name, problem)
        )

    def links(self, definitions: Mapping[str, Any] | None) -> None:
        """Record every valid link, and report values that the server would read as links but cannot follow."""
        prompt = self.prompt
        for node_id, name, (source, slot) in self.pairs:
            if isinstance(source, str) and type(slot) is int and slot >= 0 and source in prompt:
                self.upstream.setdefault(node_id, []).append(source)
            elif problem := self._link_problem(node_id, name, source, slot, definitions):
                self._add(node_id, prompt[node_id], name, problem)

    def _link_problem(
        self, node_id: str, name: str, source: Any, slot: Any, definitions: Mapping[str, Any] | None
    ) -> str | None:
        if isinstance(source, int) and not isinstance(source, bool) and isinstance(slot, int):
            # The server reads a pair of numbers as a value, except in a declared input, where every list is a link.
            wrapped = isinstance(self.prompt[node_id]["inputs"][name], dict)
            declared = definitions is not None and input_spec(definitions, self.prompt[node_id], name) is not None
            if not wrapped and (declared or str(source) in self.prompt):
                return f"links to the node {source} by number, but node ids are strings: [{str(source)!r}, {slot}]"
            return None
        if not isinstance(source, str) or not isinstance(slot, int | float):
            return None
        if source not in self.prompt:
            return f"links to node {source!r}, which is not in the prompt"
        return f"links to slot {slot!r} of node {source!r}; a slot is a whole number from 0"


def input_spec(definitions: Mapping[str, Any], node: Mapping[str, Any], name: str) -> Any:
    """Return what ``definitions`` declare for an input of a prompt's node (``[type, options]``), or ``None``."""
    definition = definitions.get(node["class_type"])
    sections = definition.get("input") if isinstance(definition, Mapping) else None
    if not isinstance(sections, Mapping):
        return None
    for section in ("required", "optional"):
        inputs = sections.get(section)
        if isinstance(inputs, Mapping) and name in inputs:
            return inputs[name]
    return None


def _require_json(value: object, node_id: str, name: object) -> None:
    problem = json_problem(value)
    if problem:
        raise PayloadError(f"node {node_id} input {str(name)!r}: {problem}")


def _check_chains(prompt: JsonObject, upstream: Mapping[str, list[str]]) -> None:
    """Refuse cycles and chains that are too long, by a topological sort that tracks each node's depth."""
    waiting = {node_id: len(sources) for node_id, sources in upstream.items()}
    downstream: dict[str, list[str]] = {}
    for node_id, sources in upstream.items():
        for source in sources:
            downstream.setdefault(source, []).append(node_id)
    ready = [node_id for node_id in downstream if node_id not in waiting]
    depth = dict.fromkeys(ready, 0)
    while ready:
        source = ready.pop()
        below = depth[source] + 1
        for node_id in downstream.get(source, ()):
            if below > depth.get(node_id, 0):
                depth[node_id] = below
            waiting[node_id] -= 1
            if not waiting[node_id]:
                del waiting[node_id]
                ready.append(node_id)
    if waiting:
        raise UnsafePromptError([_cycle(prompt, upstream, waiting)])
    deepest = max(depth, key=depth.__getitem__)
    if depth[deepest] > MAX_CHAIN:
        text = f"is at the end of {depth[deepest]} links in a row, more than the {MAX_CHAIN} that a server can follow"
        raise UnsafePromptError([_graph_problem(prompt, deepest, text)])


def _cycle(prompt: JsonObject, upstream: Mapping[str, list[str]], waiting: Mapping[str, int]) -> GraphProblem:
    # Every remaining node has a source that also remains, so walking upstream must reach a node seen before.
    node_id = next(iter(waiting))
    seen: dict[str, int] = {}
    while node_id not in seen:
        seen[node_id] = len(seen)
        node_id = next(source for source in upstream[node_id] if source in waiting)
    loop = [*reversed([step for step, at in seen.items() if at >= seen[node_id]])]
    loop = [node_id, *[step for step in loop if step != node_id], node_id]
    shown = loop if len(loop) <= 20 else [*loop[:18], "…", loop[-1]]
    return _graph_problem(prompt, node_id, f"is part of a cycle: {' → '.join(shown)}")


def _graph_problem(prompt: JsonObject, node_id: str, problem: str) -> GraphProblem:
    node = prompt[node_id]
    return GraphProblem(node_id, node["class_type"], title_of(node), None, problem)


def _check_outputs(prompt: JsonObject, definitions: Mapping[str, Any], replaced: Mapping[str, str]) -> None:
    for node in prompt.values():
        kind = node["class_type"]
        definition = definitions[replaced.get(kind, kind)]
        if isinstance(definition, Mapping) and definition.get("output_node"):
            return
    raise PayloadError(
        "the prompt has no output node: nothing in it saves or previews a result, as SaveImage or PreviewAny would"
    )


def _check_combos(prompt: JsonObject, definitions: Mapping[str, Any]) -> None:
    problems: list[InputProblem] = []
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if type(value) not in _SCALARS:
                continue
            spec = input_spec(definitions, node, name)
            # Every server itself checks the other dialect, a bare list.
            if not isinstance(spec, list | tuple) or not spec or spec[0] != "COMBO":
                continue
            options = choices(spec)
            if options is not None and value not in options:
                problems.append(
                    InputProblem(
                        node_id,
                        node["class_type"],
                        title_of(node),
                        name,
                        "value_not_in_list",
                        "Value not in list",
                        received=value,
                        allowed=tuple(copied(options)),
                        remedy=model_remedy(node["class_type"], name, value),
                    )
                )
    if problems:
        raise ValidationError("the prompt was not sent, the server would not check these values", problems)


def _without_change_tokens(prompt: JsonObject, node_ids: list[str]) -> JsonObject:
    cleaned = dict(prompt)
    for node_id in node_ids:
        cleaned[node_id] = {key: value for key, value in prompt[node_id].items() if key != "is_changed"}
    return cleaned
