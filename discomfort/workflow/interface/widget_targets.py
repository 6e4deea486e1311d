"""Finds the inputs of the prompt that get the value of a workflow's widget.

Usually that is the input of that name. But the value of a ``PrimitiveNode`` goes to all inputs that it feeds, and that
of a widget which a subgraph's node shows goes to the nodes inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.interface.declarations import InputTarget
from discomfort.workflow.javascript import id_text
from discomfort.workflow.json_values import is_link
from discomfort.workflow.link_ends import REROUTE, LinkEnd, origin_of, targets_of
from discomfort.workflow.links import SUBGRAPH_INPUTS, Link
from discomfort.workflow.nodes import class_of
from discomfort.workflow.promotions import promotions
from discomfort.workflow.prompt_ids import PromptIds
from discomfort.workflow.scopes import GraphScope, workflow_scope
from discomfort.workflow.subgraphs import objects

_PRIMITIVE = "PrimitiveNode"
_MOST_HOPS = 100


@dataclass(frozen=True, slots=True)
class Widget:
    """A widget of a node, in one use of its graph."""

    scope: GraphScope = field(repr=False)
    key: str
    name: str

    @property
    def node(self) -> JsonObject:
        """The node."""
        return self.scope.nodes[self.key]

    @property
    def socket(self) -> int | None:
        """The number of the socket that the widget has, if it has one."""
        for index, entry in enumerate(objects(self.node.get("inputs"))):
            if _widget_of(entry) == self.name:
                return index
        return None

    @property
    def border(self) -> int | None:
        """The number of the subgraph's input that it stands for; ``None`` if its node is not a subgraph's."""
        child, at = self.scope.children.get(self.key), self.socket
        if child is None:
            return None
        if at is not None:
            return child.border_slot("inputs", at)
        names = [entry.get("name") for entry in objects(child.graph.get("inputs"))]
        return names.index(self.name) if self.name in names else None

    @property
    def label(self) -> str:
        """The name that somebody gave to it in the UI; else ``""``."""
        at, border = self.socket, self.border
        entries = [] if at is None else [list(objects(self.node.get("inputs")))[at]]
        if border is not None:
            entries.append(list(objects(self.scope.children[self.key].graph.get("inputs")))[border])
        labels = (entry.get("label") for entry in entries)
        return next((label for label in labels if isinstance(label, str) and label), "")


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a widget's value goes. ``widget`` is the one in which it is typed: perhaps one further outside.

    Without targets, ``problem`` says why.
    """

    widget: Widget
    targets: tuple[InputTarget, ...] = ()
    problem: str = ""
    remedy: str = ""


