"""Inputs that depend on values, and widgets that a subgraph's node shows: found, set, or refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from browser.made_workflows import node
from browser.newer_workflows import HOST, boxes_and_colours, named_values, nested, picture_host

from discomfort.connector.set_values import with_sets
from discomfort.exceptions import InputSelectorError
from discomfort.workflow import Editor
from discomfort.workflow.widgets import locate

MODE = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "size", "inputs": {"required": {"width": ["INT", {"min": 1, "max": 64}], "crop": [["no", "yes"]]}}},
            {"key": "factor", "inputs": {"required": {"factor": ["FLOAT", {"min": 0.1, "max": 8.0}]}}},
            {"key": "match", "inputs": {"required": {"like": ["IMAGE", {}]}}},
            {"key": "twice", "inputs": {"required": {"factor": ["FLOAT", {"min": 0.1, "max": 8.0}]}}},
        ]
    },
]
GROWING = ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image"}}]
MATCHING = ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}]
SIZE = {name: ["INT", {"min": 0, "max": 512}] for name in ("width", "height", "batch_size", "color")}
DEFINITIONS: dict[str, Any] = {
    "Resize": {
        "input": {"required": {"input": MATCHING, "mode": MODE, "images": GROWING, "method": [["area", "cubic"]]}}
    },
    "EmptyImage": {"input": {"required": SIZE}},
    "ImageCropV2": {"input": {"required": {"image": ["IMAGE", {}], "crop_region": ["BOUNDING_BOX", {}]}}},
    "ColorToRGBInt": {"input": {"required": {"color": ["COLOR", {}]}}},
}


def _resize(*values: Any, **more: Any) -> dict[str, Any]:
    return {"nodes": [{"id": 1, "type": "Resize", "widgets_values": list(values)} | more], "links": []}


@pytest.mark.parametrize(
    ("values", "positions"),
    [
        (("size", 8, "no", "area"), {"mode": 0, "mode.width": 1, "mode.crop": 2, "method": 3}),
        (("factor", 0.5, "area"), {"mode": 0, "mode.factor": 1, "method": 2}),
        (("gone", 0.5, "area"), {"mode": 0}),
    ],
)
def test_a_dynamic_combo_decides_what_follows(values: tuple[Any, ...], positions: dict[str, int]) -> None:
    """Its value brings so many widgets; after an unknown value nothing is certain."""
    assert locate(_resize(*values)["nodes"][0], DEFINITIONS["Resize"]).positions == positions


def test_what_a_dynamic_combo_brings_is_set_and_checked() -> None:
    """By the name with a dot, within its own limits."""
    editor = Editor(_resize("size", 8, "no", "area"), DEFINITIONS).set("Resize.mode.width", 9).set("1.method", "cubic")

    assert editor.payload["nodes"][0]["widgets_values"] == ["size", 9, "no", "cubic"]
    with pytest.raises(InputSelectorError, match="from 1 to 64"):
        editor.set("Resize.mode.width", 65)


def test_another_value_of_a_dynamic_combo_brings_its_widgets() -> None:
    """With their defaults, in place of those of the former value; a value that brings none it has is refused."""
    workflow = _resize(
        "size", 8, "no", "area", widgets_values_named={"mode": "size", "mode.width": 8, "method": "area"}
    )
    editor = Editor(workflow, DEFINITIONS).set("Resize.mode", "factor")

    assert editor.payload["nodes"][0]["widgets_values"] == ["factor", 0, "area"]
    assert editor.payload["nodes"][0]["widgets_values_named"] == {"mode": "factor", "mode.factor": 0, "method": "area"}
    assert editor.set("Resize.mode.factor", 0.5).set("Resize.mode", "factor").get("Resize.mode.factor") == 0.5
    assert editor.set("Resize.mode", "twice").get("Resize.mode.factor") == 0
    with pytest.raises(InputSelectorError, match="has no input 'mode.width'"):
        editor.set("Resize.mode.width", 8)
    with pytest.raises(InputSelectorError, match="not among its 4 values"):
        editor.set("Resize.mode", "sise")
    with pytest.raises(InputSelectorError, match=r"brings 'mode\.like', which must be linked; convert the workflow"):
        editor.set("Resize.mode", "match")


def test_values_are_set_in_the_order_in_which_they_depend_on_each_other() -> None:
    """In whatever order they are given, by whatever names."""
    values = {"#1.mode.width": 9, "Resize.method": "cubic", "Resize.mode": "size", "1.mode.crop": "yes"}
    editor = Editor(_resize("factor", 0.5, "area"), DEFINITIONS)

    assert list(editor.in_order(values)) == ["Resize.method", "Resize.mode", "#1.mode.width", "1.mode.crop"]
    assert editor.set_all(values).payload["nodes"][0]["widgets_values"] == ["size", 9, "yes", "cubic"]


def test_what_a_value_brings_is_known_where_the_value_is_not() -> None:
    """A node that another version of its pack has saved: its widgets are uncertain, and are set on the prompt."""
    editor = Editor(_resize("size", 8, "no", "area", 1, 2, 3), DEFINITIONS)
    for name in ("mode.width", "mode.factor"):
        with pytest.raises(InputSelectorError, match="7 saved widget values, its class has 4 widgets; convert"):
            editor.set(f"Resize.{name}", 2)
    editor.set_all({"Resize.mode.factor": 2.0, "Resize.mode": "twice"}, defer=True)

    assert [(one.name, one.deferred) for one in editor.sets] == [("mode", True), ("mode.factor", True)]


def test_links_of_a_former_value_are_cut_everywhere() -> None:
    """In the table, at the other end, in native reroutes; links behind it end at the slots that their inputs have."""
    inputs = [
        {"name": "input", "type": "IMAGE", "link": 1},
        {"name": "mode.width", "type": "INT", "widget": {"name": "mode.width"}, "link": 2},
        {"name": "images.image0", "type": "IMAGE", "link": 3},
    ]
    workflow = _resize("size", 8, "no", "area", inputs=inputs)
    workflow["nodes"].append({"id": 2, "type": "Source", "outputs": [{"links": [1, 3]}, {"links": [2]}]})
    workflow["links"] = [[1, 2, 0, 1, 0, "IMAGE"], [2, 2, 1, 1, 1, "INT"], [3, 2, 0, 1, 2, "IMAGE"]]
    workflow["extra"] = {"reroutes": [{"id": 1, "linkIds": [2, 3]}], "linkExtensions": [{"id": 2, "parentId": 1}]}

    made = Editor(workflow, DEFINITIONS).set("Resize.mode", "factor").payload

    assert [entry["name"] for entry in made["nodes"][0]["inputs"]] == ["input", "images.image0"]
    assert made["links"] == [[1, 2, 0, 1, 0, "IMAGE"], [3, 2, 0, 1, 1, "IMAGE"]]
    assert [slot["links"] for slot in made["nodes"][1]["outputs"]] == [[1, 3], []]
    assert made["extra"] == {"reroutes": [{"id": 1, "linkIds": [3]}], "linkExtensions": []}


async def test_a_link_that_the_frontend_drops_is_kept() -> None:
    """If the prompt of the edited workflow lacks a link that stays, the value is set on that of the workflow before."""
    row = ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": ["IMAGE", {}]}}, "prefix": "i", "min": 0}}]
    options = [{"key": key, "inputs": {"required": {"row": row}}} for key in ("a", "b")]
    known = {"Rows": {"input": {"required": {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}}}, "Source": {}}
    inputs = [{"name": "mode.row.i0", "type": "IMAGE", "link": 1}]
    nodes = [{"id": 1, "type": "Rows", "widgets_values": ["a"], "inputs": inputs}, {"id": 2, "type": "Source"}]
    workflow = {"nodes": nodes, "links": [[1, 2, 0, 1, 0, "IMAGE"]]}

    async def convert(given: dict[str, Any]) -> dict[str, Any]:
        key = given["nodes"][0]["widgets_values"][0]
        link = {"mode.row.i0": ["2", 0]} if key == "a" else {}
        rows = {"class_type": "Rows", "inputs": {"mode": key, **link}}
        return {"1": rows, "2": {"class_type": "Source", "inputs": {}}}

    async def definitions() -> dict[str, Any]:
        return known

    edited: Any = Editor(workflow, known).set("Rows.mode", "b").payload
    made = await with_sets(edited, convert, definitions)

    assert made["1"]["inputs"] == {"mode": "b", "mode.row.i0": ["2", 0]}


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("Resize.images.image0", "takes a link of type IMAGE, which is made in ComfyUI; or convert the workflow first"),
        ("Resize.images.image1", "takes a link of type IMAGE, which is made in ComfyUI; or convert the workflow first"),
        ("Resize.images.image2", "grows by one at a time: the next is 'images.image1'"),
        ("Resize.images", "grows by one at a time: the next is 'images.image1'"),
    ],
)
def test_a_row_of_inputs_takes_links(selector: str, problem: str) -> None:
    """A workflow's links are made in ComfyUI; the error says what could be set on the prompt, and what comes next."""
    inputs = [{"name": "images.image0", "type": "IMAGE", "link": None}]
    with pytest.raises(InputSelectorError, match="has no input|takes a link") as caught:
        Editor(_resize("factor", 0.5, "area", inputs=inputs), DEFINITIONS).set(selector, ["2", 0])

    assert problem in caught.value.problem


