"""Reads the inputs and outputs of ComfyUI's App Mode: ``extra.linearData`` of a workflow.

An input is the id of a node and the name of a widget. Frontend 1.49.6 to 1.58.1 find the node in this order: a
``graph:node:widget`` id; the ``graph:node`` id of a subgraph's node; a node of the workflow itself; the one subgraph's
node that shows this widget of a node inside. They drop all others; here a node inside that shows nowhere is found, too,
if it is the only one, and a path of ids as a prompt has it (``10:3``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from discomfort._json import JsonObject
from discomfort.workflow.interface.declarations import InterfaceProblem
from discomfort.workflow.interface.parameter_facts import input_facts
from discomfort.workflow.interface.source_entries import InputEntry, SourceEntries
from discomfort.workflow.interface.title_outputs import output_entry
from discomfort.workflow.interface.widget_targets import Reached, Widget, WidgetTargets
from discomfort.workflow.javascript import id_text
from discomfort.workflow.nodes import class_of
from discomfort.workflow.scopes import GraphScope

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GENERAL = frozenset({"value", "text", "string", "image", "audio", "video", "file", "mask"})
"""Names of widgets that say less than the title of their node."""
_BOUNDED = ("PrimitiveInt", "PrimitiveFloat")
"""Classes whose bounds people set in the node's properties (1.49.6)."""
_STALE = "open the workflow in ComfyUI's app builder, and save it again"


def app_entries(workflow: JsonObject, prompt: JsonObject, definitions: Mapping[str, Any]) -> SourceEntries:
    """What App Mode declares."""
    extra = workflow.get("extra")
    data = extra.get("linearData") if isinstance(extra, dict) else None
    return _AppMode(workflow, prompt, definitions).entries(data) if isinstance(data, dict) else SourceEntries()


