"""Widgets that a subgraph's node shows for the subgraph's inputs: one value, all its places."""

from __future__ import annotations

from typing import Any

import pytest
from browser.made_workflows import empty_image, node, save, workflow
from browser.newer_workflows import HOST, link, subgraph

from discomfort.exceptions import InputSelectorError
from discomfort.workflow import Editor

SIZE = {name: ["INT", {"min": 0, "max": 512, "default": 512}] for name in ("width", "height", "batch_size", "color")}
DEFINITIONS: dict[str, Any] = {
    "EmptyImage": {"input": {"required": SIZE}},
    "PrimitiveInt": {"input": {"required": {"value": ["INT", {"control_after_generate": True}]}}},
}


def _inside(node_id: int, **linked: int) -> dict[str, Any]:
    names = {name: ("INT", name) for name in linked}
    made = empty_image(node_id) | {"inputs": []}
    for name, (kind, widget) in names.items():
        made["inputs"].append({"name": name, "type": kind, "widget": {"name": widget}, "link": linked[name]})
    return made


def shown(values: Any, *, feeds: list[dict[str, Any]] | None = None, **properties: Any) -> dict[str, Any]:
    """A subgraph whose inputs ``side`` and ``tall`` are widgets inside: the first of two nodes."""
    links = [link(1, -10, 0, 3, 0, "INT"), link(2, -10, 1, 3, 1, "INT"), link(3, -10, 0, 4, 0, "INT"),
             link(4, 3, 0, -20, 0, "IMAGE")]  # fmt: skip
    nodes = [_inside(3, width=1, height=2), _inside(4, width=3)]
    nodes[0]["outputs"][0]["links"] = [4]
    made = subgraph(HOST, nodes, links, [("side", "INT", 1, 3), ("tall", "INT", 2)], [("IMAGE", "IMAGE", 4)])
    made["inputs"][1]["label"] = "Height of the picture"
    host = node(10, HOST, (), ("IMAGE",), (), properties=properties) | {"widgets_values": values}
    return workflow([host, *(feeds or []), save(11)], [(10, 0, 11, 0, "IMAGE")], definitions={"subgraphs": [made]})


def _values(editor: Editor) -> tuple[Any, ...]:
    host, (first, second) = editor.payload["nodes"][0], editor.payload["definitions"]["subgraphs"][0]["nodes"]
    return host["widgets_values"], first["widgets_values"][:2], second["widgets_values"][0]


@pytest.mark.parametrize("selector", ["10.side", "10:3.width", "10:4.width", "Subgraph 1.side"])
def test_one_value_is_set_in_all_its_places(selector: str) -> None:
    """At the subgraph's node, and in each widget inside that gets it."""
    editor = Editor(shown([40, 50]), DEFINITIONS)
    assert editor.get(selector) == 40

    editor.set(selector, 99)

    assert _values(editor) == ([99, 50], [99, 64], 99)
    assert editor.get(selector) == 99


@pytest.mark.parametrize("selector", ["10.tall", "10:3.height", "10.Height of the picture"])
def test_widgets_follow_the_order_of_the_inputs(selector: str) -> None:
    """The second value is that of the second input, which may be named by its label."""
    editor = Editor(shown([40, 50]), DEFINITIONS).set(selector, 99)

    assert _values(editor) == ([40, 99], [64, 99], 64)


@pytest.mark.parametrize("values", [[], None])
def test_without_values_at_the_node_those_inside_count(values: Any) -> None:
    """As older frontends saved it, and as nodes are that nobody has touched."""
    editor = Editor(shown(values), DEFINITIONS)
    assert editor.get("10.side") == 64

    editor.set("10.side", 99)

    assert _values(editor) == (values, [99, 64], 99)


def test_what_a_migrated_node_keeps_is_set_too() -> None:
    """The frontend reads the value that it keeps for an input before the one in the list."""
    kept = [
        {"originalEntry": entry, "reason": "missingSourceNode", "hostValue": value, "attemptedAtVersion": 1}
        for entry, value in ((["-1", "side"], 7), (["3", "gone"], 8))
    ]
    editor = Editor(shown([40, 50], proxyWidgetErrorQuarantine=kept), DEFINITIONS)
    assert editor.get("10.side") == 7

    editor.set("10.side", 99)

    properties = editor.payload["nodes"][0]["properties"]
    assert [each["hostValue"] for each in properties["proxyWidgetErrorQuarantine"]] == [99, 8]
    assert _values(editor) == ([99, 50], [99, 64], 99)


def test_names_beside_the_list_follow() -> None:
    """A newer frontend saves the values of a subgraph's node by name as well."""
    made = shown([40, 50])
    made["nodes"][0]["widgets_values_named"] = {"side": 40, "tall": 50}

    editor = Editor(made, DEFINITIONS).set("10.tall", 99)

    assert editor.payload["nodes"][0]["widgets_values_named"] == {"side": 40, "tall": 99}


def test_a_list_that_may_mean_something_else_is_refused() -> None:
    """Where listed widgets and inputs do not take the same places."""
    for listed in ([["3", "color"], ["-1", "side"]], [["3", "color"]]):
        editor = Editor(shown([40, 50], proxyWidgets=listed), DEFINITIONS)

        with pytest.raises(InputSelectorError, match="may have a value of its own"):
            editor.set("10.side", 99)
    assert Editor(shown([40, 50], proxyWidgets=[["-1", "side"], ["3", "height"]]), DEFINITIONS).get("10.tall") == 50


def test_a_primitive_outside_holds_the_value() -> None:
    """Its value reaches every widget inside; another node's does not, and is named."""
    primitive = node(20, "PrimitiveNode", (), ("INT",), (5, "fixed"))
    made = shown([40, 50], feeds=[primitive])
    made["nodes"][0]["inputs"] = [{"name": "side", "type": "INT", "widget": {"name": "side"}, "link": 9}]
    made["links"].append([9, 20, 0, 10, 0, "INT"])

    editor = Editor(made, DEFINITIONS).set("10:4.width", 99)

    assert editor.payload["nodes"][1]["widgets_values"] == [99, "fixed"]
    assert _values(editor) == ([40, 50], [64, 64], 64)

    made["nodes"][1] |= {"type": "PrimitiveInt"}
    with pytest.raises(InputSelectorError, match="is fed by output 0 of node #20") as caught:
        Editor(made, DEFINITIONS).set("10:3.width", 99)
    assert caught.value.candidates == ("#20.value",)


def test_each_use_of_a_subgraph_has_its_own_value() -> None:
    """Only where its node has one; else the widget inside would change for all of them."""
    made = shown([40, 50])
    made["nodes"].append({**made["nodes"][0], "id": 12, "widgets_values": []})

    editor = Editor(made, DEFINITIONS).set("10.side", 99)

    assert editor.payload["nodes"][0]["widgets_values"] == [99, 50]
    assert _values(editor)[1:] == ([64, 64], 64)
    with pytest.raises(InputSelectorError, match="used 2 times"):
        editor.set("12.side", 99)


def test_absent_values_are_set_behind_the_others() -> None:
    """What stands between gets its default, as in a node that was just made."""
    made = workflow([empty_image(1) | {"widgets_values": [1]}])
    editor = Editor(made, DEFINITIONS)
    assert editor.get("1.color") == 512

    editor.set("1.batch_size", 3)

    assert editor.payload["nodes"][0]["widgets_values"] == [1, 512, 3]
    assert editor.set("1.color", 9).payload["nodes"][0]["widgets_values"] == [1, 512, 3, 9]
