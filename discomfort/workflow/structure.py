"""Structure of a workflow: whether its links are sound, and the order in which its nodes depend on each other. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import WorkflowCycleError
from discomfort.workflow.javascript import id_text
from discomfort.workflow.json_values import describe
from discomfort.workflow.links import SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS, LinkTable, read_link
from discomfort.workflow.subgraphs import link_list, objects, subgraph_list


def structure_problems(workflow: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the nodes and links of a workflow and its subgraphs, one sentence each.

    ``nodes`` and ``links`` must be there (``links`` may be missing in schema 1.0); each link needs six parts, and nodes
    at both ends. A ``null`` among the links is ignored, as the frontend does.
    """
    if not isinstance(workflow.get("nodes"), list):
        yield f"'nodes' is {describe(workflow.get('nodes'))}, not a list"
        return
    if not isinstance(workflow.get("links"), list | dict) and (workflow.get("version") != 1 or "links" in workflow):
        yield f"'links' is {describe(workflow.get('links'))}, not a list"
        return
    graph = dict(workflow)
    yield from _graph_problems("", graph, set())
    for subgraph in subgraph_list(graph):
        name = str(subgraph.get("name") or subgraph.get("id"))
        yield from _graph_problems(f"subgraph {name!r}: ", subgraph, {SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS})


def execution_order(graph: JsonObject) -> list[Any]:
    """The ids of a graph's nodes, as saved, each after those that it depends on; otherwise in the order of the file.

    Raises WorkflowCycleError if links run in a circle.
    """
    ids = {id_text(node.get("id")): node.get("id") for node in objects(graph.get("nodes"))}
    ahead: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(ids, 0)
    for link in LinkTable(graph).links:
        if link.origin in ids and link.target in ids:
            ahead[link.origin].append(link.target)
            waiting[link.target] += 1
    ready = deque(each for each, count in waiting.items() if not count)
    order = []
    while ready:
        here = ready.popleft()
        order.append(ids[here])
        for target in ahead[here]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if len(order) < len(ids):
        raise WorkflowCycleError(_circle(ahead, {each for each, count in waiting.items() if count}))
    return order


def check_cycles(workflow: JsonObject) -> list[Any]:
    """The execution order of a workflow; subgraphs are checked too. Raises WorkflowCycleError."""
    for subgraph in subgraph_list(workflow):
        execution_order(subgraph)
    return execution_order(workflow)


def _graph_problems(place: str, graph: JsonObject, borders: set[str]) -> Iterator[str]:
    known = {id_text(node.get("id")) for node in objects(graph.get("nodes"))} | borders
    for index, entry in enumerate(link_list(graph)):
        if entry is None:
            continue
        link = read_link(entry)
        if link is None:
            yield f"{place}links[{index}] is {describe(entry)}, not a link: id, two nodes with their slots, type"
            continue
        for end in (link.origin, link.target):
            if end not in known:
                yield f"{place}link {link.id} names node {end}, which is not there"


def _circle(ahead: Mapping[str, list[str]], left: set[str]) -> list[str]:
    """The nodes of one circle among those that are left."""
    behind: dict[str, str] = {}
    for origin, targets in ahead.items():
        if origin in left:
            behind.update((target, origin) for target in targets if target in left)
    here = next(iter(sorted(left)))
    passed: list[str] = []
    # Each node that is left waits for another one that is left, so the way back never ends.
    while here not in passed:
        passed.append(here)
        here = behind[here]
    return passed[passed.index(here) :][::-1]
