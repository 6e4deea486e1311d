"""Sets inputs of prompts and workflows by readable selectors."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.exceptions import InputSelectorError, PayloadError
from discomfort.workflow import Editor, parse_assignment


def _prompt() -> dict[str, Any]:
    return {
        "1": {"class_type": "Empty", "inputs": {"width": 8, "height": 8}, "_meta": {"title": "Start v1.5"}},
        "2": {
            "class_type": "Sampler",
            "inputs": {"image": ["1", 0], "seed": 1, "cfg": 2.0, "sampler": "euler", "text": "a", "flag": True},
            "_meta": {"title": "First"},
        },
        "3": {"class_type": "Sampler", "inputs": {"image": ["2", 0], "seed": ["4", 0], "text": "b"}},
        "4": {"class_type": "Number", "inputs": {"value": 7, "in.dot": 1}, "_meta": {"title": "3"}},
        "5": {"class_type": "Save", "inputs": {"images": ["3", 0], "filename_prefix": "p"}, "_meta": {"title": "#out"}},
    }


def _workflow() -> dict[str, Any]:
    seed_socket = {"name": "seed", "type": "INT", "widget": {"name": "seed"}}
    others = [{"name": "image", "type": "IMAGE", "link": 1}, {"name": "mask", "type": "MASK", "link": None}]
    values = [5, "fixed", 2.5, "euler", "x", True, "fast"]
    return {
        "nodes": [
            {"id": 1, "type": "Empty", "widgets_values": [8, 8], "inputs": []},
            {"id": 2, "type": "Sampler", "title": "Free", "widgets_values": [*values], "inputs": others},
            {
                "id": 3,
                "type": "Sampler",
                "title": "Fed",
                "widgets_values": [*values],
                "inputs": [
                    *others,
                    {**seed_socket, "link": 3},
                    {"name": "cfg", "widget": {"name": "cfg"}, "link": 4},
                    {"name": "text", "widget": {"name": "text"}, "link": 5},
                ],
            },
            {"id": 4, "type": "PrimitiveNode", "title": "Seed", "widgets_values": [99, "randomize"]},
            {"id": 5, "type": "Reroute", "inputs": [{"name": "", "link": 2}]},
            {"id": 6, "type": "Load", "widgets_values": ["a.png", "image"]},
            {"id": 7, "type": "Note", "widgets_values": ["hello"]},
            {"id": 8, "type": "sub", "widgets_values": [1]},
            {"id": 9, "type": "Custom", "widgets_values": {"frames": 3}},
            {"id": 10, "type": "Many", "widgets_values": [["a"]]},
        ],
        "links": [
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 77, 0, 5, 0, "INT"],
            [3, 4, 0, 3, 2, "INT"],
            [4, 1, 0, 3, 3, "FLOAT"],
            {"id": 5, "origin_id": 77, "origin_slot": 0},
        ],
        "definitions": {
            "subgraphs": [
                {
                    "id": "sub",
                    "name": "My group",
                    "nodes": [
                        {
                            "id": 3,
                            "type": "Empty",
                            "title": "Inner",
                            "widgets_values": [4, 4],
                            "inputs": [{"name": "height", "widget": {"name": "height"}, "link": 1}],
                        }
                    ],
                    "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0}],
                }
            ]
        },
    }


@pytest.mark.parametrize(
    ("selector", "node_id", "name", "value"),
    [
        ("1.width", "1", "width", 9),
        ("#1.width", "1", "width", 9),
        ("Empty.width", "1", "width", 9),
        ("%Empty.width", "1", "width", 9),
        ("empty.WIDTH", "1", "width", 9),
        ("%empty.width", "1", "width", 9),
        ("Start v1.5.width", "1", "width", 9),
        ("@Start v1.5.width", "1", "width", 9),
        ("@start V1.5.width", "1", "width", 9),
        ("First.seed", "2", "seed", 9),
        ("Sampler.cfg", "2", "cfg", 1),
        ("3.text", "3", "text", "z"),
        ("@3.value", "4", "value", 9),
        ("3.value", "4", "value", 9),
        ("Number.in.dot", "4", "in.dot", 9),
        ("#out.filename_prefix", "5", "filename_prefix", "z"),
        ("First.mode", "2", "mode", "slow"),
    ],
)
def test_selectors_find_the_input_of_a_prompt(selector: str, node_id: str, name: str, value: object) -> None:
    """By id, title and class, forced or not, with dots and in any case; the caller's prompt is unchanged."""
    prompt = _prompt()
    if name in {"cfg", "mode"}:
        prompt["2"]["inputs"].setdefault(name, "fast")

    editor = Editor(prompt).set(selector, value)

    assert editor.payload[node_id]["inputs"][name] == value
    assert editor.get(selector) == value
    assert prompt["1"] == _prompt()["1"]
    assert editor.payload["1" if node_id != "1" else "2"] == prompt["1" if node_id != "1" else "2"]


