"""What is a workflow, how long it may take, and what its missing nodes are called."""

from __future__ import annotations

import json
import math

import pytest

from discomfort.conversion.workflow_text import budget, check_output, encode, missing_on_page
from discomfort.exceptions import ConversionError, MissingNodesError, PayloadError
from discomfort.workflow.subgraphs import find_node


def workflow(*nodes: dict[str, object], **more: object) -> dict[str, object]:
    """A workflow of these nodes."""
    return {"nodes": list(nodes), "links": [], "version": 0.4, **more}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "this is list"),
        ("{}", "this is str"),
        ({}, "nothing"),
        ({"3": {"class_type": "KSampler", "inputs": {}}}, "this has 3"),
        ({"nodes": {}}, "this has nodes"),
        ({"nodes": [{"id": 1, "type": "A"}, 7]}, "entry 1"),
        ({"nodes": [{"id": 1}]}, "entry 0"),
        ({"nodes": [], "extra": object()}, "JSON"),
    ],
)
def test_what_is_no_workflow_is_refused(value: object, told: str) -> None:
    """The error says what was found instead."""
    with pytest.raises(PayloadError, match=told):
        encode(value)


def test_text_is_json_that_javascript_can_parse() -> None:
    """Non-finite numbers become null; big integers, odd keys and lone surrogates survive as JSON."""
    given = workflow({"id": 1, "type": "A", "widgets_values": [math.nan, math.inf, 2**70, "\ud800"]}, __proto__=1)

    text = encode(given)

    assert "NaN" not in text
    assert "Infinity" not in text
    values = json.loads(text)["nodes"][0]["widgets_values"]
    assert values == [None, None, 2**70, "\ud800"]
    assert json.loads(text)["__proto__"] == 1


def test_non_finite_numbers_become_null_without_other_oddities() -> None:
    """The common path does the same."""
    assert json.loads(encode(workflow({"id": 1, "type": "A", "v": math.nan})))["nodes"][0]["v"] is None


def test_budget_grows_with_size() -> None:
    """Three seconds up to 0.1 MB, then more, with a limit."""
    assert budget(0) == budget(100_000) == 3.0
    assert budget(1_100_000) == pytest.approx(33.0)
    assert budget(10**9) == 120.0


def test_missing_nodes_are_grouped_by_type() -> None:
    """Each type is told once, with all its nodes and the pack that any of them names."""
    given = workflow(
        {"id": 1, "type": "A"},
        {"id": 2, "type": "A", "properties": {"cnr_id": "pack-a"}},
        {"id": "x", "type": "B", "properties": {"aux_id": "owner/b"}},
    )

    found = missing_on_page(given, {"1": "A", "2": None, "x": "B", "99": None})

    assert [(m.class_type, m.node_ids, m.pack) for m in found] == [
        ("A", ("1", "2"), "pack-a"),
        ("B", ("x",), "owner/b"),
        ("?", ("99",), None),
    ]


def test_missing_nodes_whose_ids_the_frontend_chose() -> None:
    """What the frontend says counts where it numbered nodes anew, but for the characters that it takes out."""
    given = workflow({"id": 1, "type": "A & B"}, {"id": 2, "type": "Known"}, {"id": 2, "type": "C"}, {"type": "D"})

    found = missing_on_page(given, {"1": "A  B", "2": "C", "3": "D"})

    assert [(m.class_type, m.node_ids) for m in found] == [("A & B", ("1",)), ("C", ("2",)), ("D", ("3",))]


def test_subgraphs_without_definition_come_from_no_pack() -> None:
    """The remedy for them is another than for nodes that a pack provides."""
    subgraph = "0d6b3e5a-9f43-4c53-8f10-7c4d3a4f2b11"
    given = workflow({"id": 1, "type": subgraph}, {"id": 2, "type": "Gone"}, {"id": 3, "type": "workflow>G"})

    with pytest.raises(MissingNodesError) as both:
        check_output(given, {}, {"1": subgraph, "2": "Gone"})
    with pytest.raises(MissingNodesError) as group:
        check_output(given, {}, {"3": "workflow>G"})

    assert "Install the packs" in both.value.remedy
    assert f"uses {subgraph!r}" in both.value.remedy
    assert "Install" not in group.value.remedy


def test_ids_lead_into_subgraphs_and_groups() -> None:
    """``7:3:1`` is node 1 of the subgraph of node 3 of the subgraph of node 7; a group's nodes are counted."""
    inner = {"id": "in", "nodes": [{"id": 1, "type": "Deep"}]}
    outer = {"id": "out", "nodes": [{"id": 3, "type": "in"}]}
    given = workflow(
        {"id": 7, "type": "out"},
        {"id": 8, "type": "workflow>G"},
        definitions={"subgraphs": [inner, outer]},
        extra={"groupNodes": {"G": {"nodes": [{"type": "First", "id": 40}, {"type": "Second"}]}}},
    )

    assert (find_node(given, "7:3:1") or {})["type"] == "Deep"
    assert (find_node(given, "8:1") or {})["type"] == "Second"
    assert find_node(given, "7:9") is None
    assert find_node(workflow({"id": 5.0, "type": "Float"}), "5") is not None
    assert find_node(given, "7:3:1:5") is None


def test_prompts_that_no_server_can_run_are_refused() -> None:
    """Unknown classes and nodes without inputs are errors; a sound prompt passes."""
    given = workflow({"id": 1, "type": "A"})
    check_output(given, {"1": {"class_type": "A", "inputs": {}}}, {})

    with pytest.raises(MissingNodesError):
        check_output(given, {"1": {"class_type": None, "inputs": {}}}, {"1": "A"})
    with pytest.raises(ConversionError, match="node 1"):
        check_output(given, {"1": {"class_type": "A"}}, {})
