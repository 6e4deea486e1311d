"""Ports of a prompt: roles, also where neighbours are muted; sources, targets and types; what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from port_workflows import Graph

from discomfort.workflow.prompt_ports import PromptPorts, declared_ports, prompt_ports
from discomfort.workflow.workflow_ports import PortRole

DEFINITIONS: dict[str, Any] = {
    "Load": {"input": {"required": {"name": [["a", "b"]]}}, "output": ["MODEL", ["a", "b"]]},
    "Sample": {
        "input": {"required": {"model": ["MODEL"], "seed": ["INT", {}], "cfg": ["FLOAT", {}], "any": ["*", {}]}},
        "output": ["IMAGE"],
    },
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": []},
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def port(unique_id: Any, **inputs: Any) -> dict[str, Any]:
    return node("DiscomfortPort", unique_id=unique_id, **inputs)


def roles(found: PromptPorts) -> dict[str, str]:
    return {each.node_id: str(each.role) for each in found.ports}


CHAIN: dict[str, Any] = {
    "1": port(" seed "),
    "2": port("seed"),
    "3": port("between", input_data=["2", 0]),
    "4": node("Load", name=["1", 0]),
    "5": node("Sample", model=["6", 0], seed=["3", 0], cfg=["2", 0], any=["1", 0]),
    "6": port("through", input_data=["4", 0]),
    "7": port("image", input_data=["8", 0]),
    "8": port("before", input_data=["5", 0]),
    "9": port("alone"),
    "10": port("copy", input_data=["3", 0]),
    "5:1": port("inside", input_data=["4", 1]),
}


def test_roles() -> None:
    """By what is linked; a port in a subgraph as any other."""
    assert roles(prompt_ports(CHAIN)) == {
        "1": "input", "2": "input", "3": "passthru", "6": "passthru", "7": "output", "8": "passthru",
        "9": "unconnected", "10": "output", "5:1": "output",
    }  # fmt: skip


def test_sources_targets_and_types() -> None:
    """Behind other ports; types from the definitions, a list of choices is COMBO."""
    found = {each.node_id: each for each in prompt_ports(CHAIN, DEFINITIONS).ports}

    assert [(each.node_id, each.name, each.type) for each in found["1"].targets] == [
        ("4", "name", "COMBO"), ("5", "any", "ANY"),
    ]  # fmt: skip
    assert [(each.node_id, each.name, each.type) for each in found["2"].targets] == [
        ("5", "seed", "INT"), ("10", "input_data", "ANY"), ("5", "cfg", "FLOAT"),
    ]  # fmt: skip
    assert (found["7"].source, found["7"].type) == (("5", 0), "IMAGE")
    assert (found["5:1"].source, found["5:1"].type) == (("4", 1), "COMBO")
    assert (found["10"].source, found["10"].type) == (("2", 0), "ANY")
    assert (found["1"].type, found["2"].type, found["6"].type) == ("COMBO", "INT", "MODEL")


def test_by_id() -> None:
    """All INPUT ports of an id, and the OUTPUT ports."""
    found = prompt_ports(CHAIN)

    assert {name: [each.node_id for each in same] for name, same in found.inputs().items()} == {"seed": ["1", "2"]}
    assert {name: each.node_id for name, each in found.outputs().items()} == {
        "image": "7",
        "copy": "10",
        "inside": "5:1",
    }
    assert found.problems == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"1": port("  "), "2": node("Sample", seed=["1", 0])}, "has no unique_id"),
    ({"1": port(None)}, "has no unique_id"),
    ({"1": node("DiscomfortPort")}, "has no unique_id"),
    ({"1": port(["2", 0]), "2": node("Load")}, "computed by node 2"),
    (
        {"1": node("Load"), "2": port("x", input_data=["1", 0]), "3": port("x", input_data=["1", 1])},
        r"2 OUTPUT ports have this id \(nodes 2, 3\)",
    ),
    (
        {"1": port("x"), "2": node("Sample", model=["1", 0], seed=["1", 0])},
        r"MODEL of node 2 'Sample' input 'model' and INT of node 2 'Sample' input 'seed' exclude",
    ),
    (
        {"1": node("Load"), "2": port("x", input_data=["1", 0]), "3": node("Save", images=["2", 0])},
        "MODEL of node 1 and IMAGE of node 3 'Save' input 'images' exclude",
    ),
]


@pytest.mark.parametrize(("prompt", "problem"), WRONG)
def test_problems(prompt: dict[str, Any], problem: str) -> None:
    """Each names the port and what to do; D33."""
    import re

    (found,) = prompt_ports(prompt, DEFINITIONS).problems

    assert re.search(problem, str(found)), str(found)


def test_circles_of_ports_end() -> None:
    """They lead nowhere."""
    circle = {
        "1": port("a", input_data=["2", 0]),
        "2": port("b", input_data=["1", 0]),
        "3": node("Save", images=["1", 0]),
    }
    found = prompt_ports(circle)

    assert [each.source for each in found.ports] == [None, None]


def muted(mode: int, *, behind: bool) -> Graph:
    """Load → (source) port → Save, with either neighbour muted; the port also feeds an OUTPUT, if not ``behind``."""
    graph = Graph()
    load = graph.add("Load", "", "MODEL:MODEL", mode=0 if behind else mode)
    middle = graph.port("middle")
    graph.link(load, 0, middle)
    save = graph.add("Save", "images:IMAGE", mode=mode if behind else 0)
    graph.link(middle, 0, save)
    return graph


def test_a_port_with_a_muted_source_is_no_input() -> None:
    """The prompt alone would say so; its consumers lack the input. D21."""
    workflow = muted(2, behind=False).workflow()
    prompt = {"2": port("middle"), "3": node("Save", images=["2", 0])}

    assert roles(prompt_ports(prompt)) == {"2": "input"}
    found = prompt_ports(prompt, workflow=workflow)
    assert roles(found) == {"2": "passthru"}
    assert found.ports[0].source is None


def test_a_port_whose_consumer_is_muted_is_no_output() -> None:
    """It is not collected."""
    workflow = muted(2, behind=True).workflow()
    prompt = {"1": node("Load"), "2": port("middle", input_data=["1", 0])}

    assert roles(prompt_ports(prompt)) == {"2": "output"}
    assert roles(prompt_ports(prompt, workflow=workflow)) == {"2": "passthru"}


def test_an_output_with_a_muted_source_gets_nothing() -> None:
    """It stays an OUTPUT, and is not among those that get a value; so is one behind such a port."""
    graph = Graph()
    load = graph.add("Load", "", "MODEL:MODEL", mode=2)
    first = graph.port("first")
    graph.link(load, 0, first)
    graph.output("second", first)
    graph.output("third", load)
    prompt = {"2": port("first"), "3": port("second", input_data=["2", 0]), "4": port("third")}
    found = prompt_ports(prompt, workflow=graph.workflow())

    assert roles(found) == {"2": "passthru", "3": "output", "4": "output"}
    assert found.outputs() == {}
    assert [each.role for each in prompt_ports(prompt).ports] == [PortRole.INPUT, PortRole.OUTPUT, PortRole.UNCONNECTED]


def test_an_input_whose_consumer_is_muted_needs_no_value() -> None:
    """Nothing takes it."""
    graph = Graph()
    save = graph.add("Save", "images:IMAGE", mode=2)
    graph.input("image", save)

    assert prompt_ports({"2": port("image")}, workflow=graph.workflow()).inputs() == {}


def test_ids_of_ports_in_subgraphs() -> None:
    """Also if a newer frontend has renumbered an inner node."""
    inner = Graph()
    sample = inner.add("Sample", "seed:INT")
    inner.input("seed", sample)
    graph = Graph()
    graph.subgraphs = [inner.definition("inner")]
    graph.add("inner", id=5)
    same = {"5:1": node("Sample", seed=["5:2", 0]), "5:2": port("seed")}
    other = {"5:1": node("Sample", seed=["5:77", 0]), "5:77": port("seed")}

    assert list(declared_ports(graph.workflow(), same)) == ["5:2"]
    assert list(declared_ports(graph.workflow(), other)) == ["5:77"]