class _AppMode:
    def __init__(self, workflow: JsonObject, prompt: JsonObject, definitions: Mapping[str, Any]) -> None:
        self._prompt, self._definitions = prompt, definitions
        self._widgets = WidgetTargets(workflow, prompt)
        self._found = SourceEntries()

    def entries(self, data: JsonObject) -> SourceEntries:
        inputs, outputs = data.get("inputs"), data.get("outputs")
        for entry in inputs if isinstance(inputs, list) else ():
            if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[1], str):
                self._input(entry[0], entry[1])
            else:
                self._problem("input", repr(entry), "it is not a node id and a widget")
        for node_id in dict.fromkeys(map(id_text, outputs)) if isinstance(outputs, list) else ():
            self._output(node_id)
        return self._found

    def _input(self, node_id: Any, name: str) -> None:
        text = f"{id_text(node_id)} {name!r}"
        reached: Reached | None = None
        for widgets in self._candidates(id_text(node_id), name):
            if len(widgets) > 1:
                places = ", ".join(self._widgets.prompt_id(each.scope, each.key) for each in widgets)
                self._problem("input", text, f"{len(widgets)} widgets may be meant (nodes {places})")
                return
            tried = self._widgets.reach(widgets[0])
            reached = tried if reached is None or tried.targets else reached
            if reached.targets:
                break
        if reached is None:
            self._problem("input", text, "the workflow has no such node or widget")
        elif not reached.targets:
            self._problem("input", text, reached.problem, reached.remedy)
        else:
            names, given = self._names(reached)
            self._found.inputs.append(
                InputEntry(source="app", entry=f"input {text}", names=names, targets=reached.targets, given=given)
            )

    def _candidates(self, node_id: str, name: str) -> Iterator[list[Widget]]:
        """The widgets that may be meant, the likeliest first; those that are equally likely together."""
        root, steps = self._widgets.root, node_id.split(":")
        if len(steps) == 3 and _UUID.fullmatch(steps[0]):
            key = unquote(steps[1])
            if key in root.nodes:
                yield [Widget(root, key, unquote(steps[2]))]
                yield [Widget(root, key, name)]
            return
        if len(steps) == 2 and _UUID.fullmatch(steps[0]):
            yield from ([Widget(root, steps[1], name)],) if steps[1] in root.children else ()
            return
        scope: GraphScope | None = root
        for step in steps[:-1]:
            scope = scope.children.get(step) if scope is not None else None
        if scope is not None and steps[-1] in scope.nodes:
            yield [Widget(scope, steps[-1], name)]
        if len(steps) > 1:
            return
        if shown := self._widgets.shown(root, node_id, name):
            yield shown
        inside = [Widget(each, node_id, name) for each in root.walk() if each is not root and node_id in each.nodes]
        if len(inside) > 1:
            inside = [each for each in inside if self._widgets.reach(each).targets] or inside[:1]
        if inside:
            yield inside

    def _names(self, reached: Reached) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Names by the label, else by title and widget; and the label for people."""
        widget, label = reached.widget, reached.widget.label
        title = self._title(widget.scope, widget.node)
        facts = input_facts(self._prompt, reached.targets[0], self._definitions)
        own = facts["type"] if facts.get("upload") else widget.name
        host = widget.scope.host
        around = title or (self._title(widget.scope.parent, host) if widget.scope.parent is not None and host else "")
        if label:
            names: tuple[str, ...] = (label, f"{around} {label}")
        elif title and widget.name in _GENERAL:
            names = (_short(title), f"{title} {widget.name}")
        elif class_of(widget.node) == "PrimitiveNode" and title:
            names = (title,)
        else:
            names = (own, f"{around} {own}")
        given = _bounds(widget.node) if class_of(widget.node) in _BOUNDED and widget.name == "value" else {}
        return names, given | {"label": label or (title if title and widget.name in _GENERAL else "")}

    def _title(self, scope: GraphScope, node: JsonObject) -> str:
        """The title that somebody gave to a node; of a subgraph's node else the subgraph's name."""
        key = id_text(node.get("id"))
        if key in scope.children:
            return str(node.get("title") or scope.children[key].graph.get("name") or "")
        kind, title = class_of(node), node.get("title")
        definition = self._definitions.get(kind)
        shown = definition.get("display_name") if isinstance(definition, Mapping) else None
        return title if isinstance(title, str) and title not in (kind, shown) else ""

    def _output(self, node_id: str) -> None:
        scopes = [scope for scope in self._widgets.root.walk() if node_id in scope.nodes]
        places = [self._widgets.prompt_id(scope, node_id) for scope in scopes]
        if scopes and scopes[0] is self._widgets.root:
            places = places[:1]
        kept = [place for place in places or [node_id] if place in self._prompt]
        if len(kept) != 1:
            problem = (
                f"{len(kept)} nodes may be meant ({', '.join(kept)})"
                if kept
                else ("its node is muted, bypassed or not an output" if places else "the workflow has no such node")
            )
            self._problem("output", node_id, problem)
            return
        kind = self._prompt[kept[0]]["class_type"]
        definition = self._definitions.get(kind)
        if isinstance(definition, Mapping) and not definition.get("output_node"):
            self._problem("output", node_id, f"{kind} is not an output node")
            return
        entry = output_entry("app", f"output {node_id}", self._prompt, kept[0], self._definitions)
        self._found.outputs.append(entry)

    def _problem(self, kind: str, entry: str, problem: str, remedy: str = _STALE) -> None:
        self._found.problems.append(InterfaceProblem("app", f"{kind} {entry}", problem, remedy or _STALE))


def _short(title: str) -> str:
    """What a title ends with in brackets (``CLIP Text Encode (Positive Prompt)``), else the title without ``Load``."""
    found = re.fullmatch(r".*\(([^()]*\w[^()]*)\)\s*", title)
    return found[1] if found else re.sub(r"^Load (?=\w)", "", title)


def _bounds(node: JsonObject) -> dict[str, Any]:
    properties = node.get("properties")
    held = properties if isinstance(properties, dict) else {}
    pairs = (("min", "minimum"), ("max", "maximum"), ("step", "step"))
    return {field: held[key] for key, field in pairs if type(held.get(key)) in (int, float)}
