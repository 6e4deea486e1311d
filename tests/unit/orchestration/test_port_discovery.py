"""``discover_port_nodes`` and ``validate_workflow``: roles, types, subgraphs, reroutes, both schemas, wrong files."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from port_workflows import Graph, as_schema_1

from discomfort.exceptions import PayloadError, WorkflowCycleError
from discomfort.workflow_tools import WorkflowTools

TOOLS = WorkflowTools()


def sampler() -> Graph:
    """An INPUT for a number, an INPUT for a picture behind a reroute, an OUTPUT, a PASSTHRU, an unconnected port."""
    graph = Graph()
    node = graph.add("KSampler", "image:IMAGE seed:INT", "IMAGE:IMAGE", id=7)
    graph.input("seed", node, 1, tags="number, main ,")
    reroute = graph.add("Reroute", ":*", ":*")
    graph.link(reroute, 0, node, 0)
    graph.input("picture", reroute)
    through = graph.port("through")
    graph.link(node, 0, through)
    save = graph.add("SaveImage", "images:IMAGE")
    graph.link(through, 0, save)
    graph.output("result", node)
    graph.port("lonely")
    return graph


@pytest.mark.parametrize("schema", [0.4, 1])
def test_roles_and_types(schema: float) -> None:
    """Connections decide the role; the type comes from behind reroutes and other ports. D18, D20."""
    workflow = sampler().workflow()
    found = TOOLS.discover_port_nodes(as_schema_1(workflow) if schema == 1 else workflow)

    number = {"node_id": 8, "tags": ["number", "main"], "type": "INT", "input_type": "ANY", "output_type": "INT"}
    assert found["inputs"]["seed"] == number
    assert {name: port["type"] for name, port in found["inputs"].items()} == {
        "seed": "INT", "picture": "IMAGE", "lonely": "ANY",
    }  # fmt: skip
    assert {name: port["type"] for name, port in found["outputs"].items()} == {"result": "IMAGE", "lonely": "ANY"}
    assert found["passthrus"]["through"]["input_type"] == found["passthrus"]["through"]["output_type"] == "IMAGE"
    assert (found["duplicates"], found["unnamed"]) == ({}, [])
    assert found["unique_id_to_node"]["result"] == found["outputs"]["result"]["node_id"]
    assert set(found["nodes"]) == set(found["execution_order"]) == set(range(7, 15))
    assert len(found["links"]) == len(workflow["links"])


def test_execution_order_is_sorted_by_dependence() -> None:
    """Every node comes after those that feed it."""
    workflow = sampler().workflow()
    order = TOOLS.discover_port_nodes(workflow)["execution_order"]

    assert all(order.index(link[1]) < order.index(link[3]) for link in workflow["links"])


def test_a_circle_is_an_error_that_names_its_nodes() -> None:
    """Not endless, and a ValueError."""
    graph = Graph()
    graph.add("A", "x:IMAGE", "x:IMAGE")
    graph.add("B", "x:IMAGE", "x:IMAGE")
    graph.add("C", "x:IMAGE", "x:IMAGE")
    graph.link(1, 0, 2)
    graph.link(2, 0, 3)
    graph.link(3, 0, 2)
    with pytest.raises(WorkflowCycleError, match="circle") as caught:
        TOOLS.discover_port_nodes(graph.workflow())

    assert set(caught.value.node_ids) == {"2", "3"}
    assert isinstance(caught.value, ValueError)


def test_combos_of_old_files_are_known() -> None:
    """Their slot has the list of choices as its type, which made the original fail. D18."""
    graph = Graph()
    node = graph.add("Loader", "name:COMBO", "MODEL:MODEL")
    graph.input("name", node)
    workflow = graph.workflow()
    workflow["nodes"][0]["inputs"][0]["type"] = ["a.safetensors", "b.safetensors"]
    workflow["links"][0][5] = ["a.safetensors", "b.safetensors"]

    assert TOOLS.discover_port_nodes(workflow)["inputs"]["name"]["type"] == "COMBO"


def test_type_of_the_link_counts_where_the_slot_says_nothing() -> None:
    """Frontend 1.49 saves the real type in a link into a port."""
    graph = Graph()
    switch = graph.add("Switch", "", "out:*")
    port = graph.port("x")
    graph.link(switch, 0, port, kind="VAE")

    assert TOOLS.discover_port_nodes(graph.workflow())["outputs"]["x"]["type"] == "VAE"


def nested() -> Graph:
    """Ports two subgraphs deep: an INPUT, and an OUTPUT fed through both borders."""
    inner = Graph()
    inner.expose("inputs", "image", "*")
    node = inner.add("Scale", "image:IMAGE by:FLOAT", "IMAGE:IMAGE", id=40)
    inner.link(-10, 0, node, 0)
    inner.input("factor", node, 1, id=41)
    copy_of = inner.port("copy", id=42)
    inner.link(-10, 0, copy_of)
    outer = Graph()
    outer.expose("inputs", "image", "*")
    host = outer.add("inner", "image:*", "", id=30)
    outer.link(-10, 0, host, 0)
    graph = Graph()
    graph.subgraphs = [outer.definition("outer"), inner.definition("inner")]
    host = graph.add("outer", "image:*", "", id=20)
    load = graph.add("LoadImage", "", "IMAGE:IMAGE MASK:MASK", id=21)
    graph.link(load, 0, host, 0, kind="*")
    return graph


@pytest.mark.parametrize("schema", [0.4, 1])
def test_ports_in_subgraphs(schema: float) -> None:
    """They have the id that a prompt gives them, and types from the other side of the borders. D20."""
    workflow = nested().workflow()
    found = TOOLS.discover_port_nodes(as_schema_1(workflow) if schema == 1 else workflow)

    assert found["inputs"]["factor"] | {"tags": None} == {
        "node_id": "20:30:41", "tags": None, "type": "FLOAT", "input_type": "ANY", "output_type": "FLOAT",
    }  # fmt: skip
    assert found["outputs"]["copy"]["node_id"] == "20:30:42"
    assert found["outputs"]["copy"]["type"] == "IMAGE"
    assert found["execution_order"] == [21, 20]


def test_a_subgraph_that_is_used_twice_brings_its_ports_twice() -> None:
    """Both are duplicates, each with its own id."""
    graph = nested()
    graph.add("outer", "image:*", "", id=22)
    found = TOOLS.discover_port_nodes(graph.workflow())

    # Nothing feeds the second use, so its port for the picture is not connected.
    assert found["duplicates"] == {"factor": ["20:30:41", "22:30:41"]}
    assert found["outputs"]["copy"]["node_id"] == "20:30:42"


def test_duplicates_and_ports_without_a_name(caplog: pytest.LogCaptureFixture) -> None:
    """Of several, the last one stands in the table, and all are named; a port without an id is skipped. D33."""
    graph = Graph()
    node = graph.add("KSampler", "a:INT b:INT", "x:IMAGE")
    graph.input("seed", node, 0)
    graph.input(" seed ", node, 1)
    nameless = graph.output("  ", node)
    empty = graph.port(None)
    with caplog.at_level(logging.WARNING, "discomfort"):
        found = TOOLS.discover_port_nodes(graph.workflow())

    assert found["inputs"] == {
        "seed": {"node_id": 3, "tags": [], "type": "INT", "input_type": "ANY", "output_type": "INT"}
    }
    assert found["duplicates"] == {"seed": [2, 3]}
    assert found["unnamed"] == [nameless, empty]
    assert "node 4 is a port without a unique_id" in caplog.text


def test_an_input_and_an_output_of_one_id() -> None:
    """The natural loop: both are there. D5."""
    graph = Graph()
    node = graph.add("Improve", "image:IMAGE", "image:IMAGE")
    graph.input("picture", node)
    graph.output("picture", node)
    found = TOOLS.discover_port_nodes(graph.workflow())

    assert (found["inputs"]["picture"]["node_id"], found["outputs"]["picture"]["node_id"]) == (2, 3)
    assert found["duplicates"] == {}


@pytest.mark.parametrize("mode", [2, 4])
def test_muted_and_bypassed_ports_have_no_role(mode: int) -> None:
    """They are not in the prompt. D21."""
    graph = Graph()
    node = graph.add("KSampler", "seed:INT", "x:IMAGE")
    graph.input("seed", node, mode=mode)
    found = TOOLS.discover_port_nodes(graph.workflow())

    assert (found["inputs"], found["outputs"], found["unnamed"]) == ({}, {}, [])


def test_a_name_from_a_primitive_counts_and_one_from_a_node_does_not() -> None:
    """The frontend writes a primitive's value as if it were typed; what a node computes is not known before the run."""
    graph = Graph()
    node = graph.add("KSampler", "seed:INT cfg:FLOAT")
    typed, computed = graph.input("x", node, 0), graph.input("y", node, 1)
    primitive = graph.add("PrimitiveNode", "", "STRING:STRING", ["from the primitive", "fixed"])
    other = graph.add("Concat", "", "STRING:STRING")
    for port, source in ((typed, primitive), (computed, other)):
        graph._node(port)["inputs"].append({"name": "unique_id", "type": "STRING", "link": None})
        graph.link(source, 0, port, 1)
    found = TOOLS.discover_port_nodes(graph.workflow())

    assert list(found["inputs"]) == ["from the primitive"]
    assert found["unnamed"] == [computed]


