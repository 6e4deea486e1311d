"""Faults found in a workflow that the frontend failed to convert."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.workflow.graph_diagnosis import MAX_TOLD, faults


def graph(links: Any, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A graph of two nodes, the second of which has ``inputs``."""
    nodes = [{"id": 1, "type": "A"}, {"id": 2, "type": "B", "inputs": list(inputs)}]
    return {"nodes": nodes, "links": links} | more


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (graph([[7, 1, 0, 2, 0, "IMAGE"]], {"name": "x", "link": 7}), ""),
        (graph([{"id": 7, "target_id": 2, "target_slot": 0}], {"name": "x", "link": 7}), ""),
        (graph([[8, 1, 0, 2, 0, "IMAGE"]], {"name": "x", "link": 7}), "input 0 ('x') of node 2 has the link 7"),
        (graph([["7", 1, 0, 2, 0, "IMAGE"]], {"name": "x", "link": 7}), "'links' say '7'"),
        (graph([[7, 1, 0, 2, 0, "IMAGE"], None]), "'links[1]' is not a link"),
        (graph([[7, 1, 0, [], 0, "IMAGE"]]), "'links[0]' is not a link"),
        (graph({"7": [7, 1, 0, 2, 0, "IMAGE"]}), "'links' is an object"),
        (graph(None, definitions=[]), ""),
    ],
)
def test_links(given: dict[str, Any], told: str) -> None:
    """Each fault names its place; intact graphs have none."""
    found = "; ".join(faults(given))

    assert told in found
    assert bool(told) == bool(found)


def test_subgraphs_that_contain_themselves() -> None:
    """Directly or through another; a graph that merely contains such a subgraph is not blamed."""
    inner = {"id": "a", "name": "Inner", "nodes": [{"id": 1, "type": "b"}], "links": [5]}
    outer = {"id": "b", "nodes": [{"id": 1, "type": "a"}]}
    above = {"id": "c", "nodes": [{"id": 1, "type": "a"}]}

    found = faults(graph([], definitions={"subgraphs": [inner, outer, above]}))

    assert [each.split(":")[0] for each in found[:2]] == [f"the subgraph {n!r} contains itself" for n in ("Inner", "b")]
    assert found[2:] == ("'definitions.subgraphs[0].links[0]' is not a link: remove it and all references to it",)


def test_few_are_told() -> None:
    """A table in which every entry is wrong gives a short list."""
    assert len(faults(graph([None] * 100))) == MAX_TOLD