def test_a_row_of_inputs_grows_in_a_prompt_one_by_one() -> None:
    """Up to its most; null does not take a link away, and the error says what does."""
    limited = ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": ["IMAGE"]}}, "names": ["a", "b"]}}]
    known = {"Row": {"input": {"required": {"row": limited}}}}
    prompt = {"1": {"class_type": "Row", "inputs": {}}, "2": {"class_type": "Source", "inputs": {}}}
    editor = Editor(prompt, known)
    with pytest.raises(InputSelectorError, match="the next is 'row.a'"):
        editor.set("Row.row.b", ["2", 0])
    editor.set("Row.row.a", ["2", 0]).set("Row.row.b", ["2", 0])

    assert editor.payload["1"]["inputs"] == {"row.a": ["2", 0], "row.b": ["2", 0]}
    with pytest.raises(InputSelectorError, match="all that it may have are used"):
        editor.set("Row.row.c", ["2", 0])
    with pytest.raises(InputSelectorError, match="null takes no link away: delete the input from the payload"):
        editor.set("Row.row.b", None)


def test_a_prompt_takes_any_value_of_a_dynamic_combo_and_then_what_it_brings() -> None:
    """In a prompt every input has its name, so nothing can shift; growing inputs take links."""
    prompt = {"1": {"class_type": "Resize", "inputs": {"mode": "size", "mode.width": 8, "images.image0": ["2", 0]}}}
    prompt["2"] = {"class_type": "EmptyImage", "inputs": {}}
    editor = Editor(prompt, DEFINITIONS).set("Resize.mode", "factor").set("Resize.mode.factor", 0.5)

    editor.set("Resize.images.image1", ["2", 0])

    inputs = editor.payload["1"]["inputs"]
    assert (inputs["mode"], inputs["mode.factor"], inputs["images.image1"]) == ("factor", 0.5, ["2", 0])
    for selector, value, problem in (
        ("Resize.mode.factor", 9.5, "from 0.1 to 8"),
        ("Resize.mode", "none", "not among"),
        ("Resize.images.image1", 3, "fed by"),
        ("Resize.images.image2", 3, "takes a link of type IMAGE"),
        ("Resize.images", ["2", 0], "has no input"),
        ("Resize.mode.width.x", 1, "has no input"),
    ):
        with pytest.raises(InputSelectorError, match=problem):
            editor.set(selector, value)


