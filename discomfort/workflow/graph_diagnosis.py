"""Finds structural faults in a workflow after the frontend failed to convert it. Pure.

Used only after a failure, because the frontend loads many workflows that have such faults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from discomfort.workflow.javascript import id_text
from discomfort.workflow.subgraphs import objects, subgraph_list

if TYPE_CHECKING:
    from discomfort._json import JsonObject

MAX_TOLD: Final = 10
"""Maximum number of faults reported; further ones are likely to have the same cause."""


def faults(workflow: JsonObject) -> tuple[str, ...]:
    """Faults in the links and subgraphs of ``workflow``, one sentence each, ten at most."""
    subgraphs = subgraph_list(workflow)
    graphs = [("", workflow), *((f"definitions.subgraphs[{i}].", each) for i, each in enumerate(subgraphs))]
    found = itertools.chain(_cycles(subgraphs), *(_links(place, graph) for place, graph in graphs))
    return tuple(itertools.islice(found, MAX_TOLD))


def _cycles(subgraphs: list[JsonObject]) -> Iterator[str]:
    """Subgraphs that contain themselves, directly or through others."""
    holds = {str(each.get("id")): {str(node.get("type")) for node in objects(each.get("nodes"))} for each in subgraphs}
    for subgraph in subgraphs:
        reached: set[str] = set()
        ahead = set(holds[str(subgraph.get("id"))])
        while ahead:
            reached |= ahead
            ahead = {inner for kind in ahead for inner in holds.get(kind, ())} - reached
        if str(subgraph.get("id")) in reached:
            name = subgraph.get("name") or subgraph.get("id")
            yield f"the subgraph {name!r} contains itself: take its own node out of it"


def _links(place: str, graph: JsonObject) -> Iterator[str]:
    """Entries of ``links`` that are not links, and inputs whose link differs from the one in ``links``."""
    links = graph.get("links")
    if isinstance(links, dict):
        yield f"'{place}links' is an object: give a list of its values"
    slots: dict[tuple[str, Any], Any] = {}
    for index, link in enumerate(links if isinstance(links, list) else ()):
        target = _target(link)
        if target is None:
            yield f"'{place}links[{index}]' is not a link: remove it and all references to it"
            continue
        slots[id_text(target[1]), target[2]] = target[0]
    for node in objects(graph.get("nodes")):
        for number, slot in enumerate(objects(node.get("inputs"))):
            told = slots.get((id_text(node.get("id")), number))
            if told is not None and (told != slot.get("link") or type(told) is not type(slot.get("link"))):
                yield (
                    f"input {number} ({slot.get('name')!r}) of node {id_text(node.get('id'))} has the link "
                    f"{slot.get('link')!r}, and the '{place}links' say {told!r}: give both the same id"
                )


def _target(link: Any) -> tuple[Any, Any, Any] | None:
    """Id, target node and target slot of a link, which is a list or an object; ``None`` if it is neither."""
    if isinstance(link, list) and len(link) >= 5:
        found = (link[0], link[3], link[4])
    elif isinstance(link, dict) and "target_id" in link:
        found = (link.get("id"), link["target_id"], link.get("target_slot"))
    else:
        return None
    return None if any(isinstance(each, list | dict) for each in found) else found
