"""Ends of links: compared with recorded prompts, in which the real frontend has resolved them."""

from __future__ import annotations

from typing import Any

import saved
from port_workflows import Graph

from discomfort.workflow.javascript import id_text
from discomfort.workflow.link_ends import origin_of, targets_of
from discomfort.workflow.nodes import class_of
from discomfort.workflow.port_types import excludes, is_known, slot_type
from discomfort.workflow.scopes import GraphScope, workflow_scope
from discomfort.workflow.subgraphs import objects


def located(scope: GraphScope, node_id: str) -> tuple[GraphScope, dict[str, Any]] | None:
    """The node that a prompt names, and the graph that it is in."""
    *hosts, own = node_id.split(":")
    for host in hosts:
        if host not in scope.children:
            return None
        scope = scope.children[host]
    return (scope, scope.nodes[own]) if own in scope.nodes else None


def test_recorded_prompts_have_the_same_links() -> None:
    """Through reroutes and subgraphs; a bypassed source is another matter."""
    saved.require()
    compared = through_borders = 0
    for path in sorted(saved.WORKFLOWS.glob("*.json")):
        scope = workflow_scope(saved.read(path))
        prompt = saved.read(saved.PROMPTS / path.name)
        for node_id, made in prompt.items():
            found = located(scope, node_id)
            if found is None:
                continue
            here, node = found
            for index, slot in enumerate(objects(node.get("inputs"))):
                link = here.links.into(id_text(node.get("id")), index)
                expected = made["inputs"].get(slot.get("name"))
                if link is None or not isinstance(expected, list):
                    continue
                end = origin_of(here, link)
                if end is None or not end.scope.is_active(end.node):
                    continue
                assert [end.node_id, end.slot] == expected, (path.name, node_id, slot.get("name"))
                back = [(each.node_id, each.slot) for each in targets_of(end.scope, id_text(end.node["id"]), end.slot)]
                assert (node_id, index) in back, (path.name, node_id)
                compared += 1
                through_borders += end.scope is not here
    assert compared > 800
    assert through_borders > 5


def test_recorded_types_are_those_of_the_definitions() -> None:
    """The type at the end of a link is the one that ComfyUI declares for that output."""
    saved.require()
    definitions = saved.definitions()
    compared = 0
    for path in sorted(saved.WORKFLOWS.glob("*.json")):
        for scope in workflow_scope(saved.read(path)).walk():
            for link in scope.links.links:
                end = origin_of(scope, link)
                declared = definitions.get(end.class_type, {}).get("output", []) if end is not None else []
                if end is None or end.slot >= len(declared) or not is_known(slot_type(declared[end.slot])):
                    continue
                assert not excludes(end.type, slot_type(declared[end.slot])), (path.name, link)
                compared += 1
    assert compared > 1000


def test_a_host_with_fewer_slots_than_its_definition() -> None:
    """Older frontends left out those that are widgets; slots are matched by number, as the frontend does."""
    inner = Graph()
    for name in ("image", "steps"):
        inner.expose("inputs", name, "*")
    inner.expose("outputs", "image", "IMAGE")
    node = inner.add("Sample", "steps:INT image:IMAGE", "IMAGE:IMAGE")
    inner.link(-10, 1, node, 0)
    inner.link(-10, 0, node, 1)
    inner.link(node, 0, -20, 0)
    graph = Graph()
    graph.subgraphs = [inner.definition("inner")]
    load = graph.add("LoadImage", "", "IMAGE:IMAGE")
    host = graph.add("inner", "renamed:IMAGE", "image:IMAGE")
    save = graph.add("Save", "images:IMAGE")
    graph.link(load, 0, host, 0)
    graph.link(host, 0, save, 0)
    root = workflow_scope(graph.workflow())
    child = root.children[str(host)]

    end = origin_of(child, child.links.into("1", 1))
    assert end is not None
    assert (end.node_id, class_of(end.node)) == (str(load), "LoadImage")
    assert origin_of(child, child.links.into("1", 0)) is None
    assert [each.node_id for each in targets_of(root, str(load), 0)] == [f"{host}:1"]
    assert [each.node_id for each in targets_of(child, "1", 0)] == [str(save)]