@pytest.mark.parametrize(
    ("selector", "problem", "candidates"),
    [
        ("Sampler.text", "2 nodes match", ["First.text", "#3.text"]),
        ("First.sede", "node #2 'First' (Sampler) has no input 'sede'", ["First.seed"]),
        ("#2.sede", "has no input 'sede'", ["#2.seed"]),
        ("Emty.width", "there is no node 'Emty'", ["Start v1.5.width"]),
        ("First", "names a node, but no input", ["First.image", "First.seed"]),
        ("Frist", "found no dot", ["First.image"]),
        ("", "found no dot", []),
        (".seed", "there is no node", []),
        ("First.", "", []),
    ],
)
def test_what_matches_nothing_or_too_much_lists_the_candidates(
    selector: str, problem: str, candidates: list[str]
) -> None:
    """The error says what is wrong and offers selectors that would be accepted."""
    with pytest.raises(InputSelectorError) as caught:
        Editor(_prompt()).set(selector, 1)

    assert problem in caught.value.problem
    assert [c for c in caught.value.candidates if c in candidates] == candidates
    assert caught.value.selector == selector


def _titled(*titles: str) -> dict[str, Any]:
    nodes: dict[str, Any] = {"99": {"class_type": "KSampler", "inputs": {"seed": 1}}}
    for number, title in enumerate(titles, 1):
        inputs = {"clip": ["99", 0], "text": ""}
        nodes[str(number)] = {"class_type": "CLIPTextEncode", "inputs": inputs, "_meta": {"title": title}}
    return nodes


@pytest.mark.parametrize(
    ("selector", "first"),
    [
        ("Postive.text", "Positive.text"),
        ("NEGATVE.text", "Negative.text"),
        ("Postive.txet", "Positive.text"),
        ("KSampeler.seed", "KSampler.seed"),
        ("#22.text", "#2.text"),
    ],
)
def test_the_nearest_title_comes_first(selector: str, first: str) -> None:
    """A misspelt title, class or id is answered with the one that is meant, under the name that its reader sees."""
    if selector.startswith("#"):
        editor = Editor(_titled("Same", "Same"))
    else:
        editor = Editor(_titled("Mood", "Negative", "Style", "Positive"))

    with pytest.raises(InputSelectorError) as caught:
        editor.set(selector, "x")

    assert caught.value.candidates[0] == first
    editor.set(first, 2)


def test_the_nearest_title_is_named_even_if_several_nodes_have_it() -> None:
    """Their ids alone would not show what was misspelt."""
    with pytest.raises(InputSelectorError, match="no node 'Postive'; 2 nodes have the title 'Positive'") as caught:
        Editor(_titled("Other", "Positive", "Positive")).set("Postive.text", "x")

    assert caught.value.candidates[:2] == ("#2.text", "#3.text")


def test_the_nearest_of_many_nodes_are_offered() -> None:
    """In a large graph only similar nodes are listed."""
    graph = _titled(*(f"Prompt {number}" for number in range(3)), *("xyz" * 5 for _ in range(40)))
    with pytest.raises(InputSelectorError) as caught:
        Editor(graph).set("Promt 2.text", "x")

    assert caught.value.candidates[0] == "Prompt 2.text"
    assert len(caught.value.candidates) == 3


def test_a_linked_input_of_a_prompt_names_what_feeds_it() -> None:
    """The feeding node and its own inputs are in the error."""
    with pytest.raises(InputSelectorError, match="is fed by output 0 of node #4 '3'") as caught:
        Editor(_prompt()).set("#3.seed", 5)

    assert "#4.value" in caught.value.candidates


