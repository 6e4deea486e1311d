"""The widgets and sockets that another value of a dynamic combo gives to a workflow's node, as the frontend saves them.

The widgets of the former value go, with the links to them; those of the new one follow the combo, with their defaults.
An input that both values have keeps its link, but not its value. (Seen in frontends 1.49.6 and 1.58.1.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.workflow.dynamic_branches import branch_inputs, is_widget, sockets_without_link
from discomfort.workflow.dynamic_inputs import expanded, input_specs
from discomfort.workflow.javascript import id_text
from discomfort.workflow.links import SUBGRAPH_INPUTS, read_link
from discomfort.workflow.subgraphs import link_list, objects
from discomfort.workflow.widgets import Slot, slot_default, sockets, widget_slots


class BranchError(ValueError):
    """Why a value of a dynamic combo cannot be chosen in a workflow."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What a value of a dynamic combo makes of its node: the whole list of widget values, the values that come with it
    by name, the inputs that stay, and the links of those that go.
    """

    values: list[Any]
    children: Mapping[str, Any]
    inputs: list[JsonObject]
    cut: tuple[Any, ...]


def branch_of(graph: JsonObject, node: JsonObject, definition: Any, name: str, key: Any) -> Branch:
    """The branch of the value ``key`` of the dynamic combo ``name``. Raises BranchError."""
    saved = node.get("widgets_values")
    if saved is not None and not isinstance(saved, list):
        raise BranchError("its node saves its widgets by name")
    values = list(saved or [])
    old, at, end = _span(node, definition, name, values)
    values += [slot_default(old, each) for each in range(len(values), at + 1)]
    present = {str(entry.get("name")): None for entry in sockets(node)} | _named(old, values)
    new, _, new_end = _span(_with_sockets(node, definition, present, name, key), definition, name, [*values[:at], key])
    made = [copied(slot_default(new, each)) for each in range(at + 1, new_end)]
    children = {slot.name: value for slot, value in zip(new[at + 1 : new_end], made, strict=True) if slot.name}
    unknown = next((each for each, value in children.items() if value is None), None)
    if unknown is not None:
        raise BranchError(f"it brings {unknown!r}, whose default only the frontend knows")
    known = expanded(input_specs(definition), {**present, name: key, **children})
    inputs, cut = _divided(node, name, known)
    _refuse_outside(graph, cut)
    linked = {str(entry.get("name")) for entry in inputs if entry.get("link") is not None}
    waiting = sockets_without_link(known[name], name, key, linked)
    if waiting:
        raise BranchError(f"it brings {' and '.join(map(repr, waiting))}, which must be linked")
    return Branch([*values[:at], key, *made, *values[end:]], {name: key, **children}, inputs, cut)


def apply_branch(graph: JsonObject, node: JsonObject, name: str, branch: Branch) -> None:
    """Give a node of a graph these widgets and inputs, in place, and take the links away that go."""
    node["widgets_values"] = branch.values
    named = node.get("widgets_values_named")
    if isinstance(named, dict):
        entries = list(named.items())
        named.clear()
        for key, value in entries:
            if key == name:
                named.update(copied(dict(branch.children)))
            elif not key.startswith(f"{name}."):
                named[key] = value
    if isinstance(node.get("inputs"), list):
        node["inputs"] = branch.inputs
    _cut(graph, branch.cut)
    _number_slots(graph, branch.inputs)


def _span(node: Mapping[str, Any], definition: Any, name: str, values: list[Any]) -> tuple[list[Slot], int, int]:
    """The slots of a node, the position of a dynamic combo, and that behind the widgets that its value brings."""
    slots, _, opaque = widget_slots(node, definition, values)
    at = next((at for at, slot in enumerate(slots) if slot.name == name), None)
    if at is None:
        raise BranchError("its position among the widgets is uncertain")
    end = at + 1
    while end < len(slots) and (slots[end].name is None or str(slots[end].name).startswith(f"{name}.")):
        end += 1
    if opaque and end == len(slots):
        raise BranchError("it brings widgets that only the frontend knows")
    return slots, at, end


def _with_sockets(
    node: JsonObject, definition: Any, present: Mapping[str, Any], name: str, key: Any
) -> Mapping[str, Any]:
    """The node with the sockets that a value brings, which the frontend makes when it loads the workflow."""
    known = branch_inputs(expanded(input_specs(definition), present)[name], name, key)
    added = [{"name": each} for each, spec in known.items() if not is_widget(spec)]
    return {**node, "inputs": [*sockets(node), *added]}


def _named(slots: list[Slot], values: list[Any]) -> dict[str, Any]:
    return {slot.name: value for slot, value in zip(slots, values, strict=False) if slot.name is not None}


def _divided(node: JsonObject, name: str, known: Mapping[str, Any]) -> tuple[list[JsonObject], tuple[Any, ...]]:
    """The inputs of a node that stay, and the links of the others; ``known`` are those that it has then."""
    stay: list[JsonObject] = []
    cut: list[Any] = []
    for entry in sockets(node):
        own = str(entry.get("name"))
        if not own.startswith(f"{name}.") or (own in known and is_widget(known[own]) == bool(entry.get("widget"))):
            stay.append(entry)
        elif entry.get("link") is not None:
            cut.append(entry["link"])
    return stay, tuple(cut)


def _refuse_outside(graph: JsonObject, cut: Collection[Any]) -> None:
    keys = {id_text(key) for key in cut}
    for entry in link_list(graph):
        link = read_link(entry)
        if link is not None and link.id in keys and link.origin == SUBGRAPH_INPUTS:
            raise BranchError("its present value has an input that an input of the subgraph feeds")


def _cut(graph: JsonObject, cut: Collection[Any]) -> None:
    """Take links away wherever they are named."""
    keys = {id_text(key) for key in cut}
    links = graph.get("links")
    for number, entry in list(links.items() if isinstance(links, dict) else enumerate(links or ()))[::-1]:
        link = read_link(entry)
        if link is not None and link.id in keys:
            del graph["links"][number]
    for other in objects(graph.get("nodes")):
        for slot in objects(other.get("outputs")):
            _drop(slot, "links", keys)
    extra = graph.get("extra")
    for holder in (graph, extra if isinstance(extra, dict) else {}):
        for reroute in objects(holder.get("reroutes")):
            _drop(reroute, "linkIds", keys)
        extensions = holder.get("linkExtensions")
        if isinstance(extensions, list):
            holder["linkExtensions"] = [
                each for each in extensions if not isinstance(each, dict) or id_text(each.get("id")) not in keys
            ]


def _drop(holder: JsonObject, name: str, keys: Collection[str]) -> None:
    held = holder.get(name)
    if isinstance(held, list) and any(id_text(key) in keys for key in held):
        holder[name] = [key for key in held if id_text(key) not in keys]


def _number_slots(graph: JsonObject, inputs: list[JsonObject]) -> None:
    """Write the numbers of these inputs into the links that end there."""
    numbers = {id_text(entry["link"]): at for at, entry in enumerate(inputs) if entry.get("link") is not None}
    for entry in link_list(graph):
        link = read_link(entry)
        if link is None or link.id not in numbers:
            continue
        if isinstance(entry, dict):
            entry["target_slot"] = numbers[link.id]
        else:
            entry[4] = numbers[link.id]
