"""Paths of titles and ids that lead to nodes inside of subgraphs: in workflows, in prompts, in sidecars."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.exceptions import InputSelectorError
from discomfort.workflow import Editor
from discomfort.workflow.interface.sources import interface_of
from discomfort.workflow.prompt_index import prompt_index

Json = dict[str, Any]

DEFINITIONS: Json = {
    "Text": {"input": {"required": {"text": ["STRING", {}], "count": ["INT", {"default": 1}]}}, "output": ["STRING"]}
}


def text(node_id: int, title: str | None = None) -> Json:
    """A node with a text and a number."""
    return {"id": node_id, "type": "Text", "widgets_values": ["t", 1], **({"title": title} if title else {})}


def host(node_id: int, kind: str, title: str | None = None) -> Json:
    """The node of a subgraph."""
    return {"id": node_id, "type": kind, "widgets_values": [], **({"title": title} if title else {})}


def subgraph(kind: str, name: str, *nodes: Json) -> Json:
    """The definition of a subgraph."""
    return {"id": kind, "name": name, "nodes": list(nodes), "links": []}


def workflow() -> Json:
    """Two hosts, each with a host inside, whose nodes have equal titles."""
    deep_one = subgraph("d1", "Deep", text(7, "Words"))
    deep_two = subgraph("d2", "Deep", text(7, "Words"), text(8, "v1.5: a/b"))
    first = subgraph("s1", "Half", host(3, "d1"), text(4, "Prompt"), text(5, "Twin"), text(6, "Twin"))
    second = subgraph("s2", "Half", host(3, "d2", "Inside"), text(4, "Prompt"))
    nodes = [host(10, "s1", "First"), host(12, "s2", "Second"), text(20, "First/Twice"), text(21, "12")]
    return {"nodes": nodes, "links": [], "definitions": {"subgraphs": [deep_one, deep_two, first, second]}}


def prompt() -> Json:
    """What the frontend makes of it."""
    titles = {
        "10:3:7": "Words", "10:4": "Prompt", "10:5": "Twin", "10:6": "Twin", "12:3:7": "Words",
        "12:3:8": "v1.5: a/b", "12:4": "Prompt", "20": "First/Twice", "21": "12",
    }  # fmt: skip
    return {
        key: {"class_type": "Text", "inputs": {"text": "t", "count": 1}, "_meta": {"title": title}}
        for key, title in titles.items()
    }


PATHS = {
    "First/Prompt.text": "10:4",
    "Second/Prompt.text": "12:4",
    "12/Prompt.text": "12:4",
    "12/4.text": "12:4",
    "#12/@Prompt.text": "12:4",
    "first/PROMPT.TEXT": "10:4",
    "First/Deep/Words.text": "10:3:7",
    "First/%Deep/Words.text": "10:3:7",
    "10/3/Words.text": "10:3:7",
    "10:3/Words.text": "10:3:7",
    "Second/Inside/7.text": "12:3:7",
    "Inside/Words.text": "12:3:7",
    "Second/Inside/v1.5: a/b.text": "12:3:8",
    "v1.5: a/b.text": "12:3:8",
    "First/Twice.text": "20",
    "@12.text": "21",
    "12:4.text": "12:4",
}


@pytest.mark.parametrize("selector", PATHS)
def test_a_path_leads_to_the_node_inside(selector: str) -> None:
    """By titles, classes and ids, mixed, through several levels, with any character in a title."""
    node_id, own = PATHS[selector], workflow()
    assert Editor(own, DEFINITIONS).find(selector) == (node_id, "text")
    assert Editor(prompt(), DEFINITIONS, workflow=own).find(selector) == (node_id, "text")
    assert prompt_index(prompt(), DEFINITIONS, own).resolve(selector) == (node_id, "text")


def test_a_value_is_set_at_the_end_of_a_path() -> None:
    """In the subgraph's definition."""
    editor = Editor(workflow(), DEFINITIONS).set("Second/Inside/Words.text", "x")

    assert editor.payload["definitions"]["subgraphs"][1]["nodes"][0]["widgets_values"] == ["x", 1]
    assert editor.get("12:3:7.text") == "x"


