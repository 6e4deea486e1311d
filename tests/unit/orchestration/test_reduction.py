"""Pruning to an OUTPUT, removing reroutes, and removing connected ports."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import saved
from port_workflows import Graph, Workflow, as_schema_1, problems_of

from discomfort.exceptions import UnknownPortError
from discomfort.workflow_tools import WorkflowTools

TOOLS = WorkflowTools()


def ids(workflow: Workflow) -> list[int]:
    return [node["id"] for node in workflow["nodes"]]


def checked(before: Workflow, after: Workflow) -> Workflow:
    """``after`` is sound, and ``before`` was not changed meanwhile."""
    assert problems_of(after) == []
    assert TOOLS.validate_workflow(after)
    return after


def forked() -> Graph:
    """One loader, two branches with an OUTPUT each, subgraphs, frames, dots."""
    inner, other = Graph(), Graph()
    nest = Graph()
    nest.add("Deep")
    inner.expose("inputs", "model", "MODEL")
    inner.expose("outputs", "image", "IMAGE")
    node = inner.add("Sampler", "model:MODEL", "IMAGE:IMAGE", id=5)
    inner.link(-10, 0, node, 0)
    inner.link(node, 0, -20, 0)
    inner.add("nest", id=6)
    other.add("Unused")
    graph = Graph()
    graph.subgraphs = [inner.definition("inner"), other.definition("other"), nest.definition("nest")]
    load = graph.add("Loader", "", "MODEL:MODEL VAE:VAE", id=1)
    host = graph.add("inner", "model:MODEL", "image:IMAGE", id=2)
    graph.link(load, 0, host)
    graph.output("image", host, id=3)
    graph.output("vae", load, 1, id=4)
    graph.add("other", id=7)
    graph.add("workflow>pair", id=8)
    graph.extra = {
        "groupNodes": {"pair": {"nodes": []}},
        "reroutes": [{"id": 1, "pos": [1, 1], "linkIds": [1]}, {"id": 2, "pos": [1, 1], "linkIds": [3]}],
        "linkExtensions": [{"id": 1, "parentId": 1}, {"id": 3, "parentId": 2}],
        "note": "kept",
    }
    graph.more = {
        "groups": [
            {"id": 1, "title": "with the loader", "bounding": [-10, -10, 300, 300]},
            {"id": 2, "title": "with the pair", "bounding": [1490, -10, 300, 300]},
        ]
    }
    return graph


@pytest.mark.parametrize("schema", [0.4, 1])
def test_pruning_keeps_what_the_output_needs(schema: float) -> None:
    """Nodes, links, definitions, frames and dots in use; slots name no link that is gone; other keys are kept."""
    workflow = forked().workflow()
    workflow = as_schema_1(workflow) if schema == 1 else workflow
    before = copy.deepcopy(workflow)
    pruned = checked(workflow, TOOLS._prune_workflow_to_output(workflow, "image"))

    assert workflow == before
    assert ids(pruned) == [1, 2, 3]
    assert len(pruned["links"]) == 2
    assert pruned["nodes"][0]["outputs"][1]["links"] == []
    assert {each["id"] for each in pruned["definitions"]["subgraphs"]} == {"inner", "nest"}
    assert [frame["id"] for frame in pruned["groups"]] == [1]
    dots = pruned["reroutes"] if schema == 1 else pruned["extra"]["reroutes"]
    assert [dot["id"] for dot in dots] == [1]
    assert pruned["extra"]["groupNodes"] == {}
    assert (pruned["extra"]["note"], pruned["id"], pruned["version"]) == ("kept", "w", schema)


def test_pruning_to_the_smaller_branch() -> None:
    """No definition is left where none is used."""
    pruned = TOOLS._prune_workflow_to_output(forked().workflow(), " vae ")

    assert ids(pruned) == [1, 4]
    assert "definitions" not in pruned
    assert [dot["id"] for dot in pruned["extra"]["reroutes"]] == [2]


def test_pruning_to_what_is_not_there() -> None:
    """A KeyError that shows what there is; an INPUT is no OUTPUT."""
    graph = forked()
    graph.input("x", graph.add("A", "a:INT", id=20))
    with pytest.raises(KeyError) as caught:
        TOOLS._prune_workflow_to_output(graph.workflow(), "imge")

    assert isinstance(caught.value, UnknownPortError)
    assert str(caught.value) == "'imge': the workflow has no OUTPUT port with this id. There are: image, vae"


def test_pruning_to_a_port_in_a_subgraph_keeps_it_whole() -> None:
    """An instance is not taken apart."""
    graph = forked()
    inner = graph.subgraphs[0]
    inner["nodes"].append(
        {"id": 9, "type": "DiscomfortPort", "inputs": [{"name": "input_data", "type": "*", "link": 9}],
         "outputs": [], "widgets_values": ["deep"]}
    )  # fmt: skip
    inner["links"].append({"id": 9, "origin_id": 5, "origin_slot": 0, "target_id": 9, "target_slot": 0, "type": "*"})
    inner["nodes"][0]["outputs"][0]["links"].append(9)
    pruned = TOOLS._prune_workflow_to_output(graph.workflow(), "deep")

    assert ids(pruned) == [1, 2]
    assert pruned["definitions"]["subgraphs"][0] == inner


def test_pruning_keeps_nodes_that_feed_without_a_link() -> None:
    """A Get node needs its Set node; what broadcasts may feed anything."""
    graph = Graph()
    load = graph.add("Loader", "", "MODEL:MODEL")
    for name in ("model", "other"):
        graph.link(load, 0, graph.add("SetNode", "x:MODEL", "", [name]))
    get = graph.add("GetNode", "", "x:MODEL", ["model"])
    graph.output("out", get)
    seed = graph.add("Seed", "", "INT:INT")
    graph.link(seed, 0, graph.add("Seed Everywhere", "seed:INT"))

    assert ids(TOOLS._prune_workflow_to_output(graph.workflow(), "out")) == [1, 2, 4, 5, 6, 7]


def test_saved_workflows_can_be_pruned() -> None:
    """With a port at the end of each, the result is sound, and is what the port depends on."""
    saved.require()
    for path in sorted(saved.WORKFLOWS.glob("*.json"))[::3]:
        workflow = saved.read(path)
        link = workflow["links"][-1]
        port: dict[str, Any] = {"id": 100001, "type": "DiscomfortPort", "widgets_values": ["end"], "inputs": [
            {"name": "input_data", "type": "*", "link": 100002}]}  # fmt: skip
        workflow["nodes"].append(port)
        workflow["links"].append([100002, link[1], link[2], 100001, 0, "*"])
        pruned = TOOLS._prune_workflow_to_output(workflow, "end")

        inside = {"nodes": [], "links": [], "definitions": pruned.get("definitions", {})}
        assert problems_of(pruned) == problems_of(inside), path.name
        assert {100001, link[1]} <= set(ids(pruned)), path.name
        assert len(ids(pruned)) < len(workflow["nodes"]), path.name


def rerouted() -> Graph:
    """A → reroute → reroute → B and C; a reroute without a source → B; a dot on the way."""
    graph = Graph()
    graph.add("A", "", "x:IMAGE", id=1)
    for node_id in (2, 3, 4):
        graph.add("Reroute", ":*", ":IMAGE", id=node_id)
    graph.add("B", "x:IMAGE y:IMAGE", id=5)
    graph.add("C", "x:IMAGE", id=6)
    for origin, target, slot in ((1, 2, 0), (2, 3, 0), (3, 5, 0), (3, 6, 0), (4, 5, 1)):
        graph.link(origin, 0, target, slot)
    return graph


def test_reroute_nodes_are_removed() -> None:
    """Links begin at the first real node, keep id and type; one that begins nowhere goes; slots are right."""
    workflow = rerouted().workflow()
    nodes = {node["id"]: node for node in workflow["nodes"]}
    before = copy.deepcopy((nodes, workflow["links"]))
    clean, links, ids_kept = TOOLS.remove_reroute_nodes(nodes, workflow["links"])

    assert (nodes, workflow["links"]) == before
    assert list(clean) == [1, 5, 6]
    assert links == [[3, 1, 0, 5, 0, "IMAGE"], [4, 1, 0, 6, 0, "IMAGE"]]
    assert ids_kept == {3: 3, 4: 4}
    assert clean[1]["outputs"][0]["links"] == [3, 4]
    assert [slot["link"] for slot in clean[5]["inputs"]] == [3, None]


def test_reroutes_in_a_circle_lead_nowhere() -> None:
    """And the search ends."""
    graph = Graph()
    for _ in range(2):
        graph.add("Reroute", ":*", ":*")
    graph.add("A", "x:*")
    for origin, target in ((1, 2), (2, 1), (2, 3)):
        graph.link(origin, 0, target)
    workflow = graph.workflow()

    assert TOOLS.remove_reroute_nodes({node["id"]: node for node in workflow["nodes"]}, workflow["links"])[1:] == (
        [],
        {},
    )


@pytest.mark.parametrize("schema", [0.4, 1])
def test_reroutes_of_a_whole_workflow(schema: float) -> None:
    """As nodes and as dots, in subgraphs too, and the caller's workflow stays as it is. D37."""
    inner = rerouted()
    inner.expose("inputs", "in", "IMAGE")
    inner.expose("outputs", "out", "IMAGE")
    inner.link(-10, 0, 4, 0)
    inner.link(3, 0, -20, 0)
    graph = rerouted()
    graph.subgraphs = [inner.definition("inner")]
    graph.add("inner", "in:IMAGE", "out:IMAGE", id=9)
    graph.extra = {"reroutes": [{"id": 1, "pos": [0, 0], "linkIds": [1]}], "linkExtensions": [{"id": 1, "parentId": 1}]}
    workflow = graph.workflow()
    workflow = as_schema_1(workflow) if schema == 1 else workflow
    before = copy.deepcopy(workflow)
    clean = checked(workflow, TOOLS._get_workflow_with_reroutes_removed(workflow))

    assert workflow == before
    assert ids(clean) == [1, 5, 6, 9]
    assert "reroutes" not in clean
    assert clean["extra"] == {}
    assert not any("parentId" in link for link in clean["links"] if isinstance(link, dict))
    definition = clean["definitions"]["subgraphs"][0]
    ends = [(link["origin_id"], link["target_id"], link["target_slot"]) for link in definition["links"]]
    assert ends == [(1, 5, 0), (1, 6, 0), (-10, 5, 1), (1, -20, 0)]


