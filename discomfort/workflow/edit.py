"""Sets inputs of a workflow or prompt by node title, class or id, before it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from discomfort._json import JsonObject, copied
from discomfort._tracebacks import without_frames
from discomfort.exceptions import InputSelectorError, PayloadError
from discomfort.workflow.detect import Kind, unwrap
from discomfort.workflow.edited_workflow import EditedWorkflow, WidgetSet
from discomfort.workflow.input_values import check_value
from discomfort.workflow.json_values import json_problem
from discomfort.workflow.node_names import Target
from discomfort.workflow.prompt_graph import PromptGraph
from discomfort.workflow.prompt_index import host_targets
from discomfort.workflow.selectors import Index
from discomfort.workflow.workflow_graph import WorkflowGraph


class Editor:
    """Edits a copy of a workflow or prompt; the caller's object is never changed.

    ``payload`` is the edited copy (for an API envelope, the prompt inside it), and ``kind`` is its format.
    ``definitions`` is the server's ``/object_info``: with it, values are checked against type, range and list, and the
    widgets of a workflow can be found. A selector is ``NODE.INPUT``::

        editor.set("KSampler.seed", 42)           # by class or title, where only one node has it
        editor.set("3.seed", 42)                  # by id; "10:3" is node 3 in the subgraph instance 10
        editor.set("Positive prompt.text", "a cat")
        editor.set("@3.seed", 42)                 # "#" forces the id, "@" the title, "%" the class
        editor.set("Upscale/Sampler.seed", 42)    # inside a subgraph, by the path of titles; or "10/Sampler.seed"

    An exact id wins over a title, a title over a class, and case matters only where both spellings exist. A path may
    have any number of steps, each an id, a title or a class inside the step before; the first may be at any depth.
    Titles need no escapes: a title with ``/``, ``.`` or ``:`` wins over a path, a dot and an id in parts. Where that is
    not meant, or two readings remain, an id says it: ``"#10:3.seed"``.

    A prompt does not have the titles of subgraphs. ``workflow``, of which it was made, has them.

    Raises :class:`PayloadError` if the payload is neither a workflow nor a prompt, or has values that are not JSON.
    """

    @without_frames
    def __init__(
        self,
        payload: JsonObject,
        definitions: Mapping[str, Any] | None = None,
        *,
        workflow: JsonObject | None = None,
    ) -> None:
        problem = json_problem(payload)
        if problem:
            raise PayloadError(f"the payload cannot be edited: {problem}")
        self.kind: Kind
        self.kind, graph = unwrap(payload)
        self.payload: JsonObject
        self._graph: PromptGraph | WorkflowGraph
        hosts: list[Target] = []
        if self.kind == "workflow":
            self.payload = graph.copy() if isinstance(graph, EditedWorkflow) else EditedWorkflow(copied(graph))
            self._graph = WorkflowGraph(self.payload, definitions)
            for one in self.sets:
                if one.deferred:
                    self._graph.defer(one.node_id, one.name, one.value)
        else:
            self.payload = copied(graph)
            self._graph = PromptGraph(self.payload, definitions)
            hosts = host_targets(self.payload, None if workflow is None else _workflow(workflow))
        self._index = Index(self._graph.targets, self._graph.names, self._graph.absence, hosts)

    @without_frames
    def set(self, selector: str, value: Any) -> Editor:
        """Set one input and return the editor, so that calls can be chained.

        In a workflow, setting an input that a PrimitiveNode feeds sets the primitive, and so every input that it feeds.
        In a prompt, a pair ``[node id, slot]`` of an existing node connects the input to it.

        Inputs that depend on a value have a dot in their name (``mode.width``). Another value of ``mode`` takes them
        away, with their links, and brings its own with their defaults, as in the UI; inputs that both values have keep
        their links. A widget that a subgraph's node shows is set both there, if it has a value of its own, and inside,
        so that it counts in every frontend.

        Raises :class:`InputSelectorError`, with candidates, if the selector names no input or several, if the input is
        fed by another node, if the value is not of its type or outside its range or list, and in a workflow if the
        widget's position cannot be proven, or if the value brings an input that must be linked (then convert first, and
        set it on the prompt).
        """
        node_id, name = self._index.resolve(selector)
        own = copied(value) if json_problem(value) is None else value
        before = copied(self.payload) if self._is_unrecorded else None
        self._graph.set(node_id, name, own, selector)
        self._record(WidgetSet(selector, node_id, name, copied(own)), before)
        return self

    def set_or_defer(self, selector: str, value: Any) -> Editor:
        """Set one input as :meth:`set` does; where its place in a workflow is uncertain, it is set on the prompt.

        That happens when the payload itself is converted, and only then: the value is not in its JSON.
        """
        node_id, name = self._index.resolve(selector)
        if isinstance(self._graph, WorkflowGraph):
            try:
                self._graph.check_place(node_id, name, value, selector)
            except InputSelectorError:
                check_value(selector, value, None)
                before = copied(self.payload) if self._is_unrecorded else None
                self._graph.defer(node_id, name, copied(value))
                self._record(WidgetSet(selector, node_id, name, copied(value), deferred=True), before)
                return self
        return self.set(selector, value)

    @without_frames
    def set_all(self, values: Mapping[str, Any], *, defer: bool = False) -> Editor:
        """Set several inputs, by selector; an input that depends on another value after that value.

        With ``defer``, those whose place in a workflow is uncertain are set on the prompt, as by :meth:`set_or_defer`.
        Raises :class:`InputSelectorError` like :meth:`set`.
        """
        for selector, value in self.in_order(values).items():
            (self.set_or_defer if defer else self.set)(selector, value)
        return self

    def in_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by selector, those first that bring the inputs of others: ``mode``, then ``mode.width``."""

        def depth(selector: str) -> tuple[bool, int]:
            try:
                return False, self.find(selector)[1].count(".")
            except InputSelectorError:  # another of the values may bring it
                return True, selector.count(".")

        return {selector: values[selector] for selector in sorted(values, key=depth)}

    def find(self, selector: str) -> tuple[str, str]:
        """Return the node's id and the name of the input that a selector names.

        Raises :class:`InputSelectorError` like :meth:`set` if it names none or several.
        """
        return self._index.resolve(selector)

    @property
    def sets(self) -> tuple[WidgetSet, ...]:
        """The values that were set in a workflow, in their order; none of a prompt."""
        return self.payload.sets if isinstance(self.payload, EditedWorkflow) else ()

    @property
    def _is_unrecorded(self) -> bool:
        return isinstance(self.payload, EditedWorkflow) and self.payload.original is None

    def _record(self, new: WidgetSet, before: JsonObject | None) -> None:
        if isinstance(self.payload, EditedWorkflow):
            self.payload.original = self.payload.original or before
            self.payload.record(new)

    @without_frames
    def get(self, selector: str) -> Any:
        """Return the value of one input: a constant, or ``[node id, slot]`` if it is linked in a prompt.

        The result is a copy. Raises :class:`InputSelectorError` like :meth:`set`.
        """
        node_id, name = self._index.resolve(selector)
        return copied(self._graph.get(node_id, name, selector))

    def selectors(self) -> list[str]:
        """Return a selector for every input that can be set, in the order of the nodes: readable ones where unique."""
        return [
            self._index.friendly(target, name)
            for target in self._index.targets
            for name in self._graph.settable(target.id)
        ]

    def __repr__(self) -> str:
        return f"<Editor of a {self.kind} with {len(self._index.targets)} nodes>"


def _workflow(payload: JsonObject) -> JsonObject:
    kind, graph = unwrap(payload)
    if kind != "workflow":
        raise PayloadError(f"workflow: takes what the prompt was made of, given a {kind}")
    return graph


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``NODE.INPUT=VALUE`` into selector and value.

    The selector ends at the first ``=`` after a dot. The value is JSON if it parses as such (``42``, ``true``, ``"42"``
    for the string 42), else the text itself. Raises :class:`InputSelectorError` if there is no such ``=``.
    """
    dot = text.find(".")
    equals = text.find("=", dot + 1) if dot > 0 else -1
    selector = text[:equals].strip() if equals >= 0 else ""
    if not selector or selector.endswith("."):
        raise InputSelectorError(text, "expected NODE.INPUT=VALUE")
    value = text[equals + 1 :]
    try:
        return selector, json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return selector, value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is a word, not JSON")