def test_a_wrapped_value_keeps_its_type_in_a_prompt() -> None:
    """Newer frontends send a curve as an object that names its type."""
    curve = {"__type__": "CURVE", "__value__": {"points": []}}
    editor = Editor({"1": {"class_type": "Curve", "inputs": {"curve": curve}}}).set("1.curve", {"points": [1]})

    assert editor.payload["1"]["inputs"]["curve"] == {"__type__": "CURVE", "__value__": {"points": [1]}}
    assert editor.get("1.curve") == {"points": [1]}


def test_a_box_is_set_with_its_numbers() -> None:
    """Workflows have them once more behind the box; a colour is one value."""
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    editor = Editor(boxes_and_colours(), DEFINITIONS).set("ImageCropV2.crop_region", box)
    editor.set("ColorToRGBInt.color", "#ffffff")

    values = {node["type"]: node.get("widgets_values") for node in editor.payload["nodes"]}
    assert values["ImageCropV2"] == [box, 1, 2, 3, 4]
    assert values["ColorToRGBInt"] == ["#ffffff"]
    with pytest.raises(InputSelectorError, match="x, y, width and height"):
        editor.set("ImageCropV2.crop_region", {"x": 1})


def test_a_promoted_box_leaves_the_values_behind_it() -> None:
    """A subgraph's node has one value for each promoted widget; only the node inside has the box's numbers too."""
    box, old = {"x": 1, "y": 2, "width": 3, "height": 4}, {"x": 0, "y": 0, "width": 9, "height": 9}
    workflow = picture_host([old, 55], [["4", "crop_region"], ["3", "width"]])
    crop = node(4, "ImageCropV2", (("image", "IMAGE"),), ("IMAGE",), (old, *old.values()))
    workflow["definitions"]["subgraphs"][0]["nodes"].append(crop)

    editor = Editor(workflow, DEFINITIONS).set("10.crop_region", box)

    assert editor.payload["nodes"][0]["widgets_values"] == [box, 55]
    assert editor.payload["definitions"]["subgraphs"][0]["nodes"][1]["widgets_values"] == [box, 1, 2, 3, 4]