def test_connected_ports_are_removed() -> None:
    """What a PASSTHRU port feeds is linked to what feeds it; INPUT and OUTPUT stay."""
    graph = Graph()
    node = graph.add("A", "x:INT", "x:IMAGE")
    graph.input("seed", node)
    first, second = graph.port("one"), graph.port("two")
    graph.link(node, 0, first)
    graph.link(first, 0, second)
    end = graph.add("B", "x:IMAGE")
    graph.link(second, 0, end)
    graph.output("out", second)
    (clean,) = TOOLS._delete_passthru_ports([graph.workflow()])

    assert problems_of(clean) == []
    assert ids(clean) == [1, 2, 5, 6]
    assert [link[1:5] for link in clean["links"]] == [[2, 0, 1, 0], [1, 0, 5, 0], [1, 0, 6, 0]]


def test_normalized_links() -> None:
    """Missing lists become empty ones, in copies."""
    nodes: list[dict[str, Any]] = [
        {"id": 1, "outputs": [{"name": "x", "links": None}, {"name": "y", "links": [1]}, {"name": "z"}]},
        {"id": 2},
    ]
    before = copy.deepcopy(nodes)
    made = TOOLS._normalize_links(nodes)

    assert [slot["links"] for slot in made[0]["outputs"]] == [[], [1], []]
    assert nodes == before
