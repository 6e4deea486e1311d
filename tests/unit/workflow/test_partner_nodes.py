"""Nodes that cost money, and what a run may spend."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.exceptions import PaidNode, PaidNodesError
from discomfort.workflow.partner_nodes import API_KEY, Spending, partner_nodes

DEFINITIONS: dict[str, Any] = {
    "Paid": {"api_node": True, "output_node": False},
    "Free": {"api_node": False, "output_node": False},
    "Save": {"output_node": True},
}
PAID = (PaidNode("1", "Paid"),)
KEY = "comfyui-key"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def test_only_nodes_that_would_run_count() -> None:
    """Nothing runs a node that no output depends on, as those that keep models in the cache."""
    prompt = {"1": node("Paid"), "2": node("Save", images=["1", 0]), "3": node("Paid"), "4": node("Free")}

    assert partner_nodes(prompt, DEFINITIONS) == (PaidNode("1", "Paid"),)


def test_nodes_of_workflows() -> None:
    """In subgraphs and group nodes too; muted ones do not run."""
    workflow: dict[str, Any] = {
        "nodes": [
            {"id": 1, "type": "sub"},
            {"id": 2, "type": "Paid", "mode": 2},
            {"id": 3, "type": "workflow>group"},
            {"id": 4, "type": "sub", "mode": 4},
        ],
        "links": [],
        "definitions": {"subgraphs": [{"id": "sub", "nodes": [{"id": 7, "type": "Paid", "title": "Mine"}]}]},
        "extra": {"groupNodes": {"group": {"nodes": [{"type": "Free"}, {"type": "Paid"}]}}},
    }

    assert partner_nodes(workflow, DEFINITIONS) == (PaidNode("1:7", "Paid", "Mine"), PaidNode("3:1", "Paid"))


def test_a_class_that_becomes_a_paid_one_counts() -> None:
    """The server replaces it before it runs the prompt."""
    prompt = {"1": node("Old"), "2": node("Save", images=["1", 0])}

    assert partner_nodes(prompt, DEFINITIONS) == ()
    assert len(partner_nodes(prompt, DEFINITIONS, {"Old": [{"new_node_id": "Paid"}]})) == 1


def test_nothing_is_spent_unless_it_is_allowed() -> None:
    """The error names the nodes and what to do."""
    with pytest.raises(
        PaidNodesError, match=r"1 node\(s\) call paid services: node 1 'Paid'.*allow_paid=True"
    ) as caught:
        Spending(api_key=KEY).extra_data({"a": 1}, PAID)

    assert caught.value.nodes == PAID
    assert KEY not in str(caught.value)


def test_the_key_goes_only_where_it_is_needed() -> None:
    """With paid nodes, or where nothing tells; a key that the caller has put there stays."""
    allowed = Spending(True, KEY)

    assert allowed.extra_data({"a": 1}, PAID) == {"a": 1, API_KEY: KEY}
    assert allowed.extra_data(None, None) == {API_KEY: KEY}
    assert allowed.extra_data({"a": 1}, ()) == {"a": 1}
    assert allowed.extra_data({"auth_token_comfy_org": "own"}, PAID) == {"auth_token_comfy_org": "own"}
    assert Spending(True).extra_data(None, PAID) is None


def test_without_definitions_a_key_needs_permission() -> None:
    """Nothing tells which nodes would use it; without a key nothing can be spent."""
    assert Spending(api_key=KEY).extra_data({"a": 1}, None) == {"a": 1}
    with pytest.raises(PaidNodesError, match="nothing tells which nodes"):
        Spending().extra_data({API_KEY: KEY}, None)


def test_no_text_shows_the_key() -> None:
    """Not even that of the object that holds it."""
    assert KEY not in repr(Spending(True, KEY))
