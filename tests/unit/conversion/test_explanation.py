"""What became of each node, and which links lead nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import nested

from discomfort.conversion.explanation import MAX_NODES, Explanation, NodeFate, links_to_nowhere, node_fates

KEPT: dict[str, Any] = {"class_type": "A", "inputs": {}}


def node(node_id: int, kind: str = "A", **more: Any) -> dict[str, Any]:
    """A node of a workflow."""
    return {"id": node_id, "type": kind, "mode": 0} | more


def fates(workflow: dict[str, Any], *kept: str, **more: Any) -> dict[str, str]:
    """Outcome by node id, given the ids in the prompt."""
    return {fate.node_id: fate.outcome for fate in node_fates(workflow, dict.fromkeys(kept, KEPT) | more)}


def test_outcomes_of_plain_nodes() -> None:
    """Kept, muted, bypassed, virtual, only shown, unknown."""
    kinds = [node(1), node(2, mode=2), node(3, mode=4), node(4, "Reroute"), node(5, "Note"), node(6, "Unknown")]

    found = fates({"nodes": kinds}, "1", **{"6": {"class_type": None, "inputs": {}}})

    assert found == {
        "1": "kept",
        "2": "muted",
        "3": "bypassed",
        "4": "virtual",
        "5": "frontend-only",
        "6": "missing",
    }


def test_outcomes_inside_subgraphs_and_groups() -> None:
    """What holds nodes is told with their number; what is inside something muted is dropped."""
    subgraph = {"id": "uuid", "nodes": [node(1), node(2, mode=2)]}
    groups = {"G": {"nodes": [node(7), node(7)]}}
    workflow = {
        "nodes": [node(1, "uuid"), node(2, "uuid", mode=2), node(3, "workflow>G")],
        "definitions": {"subgraphs": [subgraph]},
        "extra": {"groupNodes": groups},
    }

    found = node_fates(workflow, dict.fromkeys(("1:1", "3:0", "3:1"), KEPT))

    assert [(fate.node_id, fate.outcome, fate.inner) for fate in found] == [
        ("1", "subgraph", 2),
        ("1:1", "kept", 0),
        ("1:2", "muted", 0),
        ("2", "muted", 2),
        ("2:1", "dropped", 0),
        ("2:2", "muted", 0),
        ("3", "group", 2),
        ("3:0", "kept", 0),
        ("3:1", "kept", 0),
    ]


def test_subgraph_that_contains_itself_has_an_end() -> None:
    """A hostile definition is followed to a depth, not for ever."""
    workflow = {"nodes": [node(1, "u")], "definitions": {"subgraphs": [{"id": "u", "nodes": [node(1, "u")]}]}}

    assert len(node_fates(workflow, {})) == 101
    assert links_to_nowhere(workflow) == ()


def test_text_of_an_explanation() -> None:
    """One line for the path, one for each node, with the reason."""
    fate = NodeFate("1", "uuid", "My part", "subgraph", 3)
    assert str(Explanation("cache", (fate,), {})) == (
        "converted by: cache\n1 'My part' (uuid): subgraph of 3; its inner nodes take its place"
    )


def test_a_missing_node_names_its_pack() -> None:
    """With the command that installs it; and the whole explanation has one command for all."""
    missing: dict[str, Any] = {"class_type": None, "inputs": {}}
    nodes = [
        node(1, "A", properties={"cnr_id": "pack-a"}, title="First"),
        node(2, "B", properties={"aux_id": "owner/b"}),
        node(3, "C"),
        node(4, "D", properties={"cnr_id": "x; reboot"}),
        node(5, "E"),
    ]
    output = dict.fromkeys(("1", "2", "3", "4"), missing) | {"5": KEPT}
    found = Explanation("browser", node_fates({"nodes": nodes}, output), output)

    assert [fate.reason.partition(" node type")[2] for fate in found.missing] == [
        "; it is in the pack 'pack-a': comfy node install pack-a",
        "; it is in the pack 'owner/b': comfy node install https://github.com/owner/b",
        ", and the workflow names no pack for it",
        "; it is in the pack 'x; reboot'",
    ]
    assert found.install == "comfy node install pack-a https://github.com/owner/b"
    assert "Those without a pack" in found.remedy
    assert str(found).splitlines()[1].startswith("1 'First' (A): missing; the server does not have this node type")
    assert Explanation("cache", (), {}).remedy == ""


def test_an_explanation_is_plain_data() -> None:
    """For JSON, with the reasons; the prompt is a copy."""
    output = {"1": KEPT}
    found = Explanation("native", node_fates({"nodes": [node(1)]}, output), output)

    plain = json.loads(json.dumps(found.to_dict()))

    assert plain["nodes"] == [
        {
            "node_id": "1", "class_type": "A", "title": None, "outcome": "kept", "inner": 0, "pack": None,
            "reason": "it is in the prompt",
        }
    ]  # fmt: skip
    assert (plain["path"], plain["install"], plain["prompt"]) == ("native", None, output)
    assert found.to_dict()["prompt"]["1"] is not KEPT


def linked(node_id: int, link: Any, **more: Any) -> dict[str, Any]:
    """A node with one connected input."""
    return node(node_id, inputs=[{"name": "image", "link": link}], **more)


def test_every_link_to_nowhere_is_told() -> None:
    """Links that do not exist and links from nodes that do not exist, in both schemas."""
    workflow = {
        "nodes": [linked(1, 10), linked(2, 11), linked(3, 12), linked(4, None), linked(5, 99, mode=2)],
        "links": [[11, 77, 0, 2, 0, "IMAGE"], {"id": 12, "origin_id": 1, "target_id": 3}],
    }

    found = links_to_nowhere(workflow)

    assert [(p.node_id, p.input_name) for p in found] == [("1", "image"), ("2", "image")]
    assert "link 10 does not exist" in str(found[0])
    assert "node 77" in str(found[1])


def test_inputs_that_got_a_value_are_no_problem() -> None:
    """Only what the prompt lacks counts, and only for nodes in it."""
    workflow = {"nodes": [linked(1, 10), linked(2, 10), linked(3, 10)], "links": []}
    output: dict[str, Any] = {"1": {"class_type": "A", "inputs": {"image": 5}}, "2": {"class_type": "A", "inputs": {}}}

    assert [problem.node_id for problem in links_to_nowhere(workflow, output)] == ["2"]


def test_links_inside_subgraphs() -> None:
    """A subgraph's input is an origin; a link that its graph lacks is told with the whole path."""
    inner = {"id": "u", "nodes": [linked(1, 1), linked(2, 2)], "links": {"1": {"id": 1, "origin_id": -10}}}
    workflow = {"nodes": [node(5, "u")], "links": [], "definitions": {"subgraphs": [inner]}}

    assert [problem.node_id for problem in links_to_nowhere(workflow)] == ["5:2"]


