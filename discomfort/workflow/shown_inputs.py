"""The inputs of a subgraph that its node shows as widgets. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import read_links
from discomfort.workflow.promotions import OF_AN_INPUT
from discomfort.workflow.subgraphs import link_list, objects
from discomfort.workflow.widgets import sockets


@dataclass(frozen=True, slots=True)
class ShownInput:
    """An input of a subgraph with a widget: the widgets inside that get its value, the first of which makes it.

    ``position`` is that of its value in the list of the subgraph's node: widgets follow the order of the inputs.
    """

    name: str
    label: str | None
    targets: tuple[tuple[str, str], ...]
    position: int


IsWidget = Callable[[str, str], bool]
"""Whether the input of a node inside, by id and name, is a widget."""


def shown_inputs(graph: JsonObject, is_widget: IsWidget) -> dict[int, ShownInput]:
    """Those of a subgraph's definition, by the number of the input."""
    nodes = {id_text(node.get("id")): node for node in objects(graph.get("nodes"))}
    links = {link.id: link for link in read_links(link_list(graph))}
    shown: dict[int, ShownInput] = {}
    for index, slot in enumerate(objects(graph.get("inputs"))):
        targets = [
            (node_id, name)
            for key in slot.get("linkIds") or ()
            if (link := links.get(id_text(key))) is not None
            if (node := nodes.get(node_id := link.target)) is not None
            if (name := linked_name(node, key)) is not None and is_widget(node_id, name)
        ]
        if targets:
            name, label = str(slot.get("name")), slot.get("label")
            shown[index] = ShownInput(name, label if isinstance(label, str) else None, tuple(targets), len(shown))
    return shown


def host_entry(host: JsonObject, name: str) -> JsonObject | None:
    """The saved input of a subgraph's node."""
    return next((entry for entry in sockets(host) if entry.get("name") == name), None)


def kept_entries(host: JsonObject, name: str) -> list[JsonObject]:
    """What a migrated node keeps for an input: the frontend takes it before the value in the list."""
    properties = host.get("properties")
    kept = properties.get("proxyWidgetErrorQuarantine") if isinstance(properties, dict) else None
    return [
        entry
        for entry in objects(kept)
        if _original(entry)[:2] == [OF_AN_INPUT, name] and entry.get("hostValue") is not None
    ]


def _original(entry: JsonObject) -> list[Any]:
    original = entry.get("originalEntry")
    return [str(each) for each in original] if isinstance(original, list) else []


def linked_name(node: JsonObject, link: Any) -> str | None:
    """The input of a node that a link feeds, ``None`` without one."""
    entry = next((each for each in sockets(node) if each.get("link") == link), None)
    if entry is None:
        return None
    widget = entry.get("widget")
    return str(widget["name"] if isinstance(widget, dict) and "name" in widget else entry.get("name"))