@pytest.mark.parametrize(
    ("selector", "problem", "candidates"),
    [
        ("Prompt.text", "2 nodes match", ["First/Prompt.text", "Second/Prompt.text"]),
        ("Half/Prompt.text", "2 nodes match", ["First/Prompt.text", "Second/Prompt.text"]),
        ("First/Twin.text", "2 nodes match", ["#10:5.text", "#10:6.text"]),
        ("Deep/Words.text", "2 nodes match", ["First/Deep/Words.text", "Second/Inside/Words.text"]),
        ("First/Promt.text", "node #10 'First' (Half) has no node 'Promt' inside", ["First/Prompt.text"]),
        ("Second/Inside/Wrods.text", "node #12:3 'Inside' (Deep) has no node 'Wrods'", ["Second/Inside/Words.text"]),
        ("Frist/Prompt.text", "there is no node 'Frist/Prompt'", ["First/Prompt.text", "Second/Prompt.text"]),
        ("First/Prompt.txet", "node #10:4 'Prompt' (Text) has no input 'txet'", ["First/Prompt.text"]),
        ("First/Prompt", "names a node, but no input of it", ["First/Prompt.text"]),
        ("First/.text", "has no node '' inside", []),
        ("/Prompt.text", "there is no node '/Prompt'", []),
        ("First/Twice/Prompt.text", "has no node 'Twice/Prompt'", []),
    ],
)
def test_what_leads_nowhere_or_to_several_lists_the_candidates(
    selector: str, problem: str, candidates: list[str]
) -> None:
    """The error names the step that fails, and selectors that are accepted."""
    editor = Editor(workflow(), DEFINITIONS)
    with pytest.raises(InputSelectorError) as caught:
        editor.set(selector, "x")

    assert problem in caught.value.problem
    assert [each for each in caught.value.candidates if each in candidates] == candidates
    for candidate in caught.value.candidates:
        assert editor.find(candidate)


def test_two_readings_of_a_path_are_ambiguous() -> None:
    """A title with a slash inside of a subgraph, and the same text as two steps: neither is guessed."""
    own = workflow()
    half = own["definitions"]["subgraphs"][2]
    half["nodes"][0]["title"] = "Deep"
    half["nodes"].append(text(9, "Deep/Words"))
    with pytest.raises(InputSelectorError, match="2 nodes match") as caught:
        Editor(own, DEFINITIONS).set("First/Deep/Words.text", "x")

    assert set(caught.value.candidates) == {"Deep/Words.text", "#10:3:7.text"}


def test_ids_of_a_path_hold_where_titles_are_unknown() -> None:
    """A prompt alone does not have the titles of its subgraphs; the error says how to name them."""
    editor = Editor(prompt(), DEFINITIONS)
    assert editor.find("12/Prompt.text") == ("12:4", "text")
    assert editor.find("12/3/Words.text") == ("12:3:7", "text")
    with pytest.raises(InputSelectorError, match="does not have the titles of subgraphs") as caught:
        editor.find("Second/Prompt.text")
    assert {"#10:4.text", "#12:4.text"} <= set(caught.value.candidates)


def test_titles_belong_to_the_ids_of_the_prompt() -> None:
    """Newer frontends renumber inner nodes; the path of titles leads to the new id."""
    renumbered = {key.replace("12:3:", "12:33:"): node for key, node in prompt().items()}
    editor = Editor(renumbered, DEFINITIONS, workflow=workflow())

    assert editor.find("Second/Inside/Words.text") == ("12:33:7", "text")


def test_offered_selectors_are_readable_and_lead_back() -> None:
    """A path where title and class are shared, an id where the path is, too."""
    editor = Editor(workflow(), DEFINITIONS)
    offered = [selector for selector in editor.selectors() if selector.endswith(".text")]

    assert offered == [
        "First/Deep/Words.text", "First/Prompt.text", "#10:5.text", "#10:6.text", "Second/Inside/Words.text",
        "v1.5: a/b.text", "Second/Prompt.text", "First/Twice.text", "#21.text",
    ]  # fmt: skip
    assert [editor.find(selector)[0] for selector in offered] == list(prompt())


def test_targets_and_outputs_of_a_sidecar_are_paths() -> None:
    """As they are for the editor; a wrong step is a problem that names what is there."""
    known = {"Text": DEFINITIONS["Text"] | {"output_node": True}}
    sidecar = {
        "inputs": {"words": "First/Deep/Words.text", "near": "First/Promt.text", "many": "Half/Prompt.text"},
        "outputs": {"made": "Second/Prompt", "gone": "Second/Words"},
    }
    found = interface_of(prompt(), known, workflow=workflow(), sidecar=sidecar)

    assert [str(target) for target in found.inputs["words"].targets] == ["10:3:7.text"]
    assert found.outputs["made"].node_id == "12:4"
    told = "\n".join(str(problem) for problem in found.problems)
    assert "has no node 'Promt' inside; did you mean 'First/Prompt.text'?" in told
    assert "'Half/Prompt.text': 2 nodes match; did you mean 'First/Prompt.text' or 'Second/Prompt.text'?" in told
    assert "there is no node 'Second/Words'" in told


@given(st.text(alphabet="First/Deep.Words#@%:127", max_size=24))
@settings(deadline=None, derandomize=True)
def test_any_path_resolves_or_raises_its_error(selector: str) -> None:
    """What resolves is named by a selector that resolves to the same."""
    editor = Editor(workflow(), DEFINITIONS)
    try:
        found = editor.find(selector)
    except InputSelectorError:
        return
    assert found in [editor.find(each) for each in editor.selectors()]