def test_chains_of_ports_look_through_each_other() -> None:
    """An INPUT that feeds another port has the type that this one feeds."""
    graph = Graph()
    node = graph.add("Decode", "vae:VAE", "IMAGE:IMAGE")
    second = graph.input("second", node)
    first = graph.input("first", second)
    third = graph.output("third", node)
    fourth = graph.output("fourth", third)
    found = TOOLS.discover_port_nodes(graph.workflow())

    assert found["inputs"]["first"] == {
        "node_id": first,
        "tags": [],
        "type": "VAE",
        "input_type": "ANY",
        "output_type": "VAE",
    }
    assert found["passthrus"].keys() == {"second", "third"}
    assert (found["outputs"]["fourth"]["node_id"], found["outputs"]["fourth"]["type"]) == (fourth, "IMAGE")


def test_a_reroute_that_leads_nowhere_connects_nothing() -> None:
    """The prompt has no such link either."""
    graph = Graph()
    reroute, port = graph.add("Reroute", ":*", ":*"), graph.port("x")
    graph.link(reroute, 0, port)
    node = graph.add("KSampler", "seed:INT")
    graph.link(port, 0, node)
    found = TOOLS.discover_port_nodes(graph.workflow())

    assert (list(found["inputs"]), found["passthrus"]) == (["x"], {})