def test_values_by_name_follow_the_list() -> None:
    """Both are saved; the list is what counts."""
    editor = Editor(named_values(), DEFINITIONS).set("1.width", 7)

    assert editor.payload["nodes"][0]["widgets_values"][0] == 7
    assert editor.payload["nodes"][0]["widgets_values_named"]["width"] == 7


@pytest.mark.parametrize("selector", ["10.width", "10:3.width", "Subgraph 1.width"])
def test_a_promoted_widget_is_set_where_every_frontend_looks(selector: str) -> None:
    """The subgraph's node has a value of its own, the node inside has the one for older frontends."""
    editor = Editor(picture_host([55], [["3", "width"]]), DEFINITIONS)
    assert editor.get(selector) == 55

    editor.set(selector, 99)

    assert editor.payload["nodes"][0]["widgets_values"] == [99]
    assert editor.payload["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"][0] == 99
    assert editor.get(selector) == 99


def test_without_a_value_of_its_own_the_one_inside_counts() -> None:
    """Most workflows have none at the subgraph's node."""
    editor = Editor(picture_host([], [["3", "width"], ["3", "height"]]), DEFINITIONS).set("10.height", 70)

    assert editor.payload["nodes"][0]["widgets_values"] == []
    assert editor.get("10:3.height") == 70


def test_values_that_cannot_be_told_apart_are_refused() -> None:
    """A promoted widget that is gone may or may not take a place; others inside are certain."""
    editor = Editor(picture_host([55, 1], [["9", "gone"], ["3", "width"]]), DEFINITIONS)

    for selector in ("10:3.width", "10.width"):
        with pytest.raises(InputSelectorError, match="may have a value of its own"):
            editor.set(selector, 99)
    assert editor.set("10:3.height", 70).get("10:3.height") == 70


@pytest.mark.parametrize("selector", ["10:5:3.width", "10:5.width", "10.width"])
def test_an_input_of_a_subgraph_is_set_inside_and_at_its_node(selector: str) -> None:
    """Under each of its names; the node's own value counts, the one inside where that is absent."""
    editor = Editor(nested(), DEFINITIONS)
    assert editor.get(selector) == 96

    editor.set(selector, 99).set("10:5.height", 70)

    deep, outer = editor.payload["definitions"]["subgraphs"]
    assert deep["nodes"][0]["widgets_values"][:2] == [99, 70]
    assert outer["nodes"][0]["widgets_values"] == [99]
    assert editor.get("10:5:3.height") == 70


def test_editing_changes_nothing_else() -> None:
    """Also where the workflow opens as an app, or has two subgraphs."""
    workflow = picture_host([55], [["3", "width"]])
    workflow["extra"] = {"linearMode": True, "linearData": {"inputs": [[10, "width"]], "outputs": [11]}}
    expected = copy.deepcopy(workflow)
    expected["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"][1] = 70

    assert Editor(workflow, DEFINITIONS).set("10:3.height", 70).payload == expected
    assert workflow["nodes"][0]["type"] == HOST
