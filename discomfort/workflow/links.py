"""Links of a workflow's graphs, in both forms: lists of six parts (schema 0.4) and objects (schema 1.0, subgraphs)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._json_objects import JsonObject
from .javascript import id_text
from .subgraphs import link_list, objects

SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = "-10", "-20"
"""The ids that LiteGraph gives, inside a subgraph, to the nodes that stand for its inputs and its outputs."""

_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


@dataclass(frozen=True, slots=True)
class Link:
    """One link. The ids are texts, as prompts write them; ``key`` is the link's id as it is saved.

    ``reroute`` is the native reroute that it ends behind, ``None`` without one; lists do not have it.
    """

    key: Any
    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: Any
    reroute: Any = None

    @property
    def id(self) -> str:
        """The id as text."""
        return id_text(self.key)


def read_link(entry: Any) -> Link | None:
    """The link that an entry of ``links`` holds; ``None`` if it is not a link."""
    if isinstance(entry, Mapping):
        parts: tuple[Any, ...] = tuple(entry.get(key) for key in _KEYS)
        reroute = entry.get("parentId")
    elif isinstance(entry, (list, tuple)) and len(entry) == len(_KEYS):
        parts, reroute = tuple(entry), None
    else:
        return None
    key, origin, origin_slot, target, target_slot, kind = parts
    if not all(map(_is_id, (key, origin, target))) or not all(map(_is_slot, (origin_slot, target_slot))):
        return None
    return Link(key, id_text(origin), int(origin_slot), id_text(target), int(target_slot), kind, reroute)


def read_links(entries: Iterable[Any]) -> list[Link]:
    """The links among these entries; what is not a link (``null`` in old files) is left out, as the frontend does."""
    return [link for entry in entries if (link := read_link(entry)) is not None]


class LinkTable:
    """The links of one graph by their ends. The list of links counts; slots only say which of several is meant."""

    def __init__(self, graph: JsonObject) -> None:
        self.links: list[Link] = read_links(link_list(graph))
        named = set(_named_by_inputs(graph))
        self._into: dict[tuple[str, int], Link] = {}
        for link in self.links:
            end = link.target, link.target_slot
            if end not in self._into or (*end, link.id) in named:
                self._into[end] = link
        self._out: dict[tuple[str, int], list[Link]] = defaultdict(list)
        for link in self.links:
            if self._into[link.target, link.target_slot] is link:
                self._out[link.origin, link.origin_slot].append(link)
        for node in objects(graph.get("nodes")):
            for index, slot in enumerate(objects(node.get("outputs"))):
                _sort(self._out.get((id_text(node.get("id")), index), []), slot.get("links"))

    def into(self, node_id: str, slot: int) -> Link | None:
        """The link that ends at an input."""
        return self._into.get((node_id, slot))

    def out_of(self, node_id: str, slot: int) -> list[Link]:
        """The links that begin at an output, in the order of its slot."""
        return list(self._out.get((node_id, slot), ()))


def _named_by_inputs(graph: JsonObject) -> Iterator[tuple[str, int, str]]:
    """Node, slot and link of each input; an output of a subgraph takes the first of its links, as the frontend does."""
    for node in objects(graph.get("nodes")):
        own = id_text(node.get("id"))
        for index, slot in enumerate(objects(node.get("inputs"))):
            yield own, index, id_text(slot.get("link"))
    for index, border in enumerate(objects(graph.get("outputs"))):
        ids = border.get("linkIds")
        if isinstance(ids, list) and ids:
            yield SUBGRAPH_OUTPUTS, index, id_text(ids[0])


def _sort(links: list[Link], saved: Any) -> None:
    order = {id_text(key): at for at, key in enumerate(saved)} if isinstance(saved, list) else {}
    links.sort(key=lambda link: order.get(link.id, len(order)))


def connect_slots(nodes: Iterable[JsonObject], links: Iterable[Link]) -> None:
    """Make the slots of these nodes name exactly these links, in place; slots without one get ``null`` or ``[]``.

    An output keeps the order of its links.
    """
    into = {(link.target, link.target_slot): link.key for link in links}
    out: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for link in links:
        if into[link.target, link.target_slot] == link.key:
            out[link.origin, link.origin_slot].append(link.key)
    for node in nodes:
        own = id_text(node.get("id"))
        for index, slot in enumerate(objects(node.get("inputs"))):
            slot["link"] = into.get((own, index))
        for index, slot in enumerate(objects(node.get("outputs"))):
            here = out.get((own, index), [])
            saved = slot.get("links")
            before = [key for key in saved if key in here] if isinstance(saved, list) else []
            slot["links"] = [*before, *(key for key in here if key not in before)]


def connect_border(subgraph: JsonObject, links: Iterable[Link]) -> None:
    """Make the inputs and outputs of a subgraph's definition name exactly these links, in place."""
    held = list(links)
    for index, slot in enumerate(objects(subgraph.get("inputs"))):
        slot["linkIds"] = [each.key for each in held if (each.origin, each.origin_slot) == (SUBGRAPH_INPUTS, index)]
    for index, slot in enumerate(objects(subgraph.get("outputs"))):
        slot["linkIds"] = [each.key for each in held if (each.target, each.target_slot) == (SUBGRAPH_OUTPUTS, index)]


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _is_slot(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value) and value >= 0


def with_origin(entry: Any, source: Any) -> Any:
    """A copy of one entry of ``links`` that begins where another entry begins; without a native reroute."""
    if isinstance(entry, Mapping):
        origin, slot = _origin(source)
        return {key: each for key, each in entry.items() if key != "parentId"} | {
            "origin_id": origin,
            "origin_slot": slot,
        }
    return [entry[0], *_origin(source), *entry[3:]]


def _origin(entry: Any) -> tuple[Any, Any]:
    return (entry["origin_id"], entry["origin_slot"]) if isinstance(entry, Mapping) else (entry[1], entry[2])