def test_every_way_of_giving_a_workflow(tmp_path: Path) -> None:
    """An object, JSON text, a path and a PathLike give the same."""
    workflow = sampler().workflow()
    file = tmp_path / "w.json"
    file.write_text(json.dumps(workflow))
    expected = TOOLS.discover_port_nodes(workflow)

    assert TOOLS.discover_port_nodes(file) == TOOLS.discover_port_nodes(str(file)) == expected
    assert TOOLS.discover_port_nodes(json.dumps(workflow)) == expected


def test_nothing_is_shared() -> None:
    """What is returned may be changed; what was given stays."""
    workflow = sampler().workflow()
    before = copy.deepcopy(workflow)
    found = TOOLS.discover_port_nodes(workflow)
    found["links"].clear()
    for node in found["nodes"].values():
        node.clear()

    assert workflow == before


BAD: dict[str, dict[str, Any]] = {
    "no nodes": {"links": []},
    "no links": {"nodes": [{"id": 1, "type": "A"}]},
    "five parts": {"nodes": [{"id": 1, "type": "A"}], "links": [[1, 1, 0, 1, 0]]},
    "unknown target": {"nodes": [{"id": 1, "type": "A"}], "links": [[1, 1, 0, 2, 0, "X"]]},
    "unknown origin": {"nodes": [{"id": 1, "type": "A"}], "links": [[1, 2, 0, 1, 0, "X"]]},
    "not a link": {"nodes": [{"id": 1, "type": "A"}], "links": [{"id": 1}]},
    "in a subgraph": {
        "nodes": [{"id": 1, "type": "s"}],
        "links": [],
        "definitions": {"subgraphs": [{"id": "s", "nodes": [{"id": 2, "type": "A"}], "links": [[1, 2, 0, 3, 0, "X"]]}]},
    },
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_structure(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Validation says no, with a line in the log; discovery raises a ValueError that says where."""
    assert TOOLS.validate_workflow(BAD[name]) is False
    assert "not a valid workflow" in caplog.text
    with pytest.raises(ValueError, match=r"links|node|workflow"):
        TOOLS.discover_port_nodes(BAD[name])


@pytest.mark.parametrize("workflow", [sampler().workflow(), as_schema_1(sampler().workflow()), nested().workflow()])
def test_valid_workflows(workflow: dict[str, Any]) -> None:
    """Both schemas are valid, as are subgraphs. D20."""
    assert TOOLS.validate_workflow(workflow) is True


def test_null_among_the_links() -> None:
    """Old files have it; the frontend skips it, and so does everything here. D20."""
    workflow = sampler().workflow()
    workflow["links"].insert(0, None)

    assert TOOLS.validate_workflow(workflow) is True
    assert "seed" in TOOLS.discover_port_nodes(workflow)["inputs"]
    assert None not in TOOLS.stitch_workflows([workflow])["stitched_workflow"]["links"]


def test_a_missing_file_and_a_prompt(tmp_path: Path) -> None:
    """FileNotFoundError for the one; a prompt has no ports of this kind."""
    with pytest.raises(FileNotFoundError):
        TOOLS.discover_port_nodes(tmp_path / "none.json")
    with pytest.raises(PayloadError, match="prompt"):
        TOOLS.discover_port_nodes({"1": {"class_type": "A", "inputs": {}}})


def test_context_handlers() -> None:
    """The internal nodes of a stored workflow, with the id at its place among the values."""
    graph = Graph()
    graph.add("DiscomfortContextLoader", "", "x:*", ["the run", "model"])
    graph.add("DiscomfortContextSaver", "x:*", "", ["image", "the run"])

    assert TOOLS._discover_context_handlers(graph.workflow()) == {
        "loaders": [{"node_id": 1, "unique_id": "model"}],
        "savers": [{"node_id": 2, "unique_id": "image"}],
    }