@pytest.mark.parametrize("closed", [True, False])
def test_subgraphs_without_end(closed: bool) -> None:
    """Subgraphs that hold each other twice, over many levels or for ever, are looked at to a limit."""
    workflow = nested(50, closed=closed)

    assert len(node_fates(workflow, {})) == MAX_NODES
    assert links_to_nowhere(workflow) == ()


def test_ids_that_the_frontend_gave() -> None:
    """Inner nodes that were given other ids, nested ones too, and a node without one, are found by class and order."""
    deep = {"id": "deep", "nodes": [{"id": 1, "type": "B"}]}
    inner = [{"id": 1, "type": "A"}, {"id": 2, "type": "A"}, {"id": 3, "type": "deep"}, {"id": 4, "type": "Reroute"}]
    inner += [{"id": 5, "type": "Gone"}, {"id": 6, "type": "A", "mode": 2}]
    given = {
        "nodes": [{"id": 1, "type": "outer"}, {"id": 2, "type": "A"}, {"type": "A"}],
        "definitions": {"subgraphs": [{"id": "outer", "nodes": inner}, deep]},
    }
    made = {"class_type": "A", "inputs": {}}
    output = dict.fromkeys(("2", "3", "1:12", "1:13"), made)
    output |= {"1:14:15": made | {"class_type": "B"}, "1:16": {"class_type": None, "inputs": {}}}

    fates = {fate.node_id: fate.outcome for fate in node_fates(given, output)}

    assert fates == {
        "1": "subgraph",
        "2": "kept",
        "3": "kept",
        "1:12": "kept",
        "1:13": "kept",
        "1:14": "subgraph",
        "1:14:15": "kept",
        "1:4": "virtual",
        "1:16": "missing",
        "1:6": "muted",
    }


def test_links_to_nowhere_in_subgraphs_with_other_ids() -> None:
    """An input that lost its link is found although the prompt has its node under another id."""
    inner = {"id": 1, "type": "A", "inputs": [{"name": "image", "link": 9}]}
    given = {"nodes": [{"id": 1, "type": "sub"}], "definitions": {"subgraphs": [{"id": "sub", "nodes": [inner]}]}}

    found = links_to_nowhere(given, {"1:2": {"class_type": "A", "inputs": {}}})

    assert [(problem.node_id, problem.input_name) for problem in found] == [("1:2", "image")]