def test_links_can_be_set_to_existing_nodes() -> None:
    """A pair of node id and slot rewires the input; a missing node is refused."""
    editor = Editor(_prompt()).set("#3.seed", ["2", 0])

    assert editor.payload["3"]["inputs"]["seed"] == ["2", 0]
    assert editor.get("#3.seed") == ["2", 0]
    with pytest.raises(InputSelectorError, match="does not exist"):
        editor.set("#3.seed", ["99", 0])


@pytest.mark.parametrize(
    ("selector", "value", "problem"),
    [
        ("First.seed", "5", "takes a whole number, given the string '5'"),
        ("First.seed", 5.5, "takes a whole number"),
        ("First.seed", True, "takes a whole number"),
        ("First.seed", -1, "from 0 to"),
        ("First.cfg", 10.5, "from 0.0 to 10.0"),
        ("First.cfg", float("nan"), "takes a number"),
        ("First.cfg", "x", "takes a number"),
        ("First.text", 5, "takes a string"),
        ("First.flag", 1, "takes true or false"),
        ("First.sampler", "eulr", "not among its 2 values"),
        ("First.mode", "x", "not among its 2 values"),
        ("First.mask", 1, "takes a link of type MASK"),
        ("First.text", Path("x"), "not a JSON type"),
        ("First.text", b"x", "not a JSON type"),
    ],
)
def test_values_are_checked_where_the_definition_is_known(
    selector: str, value: object, problem: str, definitions: dict[str, Any]
) -> None:
    """Type, range and list are checked; a refused value is neither converted nor set."""
    editor = Editor(_prompt(), definitions)
    before = copy.deepcopy(editor.payload)

    with pytest.raises(InputSelectorError) as caught:
        editor.set(selector, value)

    assert problem in caught.value.problem
    assert editor.payload == before


def test_allowed_values_come_with_the_nearest_first(definitions: dict[str, Any]) -> None:
    """A typo in a list value is easy to correct."""
    with pytest.raises(InputSelectorError) as caught:
        Editor(_prompt(), definitions).set("First.sampler", "hen")

    assert caught.value.candidates == ("heun", "euler")


def test_all_values_are_sorted_by_nearness() -> None:
    """Not only the best: of a long list the first few are those that may be meant, whatever their case."""
    names = ["ddim", "dpm_2", "uni_pc", "Euler", "heun", "euler_ancestral", "lms"]
    spec = {"input": {"required": {"sampler": [names, {}]}}}
    with pytest.raises(InputSelectorError) as caught:
        Editor(_prompt(), {"Sampler": spec}).set("First.sampler", "eulr")

    assert caught.value.candidates[:2] == ("Euler", "euler_ancestral")
    assert sorted(caught.value.candidates) == sorted(names)


def test_lists_are_wrapped_in_a_prompt() -> None:
    """The server would read a bare list as a link."""
    editor = Editor(_prompt()).set("4.value", ["a", "b", "c"])

    assert editor.payload["4"]["inputs"]["value"] == {"__value__": ["a", "b", "c"]}
    assert editor.get("4.value") == ["a", "b", "c"]


def test_declared_inputs_may_be_added_to_a_prompt(definitions: dict[str, Any]) -> None:
    """An optional input that the prompt omits can be set but not read."""
    editor = Editor(_prompt(), definitions)

    with pytest.raises(InputSelectorError, match="no value"):
        editor.get("First.mode")
    assert editor.set("First.mode", "slow").payload["2"]["inputs"]["mode"] == "slow"


def test_selectors_lead_back_to_their_inputs(definitions: dict[str, Any]) -> None:
    """Every offered selector resolves to one input; readable ones are used where unique."""
    for payload in (_prompt(), _workflow()):
        editor = Editor(payload, definitions)
        offered = editor.selectors()

        assert len(set(offered)) == len(offered)
        resolved = [editor._index.resolve(selector) for selector in offered]
        assert len(set(resolved)) == len(offered)
    assert "First.seed" in Editor(_prompt()).selectors()
    assert "#4.value" not in Editor(_prompt()).selectors()
    assert "Number.value" in Editor(_prompt()).selectors()


def test_the_copy_is_independent() -> None:
    """Neither the payload nor its values are shared with the caller."""
    value = {"__value__": [1, 2, 3]}
    editor = Editor(_prompt()).set("4.value", value)

    value["__value__"].append(4)
    editor.get("4.value").append(5)

    assert editor.payload["4"]["inputs"]["value"] == {"__value__": [1, 2, 3]}


