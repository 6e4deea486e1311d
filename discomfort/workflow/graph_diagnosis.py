"""Why the frontend may have failed at a workflow, in words that lead to the place. Pure.

Asked only after a failure: the frontend loads many a workflow that is not in order, and decides what is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from discomfort.workflow.javascript import id_text
from discomfort.workflow.subgraphs import objects

if TYPE_CHECKING:
    from discomfort._json import JsonObject

MAX_TOLD: Final = 10
"""Faults that are told; the rest is likely to have the same cause."""


def faults(workflow: JsonObject) -> tuple[str, ...]:
    """What is wrong with links and subgraphs of ``workflow``, a sentence for each, ten at most."""
    definitions = workflow.get("definitions")
    subgraphs = list(objects(definitions.get("subgraphs") if isinstance(definitions, dict) else None))
    graphs = [("", workflow), *((f"definitions.subgraphs[{i}].", each) for i, each in enumerate(subgraphs))]
    found = itertools.chain(_cycles(subgraphs), *(_links(place, graph) for place, graph in graphs))
    return tuple(itertools.islice(found, MAX_TOLD))


def _cycles(subgraphs: list[JsonObject]) -> Iterator[str]:
    """Subgraphs that come back to themselves by way of their nodes."""
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
    """Entries of ``links`` that are none, and inputs that have another link than the table of links says."""
    links = graph.get("links")
    if isinstance(links, dict):
        yield f"'{place}links' is an object: give a list of its values"
    slots: dict[tuple[str, Any], Any] = {}
    for index, link in enumerate(links if isinstance(links, list) else ()):
        target = _target(link)
        if target is None:
            yield f"'{place}links[{index}]' is no link: remove it, and what refers to it"
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
    """Id, target node and target slot of a link, as list or object; ``None`` for what is none."""
    if isinstance(link, list) and len(link) >= 5:
        found = (link[0], link[3], link[4])
    elif isinstance(link, dict) and "target_id" in link:
        found = (link.get("id"), link["target_id"], link.get("target_slot"))
    else:
        return None
    return None if any(isinstance(each, list | dict) for each in found) else found
