"""Ends of links, where they really are: behind reroutes, and on the other side of subgraphs' borders. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .._json_objects import JsonObject
from .javascript import id_text
from .links import SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS, Link
from .nodes import class_of
from .port_types import ANY, is_known, slot_type
from .scopes import GraphScope
from .subgraphs import objects

REROUTE = "Reroute"


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """A slot of a node that is more than a way to another one, and the type of what passes there (``ANY``: unknown)."""

    scope: GraphScope = field(repr=False)
    node: JsonObject = field(repr=False)
    slot: int
    type: str

    @property
    def node_id(self) -> str:
        """The node's id as a prompt has it."""
        return self.scope.prefix + id_text(self.node.get("id"))

    @property
    def class_type(self) -> str:
        """The node's class."""
        return class_of(self.node)


def origin_of(scope: GraphScope, link: Link | None) -> LinkEnd | None:
    """The output that feeds a link of this scope; ``None`` if nothing does."""
    seen: set[tuple[int, str]] = set()
    hints: list[str] = []
    while link is not None and (id(scope), link.id) not in seen:
        seen.add((id(scope), link.id))
        hints.append(slot_type(link.type))
        if link.origin == SUBGRAPH_INPUTS:
            hints.append(_declared(scope.graph, "inputs", link.origin_slot))
            slot = scope.host_slot("inputs", link.origin_slot)
            if scope.parent is None or slot is None:
                return None
            link, scope = scope.parent.links.into(scope.host_id, slot), scope.parent
            continue
        node = scope.nodes.get(link.origin)
        if node is None:
            return None
        if class_of(node) == REROUTE:
            link = scope.links.into(link.origin, 0)
        elif link.origin in scope.children:
            hints.append(_declared(node, "outputs", link.origin_slot))
            scope, slot = scope.children[link.origin], _border(scope, link.origin, "outputs", link.origin_slot)
            link = None if slot is None else scope.links.into(SUBGRAPH_OUTPUTS, slot)
        else:
            own = _declared(node, "outputs", link.origin_slot)
            return LinkEnd(scope, node, link.origin_slot, _first_known([own, *reversed(hints)]))
    return None


def targets_of(scope: GraphScope, node_id: str, slot: int) -> Iterator[LinkEnd]:
    """The inputs that an output feeds, in the order of its links."""
    seen: set[tuple[int, str]] = set()
    stack = [(scope, link, ANY) for link in reversed(scope.links.out_of(node_id, slot))]
    while stack:
        here, link, hint = stack.pop()
        if (id(here), link.id) in seen:
            continue
        seen.add((id(here), link.id))
        hint = _first_known([hint, slot_type(link.type)])
        if link.target == SUBGRAPH_OUTPUTS:
            outer = here.host_slot("outputs", link.target_slot)
            if here.parent is not None and outer is not None:
                hint = _first_known([_declared(here.graph, "outputs", link.target_slot), hint])
                ahead = here.parent.links.out_of(here.host_id, outer)
                stack += [(here.parent, each, hint) for each in reversed(ahead)]
            continue
        node = here.nodes.get(link.target)
        if node is None:
            continue
        own = _declared(node, "inputs", link.target_slot)
        if class_of(node) == REROUTE:
            stack += [(here, each, hint) for each in reversed(here.links.out_of(link.target, 0))]
        elif link.target in here.children:
            inner, border = here.children[link.target], _border(here, link.target, "inputs", link.target_slot)
            ahead = [] if border is None else inner.links.out_of(SUBGRAPH_INPUTS, border)
            stack += [(inner, each, _first_known([own, hint])) for each in reversed(ahead)]
        else:
            yield LinkEnd(here, node, link.target_slot, _first_known([own, hint]))


def _border(scope: GraphScope, host_id: str, key: str, slot: int) -> int | None:
    return scope.children[host_id].border_slot(key, slot)


def _declared(holder: JsonObject, key: str, index: int) -> str:
    """The type that a node, or the border of a subgraph, declares for a slot."""
    slots = list(objects(holder.get(key)))
    return slot_type(slots[index].get("type")) if 0 <= index < len(slots) else ANY


def _first_known(kinds: list[str]) -> str:
    return next((kind for kind in kinds if is_known(kind)), ANY)