@pytest.mark.parametrize("payload", [{}, {"a": 1}, {"1": {"class_type": "X", "inputs": {"a": b"x"}}}])
def test_what_cannot_be_edited_is_refused(payload: dict[str, Any]) -> None:
    """A payload that is neither a workflow nor a prompt, or not JSON, is refused."""
    with pytest.raises(PayloadError):
        Editor(payload)


def test_an_envelope_gives_the_prompt_inside() -> None:
    """The prompt inside the API body is edited."""
    editor = Editor({"prompt": _prompt(), "client_id": "x"}).set("1.width", 3)

    assert editor.kind == "prompt"
    assert editor.payload["1"]["inputs"]["width"] == 3
    assert repr(editor) == "<Editor of a prompt with 5 nodes>"


@pytest.mark.parametrize(
    ("selector", "value", "index", "position"),
    [
        ("Free.seed", 6, 1, 0),
        ("Free.cfg", 1.5, 1, 2),
        ("Free.text", "y", 1, 4),
        ("2.flag", False, 1, 5),
        ("Free.mode", "slow", 1, 6),
        ("Fed.seed", 6, 3, 0),
        ("Seed.value", 6, 3, 0),
        ("PrimitiveNode.value", 6, 3, 0),
        ("Load.image", "sub/other.png", 5, 0),
        ("Custom.frames", 4, 8, "frames"),
        ("Many.tags", ["a", "b"], 9, 0),
    ],
)
def test_widgets_of_a_workflow_are_set_in_place(
    selector: str, value: object, index: int, position: Any, definitions: dict[str, Any]
) -> None:
    """Plain widgets, uploads, values by name, and inputs that a primitive feeds."""
    workflow = _workflow()
    editor = Editor(workflow, definitions).set(selector, value)

    expected = _workflow()
    expected["nodes"][index]["widgets_values"][position] = value
    assert editor.payload == expected
    assert editor.get(selector) == value
    assert workflow == _workflow()


def test_a_node_in_a_subgraph_is_set_by_path(definitions: dict[str, Any]) -> None:
    """The path is the node's id in the prompt."""
    editor = Editor(_workflow(), definitions).set("8:3.width", 5)

    assert editor.payload["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"] == [5, 4]
    assert editor.set("Inner.width", 6).get("8:3.width") == 6


@pytest.mark.parametrize(
    ("selector", "problem", "candidates"),
    [
        ("Fed.cfg", "is fed by output 0 of node #1 'Empty'", ["#1.width", "#1.height"]),
        ("Fed.text", "has no source", []),
        ("Inner.height", "is fed by input 0 of its subgraph", []),
        ("Free.image", "is fed by output 0 of node #1", ["#1.width", "#1.height"]),
        ("Free.mask", "takes a link of type MASK, which is made in ComfyUI; or convert the workflow first", []),
        ("Free.seed.x", "has no input", []),
        ("hello.x", "there is no node", []),
    ],
)
def test_what_cannot_be_set_in_a_workflow_is_explained(
    selector: str, problem: str, candidates: list[str], definitions: dict[str, Any]
) -> None:
    """The error names the feeding node or, if a place cannot be proven, says to convert first."""
    with pytest.raises(InputSelectorError) as caught:
        Editor(_workflow(), definitions).set(selector, 1)

    assert problem in str(caught.value)
    assert [c for c in caught.value.candidates if c in candidates] == candidates


def test_containers_have_no_widgets_to_set(definitions: dict[str, Any]) -> None:
    """The errors for subgraph instances and group nodes point to the prompt."""
    workflow = _workflow()
    workflow["nodes"][7]["inputs"] = [{"name": "height", "widget": {"name": "height"}, "link": None}]
    workflow["nodes"].append({"id": 20, "type": "workflow>G", "inputs": [{"name": "a"}], "widgets_values": [1]})

    with pytest.raises(InputSelectorError, match="widgets of a subgraph"):
        Editor(workflow, definitions).set("My group.height", 1)
    with pytest.raises(InputSelectorError, match="widgets of a group"):
        Editor(workflow, definitions).set("20.a", 1)


