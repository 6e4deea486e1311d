"""Walks a workflow with its subgraphs, and finds the node types that a server lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from discomfort.exceptions import MissingNode, PayloadError
from discomfort.workflow import iterate, missing_nodes, titles
from discomfort.workflow.nodes import MAX_NODES


def _subgraph(name: str, *nodes: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "name": name, "nodes": list(nodes), "links": []}


def _node(node_id: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, **more}


def test_nodes_have_the_ids_that_the_frontend_gives_them() -> None:
    """Inside subgraphs, the instances' ids come first, joined by colons; every instance is walked."""
    workflow = {
        "nodes": [_node(1, "A"), _node(2, "outer"), _node(3, "inner")],
        "definitions": {"subgraphs": [_subgraph("outer", _node(4, "inner")), _subgraph("inner", _node(5, "B"))]},
    }

    assert [found.id for found in iterate(workflow)] == ["1", "2", "2:4", "2:4:5", "3", "3:5"]


def test_what_is_muted_or_bypassed_is_inactive_with_all_inside() -> None:
    """Modes 2 and 4 apply to everything inside a subgraph."""
    workflow = {
        "nodes": [_node(1, "A", mode=2), _node(2, "sub", mode=4), _node(3, "A", mode=0)],
        "definitions": {"subgraphs": [_subgraph("sub", _node(5, "B"))]},
    }

    assert [found.active for found in iterate(workflow)] == [False, False, False, True]


def test_a_subgraph_that_holds_itself_is_refused() -> None:
    """Directly or through another."""
    workflow = {
        "nodes": [_node(1, "a")],
        "definitions": {"subgraphs": [_subgraph("a", _node(2, "b")), _subgraph("b", _node(3, "a"))]},
    }

    with pytest.raises(PayloadError, match="node 1:2:3: the subgraph 'a' contains itself"):
        list(iterate(workflow))


def test_nesting_that_multiplies_is_bounded() -> None:
    """Ten instances of ten instances of … raise an error instead of filling memory."""
    levels = [_subgraph(f"s{i}", *(_node(n, f"s{i + 1}") for n in range(10))) for i in range(8)]
    workflow = {"nodes": [_node(1, "s0")], "definitions": {"subgraphs": [*levels, _subgraph("s8", _node(1, "A"))]}}

    with pytest.raises(PayloadError, match=str(MAX_NODES)):
        list(iterate(workflow))


def test_missing_types_come_with_nodes_and_packs() -> None:
    """All are listed in order, with the pack from whichever node names it; frontend-only types are not."""
    workflow = {
        "nodes": [
            _node(1, "Known"),
            _node(2, "Gone"),
            _node(3, "Gone", properties={"cnr_id": "gone-pack", "aux_id": "x/y"}),
            _node(4, "Note"),
            _node(5, "MarkdownNote"),
            _node(6, "Reroute"),
            _node(7, "PrimitiveNode"),
            _node(8, "sub"),
            _node(9, "workflow>Group"),
            _node(10, "workflow/Undefined"),
            _node(11, "Muted", mode=2),
        ],
        "definitions": {"subgraphs": [_subgraph("sub", _node(1, "Inner", properties={"aux_id": "x/y"}))]},
        "extra": {"groupNodes": {"Group": {"nodes": [{"type": "Known"}, {"type": "Member"}]}}},
    }

    missing = missing_nodes(workflow, {"Known"})

    assert missing == [
        MissingNode("Gone", ("2", "3"), "gone-pack"),
        MissingNode("Inner", ("8:1",), "x/y"),
        MissingNode("Member", ("9:1",)),
        MissingNode("workflow/Undefined", ("10",)),
    ]
    assert MissingNode("Muted", ("11",)) in missing_nodes(workflow, {"Known"}, include_inactive=True)


def test_missing_types_of_a_prompt() -> None:
    """A prompt names no packs."""
    prompt = {"1": {"class_type": "A", "inputs": {}}, "2": {"class_type": "B", "inputs": {}}}

    assert missing_nodes(prompt, {"A"}) == [MissingNode("B", ("2",))]
    assert missing_nodes(prompt, {"A", "B"}) == []


def test_titles_fall_back_to_the_class() -> None:
    """A node without a usable title is named after its class."""
    prompt = {
        "1": {"class_type": "A", "inputs": {}, "_meta": {"title": "Mine"}},
        "2": {"class_type": "B", "inputs": {}, "_meta": {"title": 3}},
        "3": {"class_type": "C", "inputs": {}, "_meta": None},
    }

    assert titles(prompt) == {"1": "Mine", "2": "B", "3": "C"}


def test_only_one_saved_workflow_lacks_nodes(shared_data: Path, real_definitions: dict[str, Any]) -> None:
    """Of 73 saved workflows one uses custom nodes: seven types of four packs."""
    lacking = {}
    for path in sorted((shared_data / "conversion" / "workflows").glob("*.json")):
        if missing := missing_nodes(json.loads(path.read_text("utf-8")), real_definitions):
            lacking[path.stem] = missing

    assert list(lacking) == ["video_wan2_2_14B_animate"]
    (missing,) = lacking.values()
    assert len(missing) == 7
    assert all(entry.pack for entry in missing)
