"""Rounds of a workflow as nodes of another prompt: links, ids, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.exceptions import PortError
from discomfort.nodes.round_plan import RoundPlan, declared_type, round_plan
from discomfort.nodes.runner_node import Held, Rounds

DEFINITIONS: dict[str, Any] = {
    "Invert": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"]},
    "Image": {"input": {"required": {"size": ["INT", {}]}, "optional": {"kind": [["a", "b"]]}}, "output": ["IMAGE"]},
    "Model": {"input": {}, "output": ["MODEL", "CLIP"]},
    "Lists": {"input": {"required": {"values": ["*"]}}, "output": ["IMAGE"]},
}


def node(class_type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


INVERT = {"1": port("x"), "2": node("Invert", image=["1", 0]), "3": port("x", ["2", 0])}


def plan(prompt: dict[str, Any], **types: str) -> RoundPlan:
    return round_plan(prompt, types, DEFINITIONS.get)


def test_round() -> None:
    """The port in is what the caller connected, the port out is a link to what feeds it."""
    nodes, outputs = plan(INVERT, x="IMAGE").round("r.", {"x": ["outer", 2]})

    assert nodes == {"r.2": node("Invert", image=["outer", 2])}
    assert outputs == {"x": ["r.2", 0]}


def test_port_that_hands_on() -> None:
    """A PASSTHRU port goes, and a variable that goes straight to an OUTPUT is that output."""
    prompt = {
        "1": port("x"), "2": port("between", ["1", 0]), "3": node("Invert", image=["2", 0]), "4": port("y", ["3", 0]),
        "5": port("z", ["2", 0]),
    }  # fmt: skip
    nodes, outputs = plan(prompt, x="*").round("r.", {"x": ["9", 0]})

    assert nodes == {"r.3": node("Invert", image=["9", 0])}
    assert outputs == {"y": ["r.3", 0], "z": ["9", 0]}


def test_wrapped_lists() -> None:
    """They are unpacked: a server does that in prompts only."""
    nodes, _ = plan({"1": node("Lists", values={"__value__": [1, 2, 3]})}).round("r.", {})
    assert nodes == {"r.1": node("Lists", values=[1, 2, 3])}


@pytest.mark.parametrize(
    ("prompt", "types", "text"),
    [
        (INVERT, {}, "port 'x': it has no value: connect one to input1"),
        (INVERT, {"x": "MODEL"}, "port 'x'.*takes IMAGE, given MODEL"),
        ({"1": node("Nobody")}, {}, "does not have this node: install its pack"),
        ({"1": node("Invert")}, {}, "'image'.*nothing is connected to it"),
        ({"1": node("Invert", image=["7", 0])}, {}, "linked to node 7, which is not there"),
        ({"1": node("Image", size=1, kind="c")}, {}, "'kind'.*'c'.*not among its 2 values"),
        ({**INVERT, "4": port("x", ["2", 0])}, {"x": "*"}, "2 OUTPUT ports have this id"),
    ],
)
def test_workflows_that_cannot_run(prompt: dict[str, Any], types: dict[str, str], text: str) -> None:
    """The error names node, port and remedy: a server checks no expansion."""
    with pytest.raises(PortError, match=text):
        plan(prompt, **types)


def test_rounds_in_steps() -> None:
    """What an output is in one round is the input of the next; no more nodes at a time than a server can follow."""
    rounds = Rounds(plan(INVERT, x="*"), "p.run.", 0, 450, ("x",), ("x", "", "", "", ""), "p")
    made = rounds.expansion({"x": ["outer", 0]})
    nodes = made["expand"]

    assert nodes["p.run.0.2"]["inputs"] == {"image": ["outer", 0]}
    assert nodes["p.run.199.2"]["inputs"] == {"image": ["p.run.198.2", 0]}
    assert "p.run.200.2" not in nodes
    later = nodes["p.run.from200"]["inputs"]
    assert later["value0"] == ["p.run.199.2", 0]
    assert (later["rounds"].first, later["rounds"].number) == (200, 250)
    assert made["result"] == (["p.run.result0.1", 0], [None], [None], [None], [None])
    assert nodes["p.run.result0.1"]["inputs"] == {"value": ["p.run.from200", 0]}
    assert {each["override_display_id"] for each in nodes.values()} == {"p"}


def test_last_rounds() -> None:
    """They have no successor, and give the outputs themselves."""
    made = Rounds(plan(INVERT, x="*"), "p.", 400, 50, ("x",), ("", "x"), "p").expansion({"x": ["v", 0]})

    assert made["expand"]["p.result400.2"]["inputs"] == {"value": ["p.449.2", 0]}
    assert not any("from" in key for key in made["expand"])


def test_what_a_server_shows_of_values() -> None:
    """Errors of ComfyUI show inputs as text; ours are short, and show nothing of a value."""
    assert len(repr(Held(["secret" * 1000]))) < 100
    assert repr(plan(INVERT, x="*")) == "<1 nodes>"


def test_types_of_links() -> None:
    """As the class declares them; unknown ones fit everything."""
    assert declared_type(node("Model"), 1, DEFINITIONS.get) == "CLIP"
    assert declared_type(node("Model"), 5, DEFINITIONS.get) == "ANY"
    assert declared_type(node("Nobody"), 0, DEFINITIONS.get) == "ANY"