def test_a_subgraph_used_twice_is_not_set_through_one_of_its_instances(definitions: dict[str, Any]) -> None:
    """The other instance would change too."""
    workflow = _workflow()
    workflow["nodes"].append({"id": 21, "type": "sub", "widgets_values": [1]})

    with pytest.raises(InputSelectorError, match="used 2 times"):
        Editor(workflow, definitions).set("8:3.width", 1)


def test_endless_reroutes_are_noticed(definitions: dict[str, Any]) -> None:
    """A reroute that feeds itself raises an error."""
    workflow = _workflow()
    workflow["links"][1:3] = [[2, 5, 0, 5, 0, "INT"], [3, 5, 0, 3, 2, "INT"]]

    with pytest.raises(InputSelectorError, match="does not end"):
        Editor(workflow, definitions).set("Fed.seed", 1)


@pytest.mark.parametrize(("selector", "problem"), [("Fed.seed", "is fed by a PrimitiveNode"), ("Seed.value", "feeds")])
def test_a_primitive_behind_a_reroute_is_not_set(selector: str, problem: str, definitions: dict[str, Any]) -> None:
    """The frontend leaves the widget its own value there, so the change would have no effect."""
    workflow = _workflow()
    workflow["links"][1:3] = [[2, 4, 0, 5, 0, "INT"], [3, 5, 0, 3, 2, "INT"]]

    with pytest.raises(InputSelectorError, match=f"{problem}.* through a reroute"):
        Editor(workflow, definitions).set(selector, 6)


def test_display_names_count_as_titles(definitions: dict[str, Any]) -> None:
    """A node without a saved title has the name that the UI shows."""
    workflow = _workflow()
    del workflow["nodes"][1]["title"]

    assert Editor(workflow, definitions).set("The Sampler.seed", 8).get("2.seed") == 8


def test_a_workflow_without_definitions_declines_what_it_cannot_prove() -> None:
    """The error names the remedy."""
    with pytest.raises(InputSelectorError, match=r"has no input 'cfg' that is known without .* convert first"):
        Editor(_workflow()).set("Free.cfg", 1)
    with pytest.raises(InputSelectorError, match="convert the workflow first"):
        Editor(_workflow()).set("Free.mask", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KSampler.seed=42", ("KSampler.seed", 42)),
        ("A.b=true", ("A.b", True)),
        ("A.b=a=b", ("A.b", "a=b")),
        ('A.b="42"', ("A.b", "42")),
        ("A.b=", ("A.b", "")),
        ("A.b= two words ", ("A.b", " two words ")),
        ("A.b=NaN", ("A.b", "NaN")),
        ("A.b=[1, 2]", ("A.b", [1, 2])),
        ("A=B.c=x", ("A=B.c", "x")),
        ("v1.5 x.c=99999999999999999999999", ("v1.5 x.c", 99999999999999999999999)),
        ("A.b=" + "[" * 100_000, ("A.b", "[" * 100_000)),
    ],
)
def test_assignments_are_split(text: str, expected: tuple[str, object]) -> None:
    """The value is JSON if it parses, else the text as it stands."""
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["", "x", "=1", "A=1", "A.=1", ".b"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    """The error shows the expected form."""
    with pytest.raises(InputSelectorError, match=r"expected NODE\.INPUT=VALUE"):
        parse_assignment(text)


@given(st.text(max_size=12))
@settings(deadline=None, derandomize=True)
def test_any_selector_resolves_or_raises_its_error(selector: str) -> None:
    """Any text resolves or raises InputSelectorError."""
    editor = Editor(_prompt())
    try:
        found: Any = editor.get(selector)
    except InputSelectorError:
        found = None

    assert found is None or selector


def test_every_offered_selector_of_the_saved_workflows_works(
    shared_data: Path, real_definitions: dict[str, Any]
) -> None:
    """Each offered input of saved workflows and prompts can be read; setting the value back changes nothing."""
    for kind in ("workflows", "prompts"):
        for path in sorted((shared_data / "conversion" / kind).glob("*.json"))[::6]:
            payload = json.loads(path.read_text("utf-8"))
            if any(node.get("class_type", "") is None for node in payload.values() if isinstance(node, dict)):
                continue
            editor = Editor(payload)
            for selector in editor.selectors():
                editor.set(selector, editor.get(selector))
            assert editor.payload == payload
            assert Editor(payload, real_definitions).selectors()