class WidgetTargets:
    """The widgets of a workflow, and the inputs of its prompt."""

    def __init__(self, workflow: JsonObject, prompt: JsonObject) -> None:
        self._prompt = prompt
        self.root = workflow_scope(workflow)
        self._ids: dict[tuple[int, str], str] = {}
        ids = PromptIds(workflow, prompt)
        stack = [(self.root, "")]
        while stack:
            scope, prefix = stack.pop()
            for key, own in zip(scope.nodes, ids.ids(list(scope.nodes.values()), prefix), strict=True):
                self._ids[id(scope), key] = own
                if key in scope.children:
                    stack.append((scope.children[key], f"{own}:"))

    def prompt_id(self, scope: GraphScope, key: str) -> str:
        """The id that a node has in the prompt, or would have."""
        return self._ids[id(scope), key]

    def names(self, scope: GraphScope, key: str) -> list[str]:
        """The widgets of a node that the prompt does not have: of a ``PrimitiveNode``, or of a subgraph's node."""
        node = scope.nodes[key]
        if class_of(node) == _PRIMITIVE:
            return ["value"]
        if key not in scope.children:
            return []
        own = [str(entry.get("name")) for entry in objects(scope.children[key].graph.get("inputs"))]
        shown = promotions(node, set(scope.children[key].nodes)).entries
        return list(dict.fromkeys([*own, *(name for _, name in shown)]))

    def reach(self, widget: Widget) -> Reached:
        """Where the value of a widget goes; behind the widgets of subgraphs that show it."""
        for _ in range(_MOST_HOPS):
            if not widget.scope.is_active(widget.node):
                return Reached(widget, (), "its node is muted or bypassed", "activate it, or take the entry out")
            at = widget.socket
            link = None if at is None else widget.scope.links.into(widget.key, at)
            if link is not None and link.origin == SUBGRAPH_INPUTS:
                outer = self._outer(widget.scope, link.origin_slot)
                if outer is None:
                    break
                widget = outer
                continue
            feeder = origin_of(widget.scope, link)
            if feeder is not None and class_of(feeder.node) == _PRIMITIVE:
                source = Widget(feeder.scope, id_text(feeder.node.get("id")), "value")
                widget = source if self._inside(source) else widget
            elif feeder is not None:
                where = f"output {feeder.slot} of node {self._ids[id(feeder.scope), id_text(feeder.node.get('id'))]}"
                return Reached(widget, (), f"it is fed by {where} ({feeder.class_type})", "name an input of that node")
            break
        return self._known(widget, self._inside(widget))

    def shown(self, scope: GraphScope, key: str, name: str) -> list[Widget]:
        """The widgets of the scope's subgraph nodes that stand for the widget of a node inside."""
        found = []
        for host_key, child in scope.children.items():
            host = scope.nodes[host_key]
            for index, _ in enumerate(objects(child.graph.get("inputs"))):
                outer = self._outer(child, index)
                first = next(iter(child.links.out_of(SUBGRAPH_INPUTS, index)), None)
                inner = child.nodes.get(first.target) if first is not None else None
                slots = list(objects(inner.get("inputs"))) if inner is not None else []
                if outer is None or first is None or first.target != key or first.target_slot >= len(slots):
                    continue
                if _widget_of(slots[first.target_slot]) == name:
                    found.append(outer)
            listed = promotions(host, set(child.nodes)).entries
            if not any(each.key == host_key for each in found) and (key, name) in listed and key in child.nodes:
                found.append(Widget(child, key, name))
        return found

    def _outer(self, scope: GraphScope, index: int) -> Widget | None:
        """The widget of a subgraph's node for an input of the subgraph. It may have no socket there."""
        borders = list(objects(scope.graph.get("inputs")))
        if scope.parent is None or scope.host is None or index >= len(borders):
            return None
        slot = scope.host_slot("inputs", index)
        entry = borders[index] if slot is None else list(objects(scope.host.get("inputs")))[slot]
        return Widget(scope.parent, scope.host_id, _widget_of(entry))

    def _inside(self, widget: Widget) -> list[InputTarget]:
        scope, key = widget.scope, widget.key
        if class_of(widget.node) == _PRIMITIVE:
            return [target for link in scope.links.out_of(key, 0) for target in self._fed(scope, link)]
        if key not in scope.children:
            return [InputTarget(self.prompt_id(scope, key), widget.name)]
        child, border = scope.children[key], widget.border
        if border is not None:
            return self._ends(targets_of(child, SUBGRAPH_INPUTS, border))
        inner = promotions(widget.node, set(child.nodes)).inside(widget.name)
        return [] if inner is None or inner not in child.nodes else self._inside(Widget(child, inner, widget.name))

    def _fed(self, scope: GraphScope, link: Link) -> list[InputTarget]:
        """What a ``PrimitiveNode`` sets by one of its links. A reroute does not pass it on (1.27.10 to 1.58.1)."""
        node = scope.nodes.get(link.target)
        if node is None or class_of(node) == REROUTE:
            return []
        entries = list(objects(node.get("inputs")))
        if link.target_slot >= len(entries):
            return []
        return self._inside(Widget(scope, link.target, _widget_of(entries[link.target_slot])))

    def _ends(self, ends: Iterable[LinkEnd]) -> list[InputTarget]:
        found = []
        for end in ends:
            entries = list(objects(end.node.get("inputs")))
            if end.slot < len(entries):
                name = _widget_of(entries[end.slot])
                found.append(InputTarget(self.prompt_id(end.scope, id_text(end.node.get("id"))), name))
        return found

    def _known(self, widget: Widget, targets: list[InputTarget]) -> Reached:
        kept = tuple(target for target in targets if _takes_constant(self._prompt, target))
        if class_of(widget.node) == _PRIMITIVE:
            kept = self._arrived(widget, kept)
        if kept:
            return Reached(widget, kept)
        if targets:
            return Reached(widget, (), f"no input of the prompt has its value ({', '.join(map(str, targets))})")
        links = widget.scope.links.out_of(widget.key, 0) if class_of(widget.node) == _PRIMITIVE else []
        nodes = [widget.scope.nodes.get(link.target) for link in links]
        if any(node is not None and class_of(node) == REROUTE for node in nodes):
            problem = "its value has no effect in ComfyUI either: a Reroute does not pass it on"
            return Reached(widget, (), problem, "link the PrimitiveNode with the inputs themselves")
        return Reached(widget, (), "it feeds no input")

    def _arrived(self, widget: Widget, targets: tuple[InputTarget, ...]) -> tuple[InputTarget, ...]:
        """The inputs at which the value of a ``PrimitiveNode`` has arrived.

        The frontend (1.49.6) misses some: those of a dynamic combo, whose slots may have moved since the file was made.
        """
        values = widget.node.get("widgets_values")
        own = values[0] if isinstance(values, list) and values else None
        equal = tuple(each for each in targets if self._prompt[each.node_id]["inputs"][each.input_name] == own)
        return equal or targets


def _widget_of(entry: Mapping[str, Any]) -> str:
    widget = entry.get("widget")
    name = widget.get("name") if isinstance(widget, Mapping) else None
    return str(name if isinstance(name, str) else entry.get("name"))


def _takes_constant(prompt: JsonObject, target: InputTarget) -> bool:
    inputs = prompt.get(target.node_id, {}).get("inputs", {})
    return target.input_name in inputs and not is_link(inputs[target.input_name])
