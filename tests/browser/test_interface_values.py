"""Inputs of App Mode set in the prompt, against the real frontend: the same as if the value had been typed there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest
import pytest_asyncio
from browser import newer_sample
from browser.made_workflows import Json, all_made, node, save, workflow
from browser.newer_workflows import HOST, app_mode, dynamic_combos, link, nested, picture_host, subgraph
from browser.stub_server import StubServer

from discomfort.conversion import Converter
from discomfort.workflow.interface.placing import place_value
from discomfort.workflow.interface.sources import interface_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PARAMS = [newer_sample.param(version) for version in newer_sample.versions()]
NODES: dict[str, Any] = json.loads(newer_sample.DEFINITIONS.read_bytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PARAMS)
async def converter(request: pytest.FixtureRequest) -> AsyncIterator[Converter]:
    """A frontend with its page loaded."""
    root = newer_sample.root_of(request.param)
    server = await StubServer(static=root, definitions=NODES).start()
    made = Converter(server.url, front_end_root=root, install=False)
    try:
        await made.wait_page()
        yield made
    finally:
        await made.aclose()
        await server.aclose()


def host_with_fewer_slots() -> Json:
    """A subgraph of two widgets, whose node was saved with the socket of the second one alone."""
    inside = node(3, "EmptyImage", (("width", "INT", "width"), ("height", "INT", "height")), ("IMAGE",), (64, 64, 1, 0))
    inside["inputs"][0]["link"], inside["inputs"][1]["link"], inside["outputs"][0]["links"] = 1, 2, [3]
    links = [link(1, -10, 0, 3, 0, "INT"), link(2, -10, 1, 3, 1, "INT"), link(3, 3, 0, -20, 0, "IMAGE")]
    made = subgraph(HOST, [inside], links, [("width", "INT", 1), ("height", "INT", 2)], [("IMAGE", "IMAGE", 3)])
    host = node(10, HOST, (("height", "INT", "height"),), ("IMAGE",), (96, 96), properties={})
    nodes = [node(12, "PrimitiveInt", (), ("INT",), (80, "fixed")), host, save(11)]
    links_outside = [(12, 0, 10, 0, "INT"), (10, 0, 11, 0, "IMAGE")]
    return workflow(nodes, links_outside, definitions={"subgraphs": [made]})


def typed(made: Json, node_id: int, values: list[Any]) -> Json:
    """The workflow with other values of a node's widgets."""
    edited = deepcopy(made)
    next(each for each in edited["nodes"] if each["id"] == node_id)["widgets_values"] = values
    return edited


APP, PICTURE, DEEP, COMBOS = app_mode(), picture_host([0], [["3", "color"]]), nested(), dynamic_combos()
FEWER, PRIMITIVES = host_with_fewer_slots(), all_made()["primitives"]
UUID = "8f1a1c52-0000-4000-8000-00000000000f"

CASES: dict[str, tuple[Json, list[Any], Any, Json]] = {
    "a widget": (APP, [1, "width"], 80, typed(APP, 1, [80, 64, 1, 0])),
    "a primitive": (PRIMITIVES, ["1", "value"], 100, typed(PRIMITIVES, 1, [100, "fixed"])),
    "a widget that a subgraph shows": (PICTURE, ["3", "color"], 9, typed(PICTURE, 10, [9])),
    "a widget of a subgraph in a subgraph": (DEEP, ["5", "width"], 120, typed(DEEP, 10, [120])),
    "a widget without a socket": (FEWER, [f"{UUID}:10:width", "width"], 128, typed(FEWER, 10, [128, 96])),
    "a dynamic combo": (COMBOS, [3, "resize_type"], "scale width", typed(COMBOS, 3, ["scale width", 512, "area"])),
}


@pytest.mark.parametrize("case", CASES)
async def test_set_is_typed(converter: Converter, case: str) -> None:
    """One entry each; what the frontend makes of the edited workflow counts."""
    made, entry, value, edited = CASES[case]
    workflow = made | {"extra": {"linearData": {"inputs": [entry], "outputs": []}}}
    prompt = await converter.convert(workflow)
    interface = interface_of(prompt, NODES, workflow=workflow)
    (parameter,) = interface.inputs.values()
    assert interface.problems == ()
    assert parameter.default != value

    place_value(prompt, parameter.targets, value, NODES)

    assert prompt == await converter.convert(edited)


async def test_a_primitive_behind_a_reroute_has_no_effect(converter: Converter) -> None:
    """It is shown in App Mode, but its value reaches nothing; the interface names it as a problem instead."""
    workflow = PRIMITIVES | {"extra": {"linearData": {"inputs": [["6", "value"]], "outputs": []}}}
    prompt = await converter.convert(workflow)
    interface = interface_of(prompt, NODES, workflow=workflow)
    assert interface.inputs == {}
    assert ["Reroute" in problem.problem for problem in interface.problems] == [True]
    assert prompt == await converter.convert(typed(PRIMITIVES, 6, [99, "fixed"]))
