"""Prompts that a server accepts but does not survive are refused; all others pass unchanged."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.exceptions import (
    MissingNodesError,
    PayloadError,
    UnsafePromptError,
    ValidationError,
)
from discomfort.server_features import server_features
from discomfort.workflow import check_prompt
from discomfort.workflow.extra_data import check_extra_data
from discomfort.workflow.nodes import title_of

Prompt = dict[str, Any]


def _prompt() -> Prompt:
    return {
        "1": {"class_type": "Empty", "inputs": {"width": 8, "height": 2**70}, "_meta": {"title": "Start"}},
        "2": {"class_type": "Sampler", "inputs": {"image": ["1", 0], "text": "x", "mode": "fast"}},
        "3": {"class_type": "Save", "inputs": {"images": ["2", 0], "filename_prefix": "p"}},
    }


def test_a_good_prompt_comes_back_as_the_same_object(definitions: dict[str, Any]) -> None:
    """A prompt that needs no change is not copied, with and without definitions."""
    prompt = _prompt()

    assert check_prompt(prompt, definitions) is prompt
    assert check_prompt(prompt) is prompt


def test_change_tokens_are_removed_from_a_copy(definitions: dict[str, Any]) -> None:
    """``is_changed`` is removed, the caller's object is kept, and unchanged nodes are shared."""
    prompt = _prompt()
    prompt["1"]["is_changed"] = [0.5]
    before = copy.deepcopy(prompt)

    checked = check_prompt(prompt, definitions)

    assert prompt == before
    assert "is_changed" not in checked["1"]
    assert checked["1"]["_meta"] == {"title": "Start"}
    assert checked["2"] is prompt["2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["99", 0], "node '99', which is not in the prompt"),
        (("99", 0), "node '99', which is not in the prompt"),
        ({"__value__": ["99", 0]}, "node '99', which is not in the prompt"),
        ({"__value__": {"__value__": ["99", 0]}}, "node '99', which is not in the prompt"),
        (["1", -1], "slot -1"),
        (["1", 0.0], "slot 0.0"),
        (["1", True], "slot True"),
        ({"__value__": ["1", -1]}, "slot -1"),
        ([1, 0], "by number"),
    ],
)
@pytest.mark.parametrize("name", ["image", "unknown"])
def test_links_to_nowhere_are_refused_in_any_input(name: str, value: object, text: str) -> None:
    """Declared or not, wrapped or not: a link must name an existing node by its string id, and a slot from 0."""
    prompt = _prompt()
    prompt["2"]["inputs"][name] = value

    with pytest.raises(UnsafePromptError) as caught:
        check_prompt(prompt)

    assert text in str(caught.value)
    assert [(p.node_id, p.input_name) for p in caught.value.problems] == [("2", name)]


@pytest.mark.parametrize(
    "value",
    [
        [512, 512],
        {"__value__": [1, 0]},
        {"__value__": [512, 512]},
        ["a", "b"],
        ["1", 0, 0],
        [["99", 0]],
        {"a": ["99", 0]},
    ],
)
def test_values_that_only_resemble_links_pass(value: object) -> None:
    """A server follows only pairs of string and number."""
    prompt = _prompt()
    prompt["2"]["inputs"]["unknown"] = value

    assert check_prompt(prompt) is prompt


def test_a_pair_of_numbers_in_a_declared_input_is_refused(definitions: dict[str, Any]) -> None:
    """A declared input takes every list for a link, so the error explains that ids are strings."""
    prompt = _prompt()
    prompt["2"]["inputs"]["image"] = [77, 0]

    with pytest.raises(UnsafePromptError, match="by number"):
        check_prompt(prompt, definitions)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"class_type": "Empty"}, "inputs is null"),
        ({"class_type": "Empty", "inputs": None}, "inputs is null"),
        ({"class_type": "Empty", "inputs": []}, "inputs is an empty list"),
        ({"class_type": None, "inputs": {}}, "class_type is null, not a string (the frontend"),
        ({"inputs": {}}, "class_type is null"),
        ("text", "is the string 'text'"),
    ],
)
def test_malformed_nodes_are_refused_all_at_once(node: object, text: str, definitions: dict[str, Any]) -> None:
    """Nodes without class or inputs are all named, before any other problem, even if no output depends on them."""
    prompt = _prompt() | {"8": node, "9": {"class_type": "Empty", "inputs": 3}, "10": {"class_type": "?", "inputs": {}}}

    with pytest.raises(UnsafePromptError) as caught:
        check_prompt(prompt, definitions)

    assert [problem.node_id for problem in caught.value.problems] == ["8", "9"]
    assert text in str(caught.value)


def test_a_cycle_is_listed() -> None:
    """The error lists the cycle in the direction of the data, back to its start."""
    prompt = _prompt()
    prompt["1"]["inputs"]["hidden"] = ["2", 0]

    with pytest.raises(UnsafePromptError) as caught:
        check_prompt(prompt)

    assert "1 → 2 → 1" in str(caught.value)


def test_a_node_that_feeds_itself_is_a_cycle() -> None:
    """Even a wrapped link to the node itself counts as a cycle."""
    prompt = _prompt()
    prompt["1"]["inputs"]["hidden"] = {"__value__": ["1", 0]}

    with pytest.raises(UnsafePromptError, match="1 → 1"):
        check_prompt(prompt)


def test_a_long_cycle_is_shortened_in_the_error() -> None:
    """A cycle of 300 nodes is abbreviated."""
    prompt = {str(i): {"class_type": "X", "inputs": {"a": [str((i + 1) % 300), 0]}} for i in range(300)}

    with pytest.raises(UnsafePromptError, match="…") as caught:
        check_prompt(prompt)

    assert len(str(caught.value)) < 400


def _chain(links: int) -> Prompt:
    prompt: Prompt = {str(i): {"class_type": "X", "inputs": {"a": [str(i - 1), 0]}} for i in range(1, links + 1)}
    prompt["0"] = {"class_type": "X", "inputs": {}}
    return prompt


def test_chains_are_bounded() -> None:
    """900 links in a row pass; 901 and 50,000 are refused, without recursion."""
    assert check_prompt(_chain(900))
    for links in (901, 50_000):
        with pytest.raises(UnsafePromptError, match=f"{links} links in a row"):
            check_prompt(_chain(links))


def test_missing_classes_are_all_listed(definitions: dict[str, Any]) -> None:
    """Every unknown class is listed with its nodes, before links are checked."""
    prompt = _prompt() | {
        "7": {"class_type": "Gone", "inputs": {"a": ["99", 0]}},
        "8": {"class_type": "Lost", "inputs": {}},
        "9": {"class_type": "Gone", "inputs": {}},
    }

    with pytest.raises(MissingNodesError) as caught:
        check_prompt(prompt, definitions)

    assert [(m.class_type, m.node_ids) for m in caught.value.missing] == [("Gone", ("7", "9")), ("Lost", ("8",))]


def test_a_prompt_needs_an_output_node(definitions: dict[str, Any]) -> None:
    """Without one the error says so; without definitions this is not checked."""
    prompt = {"1": _prompt()["1"]}

    with pytest.raises(PayloadError, match="no output node"):
        check_prompt(prompt, definitions)
    assert check_prompt(prompt) is prompt


def test_values_outside_their_list_are_refused(definitions: dict[str, Any]) -> None:
    """The newer dialect of combos is checked here, because older servers do not."""
    prompt = _prompt()
    prompt["2"]["inputs"]["mode"] = "zzz"

    with pytest.raises(ValidationError) as caught:
        check_prompt(prompt, definitions)

    (problem,) = caught.value.problems
    assert (problem.node_id, problem.input_name, problem.received) == ("2", "mode", "zzz")
    assert problem.allowed == ("fast", "slow")


@pytest.mark.parametrize(("version", "checked"), [("0.3.64", True), ("0.7.9", True), ("0.8.0", False), ("?", False)])
def test_newer_servers_check_their_lists_themselves(version: str, checked: bool, definitions: dict[str, Any]) -> None:
    """They know which nodes take what is not listed."""
    prompt = _prompt()
    prompt["2"]["inputs"]["mode"] = "zzz"
    features = server_features({"system": {"comfyui_version": version}}, None)

    if checked:
        with pytest.raises(ValidationError):
            check_prompt(prompt, definitions, features=features)
    else:
        assert check_prompt(prompt, definitions, features=features) is prompt


@pytest.mark.parametrize("version", ["0.3.64", "0.33.0"])
@pytest.mark.parametrize(
    "value",
    [{"__value__": ["99", 0]}, {"__type__": "CURVE", "__value__": ["99", 0]}, {"__value__": {"__value__": ["99", 0]}}],
)
def test_wrapped_links_are_refused_for_every_type(version: str, value: Any, definitions: dict[str, Any]) -> None:
    """Also in an input that takes everything, where a newer server still dies of them."""
    definitions = {**definitions, "Any": {"input": {"required": {"value": ["*", {}]}}, "output_node": True}}
    features = server_features({"system": {"comfyui_version": version}}, None)

    with pytest.raises(UnsafePromptError, match="'99'"):
        check_prompt({"1": {"class_type": "Any", "inputs": {"value": value}}}, definitions, features=features)


DYNAMIC = {
    "Dynamic": {
        "input": {
            "required": {
                "images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"v": ["IMAGE", {}]}}, "min": 1}}],
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {"options": [{"key": "one", "inputs": {"required": {"n": ["COMBO", {"options": ["a"]}]}}}]},
                ],
                "same": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}],
                "number": ["INT,FLOAT", {"min": 0}],
                "tags": ["COMBO", {"options": ["a", "b"], "multi_select": {}}],
                "color": ["COLOR", {}],
                "box": ["BOUNDING_BOX", {}],
                "curve": ["CURVE", {}],
                "later": ["SOMETHING_NEW_V9", {"options": ["x"]}],
            }
        },
        "output_node": True,
    }
}


@pytest.mark.parametrize("version", ["0.3.64", "0.7.0", "0.33.0"])
def test_dynamic_inputs_and_unknown_types_are_left_to_the_server(version: str) -> None:
    """Keys with dots, groups without their key, values that are objects: the server knows them, and nobody else."""
    inputs: Prompt = {
        "images.image0": ["1", 0],
        "images.image7": ["1", 0],
        "mode": "not offered",
        "mode.n": "zzz",
        "mode.sub.f": 1.5,
        "same": ["1", 0],
        "number": -1,
        "tags": {"__value__": ["a", "b"]},
        "tags.more": "z",
        "color": "#336699",
        "box": {"x": 0, "y": 0, "width": 8, "height": 8},
        "curve": {"__type__": "CURVE", "__value__": {"points": [[0, 0], [1, 1]], "interpolation": "linear"}},
        "later": "y",
        "not declared": 5,
    }
    prompt = {"1": {"class_type": "Empty", "inputs": {}}, "2": {"class_type": "Dynamic", "inputs": inputs}}
    features = server_features({"system": {"comfyui_version": version}}, None)

    assert check_prompt(prompt, {**DYNAMIC, "Empty": {}}, features=features) is prompt


@pytest.mark.parametrize("name", ["images.image0", "mode.sub.f"])
def test_links_of_dynamic_inputs_must_lead_somewhere(name: str) -> None:
    """A server dies of them as of any others."""
    prompt = {"2": {"class_type": "Dynamic", "inputs": {name: ["99", 0]}}}

    with pytest.raises(UnsafePromptError, match="'99'"):
        check_prompt(prompt, DYNAMIC)


REPLACEMENTS: Prompt = {
    "OldSave": [
        {
            "new_node_id": "Save",
            "old_node_id": "OldSave",
            "input_mapping": [
                {"new_id": "images", "old_id": "pictures"},
                {"new_id": "filename_prefix", "set_value": "p"},
            ],
        },
        {"new_node_id": "Other"},
    ],
    "OldEmpty": [{"new_node_id": "Empty", "input_mapping": None}],
    "Elsewhere": [{"new_node_id": "NotInstalled"}],
    "Strange": 3,
    "Stranger": [{"new_node_id": 5}],
}


def _replaced(**more: Any) -> Prompt:
    return {
        "1": {"class_type": "OldEmpty", "inputs": {}, "_meta": {"title": "Mine"}},
        "2": {"class_type": "OldSave", "inputs": {"pictures": ["1", 0]}, **more},
    }


@pytest.mark.parametrize("more", [{}, {"_meta": None}, {"_meta": "x"}])
def test_replaced_classes_pass_with_a_title(more: Prompt, definitions: dict[str, Any]) -> None:
    """The server fails on such a node without one; what its replacement is decides whether it is an output."""
    prompt = _replaced(**more)
    before = copy.deepcopy(prompt)

    checked = check_prompt(prompt, definitions, replacements=REPLACEMENTS)

    assert prompt == before
    assert checked["2"] == {"class_type": "OldSave", "inputs": {"pictures": ["1", 0]}, "_meta": {"title": "OldSave"}}
    assert checked["1"] is prompt["1"]


def test_replaced_node_without_an_input_that_is_handed_on(definitions: dict[str, Any]) -> None:
    """The server would answer 500."""
    prompt = _replaced()
    del prompt["2"]["inputs"]["pictures"]

    with pytest.raises(ValidationError, match="replaces this node by Save") as caught:
        check_prompt(prompt, definitions, replacements=REPLACEMENTS)

    (problem,) = caught.value.problems
    assert (problem.node_id, problem.class_type, problem.input_name) == ("2", "OldSave", "pictures")


@pytest.mark.parametrize("kind", ["Elsewhere", "Strange", "Stranger", "Unknown"])
def test_classes_without_a_usable_replacement_are_missing(kind: str, definitions: dict[str, Any]) -> None:
    """Those alone are named."""
    prompt = _replaced() | {"3": {"class_type": kind, "inputs": {}}}

    with pytest.raises(MissingNodesError) as caught:
        check_prompt(prompt, definitions, replacements=REPLACEMENTS)

    assert [each.class_type for each in caught.value.missing] == [kind]
    with pytest.raises(MissingNodesError, match="OldSave"):
        check_prompt(prompt, definitions)


@pytest.mark.parametrize(
    ("extra", "sent"),
    [
        (None, {}),
        ({}, {}),
        ({"client_id": ["x"], "a": 1}, {"a": 1}),
        ({"extra_pnginfo": None, "a": 1}, {"a": 1}),
        ({"extra_pnginfo": {"workflow": None, "b": 2}}, {"extra_pnginfo": {"b": 2}}),
        ({"extra_pnginfo": {"workflow": {"id": "x"}}}, {"extra_pnginfo": {"workflow": {"id": "x"}}}),
        ({"preview_method": "none"}, {"preview_method": "none"}),
    ],
)
def test_extra_data_that_is_sent(extra: Any, sent: Any) -> None:
    """What would end the server, or its list of jobs, is left out; the caller's object is kept."""
    before = copy.deepcopy(extra)

    assert check_extra_data(extra) == sent
    assert extra == before


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ([], "extra_data must"),
        ("x", "extra_data must"),
        (5, "extra_data must"),
        ({"extra_pnginfo": []}, r"extra_data\['extra_pnginfo'\] must"),
        ({"extra_pnginfo": {"workflow": "text"}}, r"\['workflow'\] must"),
    ],
)
def test_extra_data_that_is_refused(extra: Any, place: str) -> None:
    """The list of jobs would fail for everybody; the error names the place."""
    with pytest.raises(PayloadError, match=place):
        check_extra_data(extra)


@pytest.mark.parametrize(
    "node",
    [
        {"class_type": "Many", "inputs": {"tags": "z"}},
        {"class_type": "Remote", "inputs": {"name": "z"}},
        {"class_type": "Video", "inputs": {"file": "sub/b.mp4"}},
        {"class_type": "Sampler", "inputs": {"sampler": "the server checks this one"}},
        {"class_type": "Sampler", "inputs": {"mode": ["1", 0]}},
        {"class_type": "Sampler", "inputs": {"mode": {"__value__": ["a", "b"]}}},
    ],
)
def test_lists_that_do_not_bind_are_left_to_the_server(node: Prompt, definitions: dict[str, Any]) -> None:
    """Multiple selection, remote lists, uploads, the older dialect and links are not checked."""
    prompt = _prompt() | {"9": node}

    assert check_prompt(prompt, definitions) is prompt


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: b"x", "bytes is not a JSON type"),
        (lambda: Path("x"), f"{type(Path()).__name__} is not a JSON type"),
        (lambda: {1: 2}, "the key '1' is of type int, not a string"),
        (lambda: [{"a": {1, 2}}], "set is not a JSON type"),
        (_loop, "nested deeper than 200 levels"),
        (_deep, "nested deeper than 200 levels"),
    ],
)
def test_what_json_cannot_hold_is_named(make: Callable[[], object], text: str) -> None:
    """The error names node and input, even for values that contain themselves or are very deep."""
    prompt = _prompt()
    prompt["2"]["inputs"]["odd"] = make()

    with pytest.raises(PayloadError) as caught:
        check_prompt(prompt)

    assert str(caught.value) == f"node 2 input 'odd': {text}"


def test_keys_that_are_not_strings_are_refused() -> None:
    """Node ids and input names must be strings, and metadata must be JSON too."""
    with pytest.raises(PayloadError, match="node id 1 is of type int"):
        check_prompt({1: {"class_type": "X", "inputs": {}}})  # type: ignore[dict-item]
    with pytest.raises(PayloadError, match="node 1"):
        check_prompt({"1": {"class_type": "X", "inputs": {2: 3}}})
    with pytest.raises(PayloadError, match="_meta"):
        check_prompt({"1": {"class_type": "X", "inputs": {}, "_meta": {"title": b"x"}}})
    with pytest.raises(PayloadError, match="an empty object"):
        check_prompt({})


def test_damaged_definitions_are_no_obstacle() -> None:
    """Malformed definitions are ignored."""
    prompt = _prompt()

    broken: dict[str, Any] = {
        "Empty": None,
        "Sampler": {"input": [1]},
        "Save": {"output_node": True, "input": {"required": 3}},
    }
    assert check_prompt(prompt, broken) is prompt


ids = st.sampled_from(["1", "2", "3"])
links = st.tuples(ids | st.text(max_size=2) | st.integers(), st.integers(-1, 2) | st.floats()).map(list)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | links,
    lambda inner: st.lists(inner, max_size=3) | st.fixed_dictionaries({"__value__": inner}),
    max_leaves=6,
)
nodes = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["A", "B"]), "inputs": st.dictionaries(st.text(max_size=2), values, max_size=3)},
    optional={"is_changed": values, "_meta": st.none() | st.fixed_dictionaries({"title": st.text(max_size=3)})},
)


def _follow(value: Any) -> Any:
    while isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    return value


@given(st.dictionaries(ids, nodes, min_size=1, max_size=3))
@settings(deadline=None, derandomize=True)
def test_what_passes_is_safe(prompt: Prompt) -> None:
    """No accepted prompt has a link to nowhere, a cycle or a change token, and the check modifies none."""
    before = json.dumps(prompt)
    try:
        checked = check_prompt(prompt)
    except PayloadError:
        checked = None

    assert json.dumps(prompt) == before
    for node_id in checked or {}:
        assert "is_changed" not in checked[node_id]
        seen, todo = set(), [node_id]
        while todo:
            for value in checked[todo.pop()]["inputs"].values():
                link = _follow(value)
                if (
                    isinstance(link, list)
                    and len(link) == 2
                    and isinstance(link[0], str)
                    and isinstance(link[1], int | float)
                ):
                    assert link[0] in checked
                    assert link[0] != node_id
                    if link[0] not in seen:
                        seen.add(link[0])
                        todo.append(link[0])


def test_the_saved_prompts_pass(shared_data: Path, real_definitions: dict[str, Any]) -> None:
    """Of 73 prompts from the real frontend, only one with unknown nodes and one with shifted values fail."""
    failed = {}
    for path in sorted((shared_data / "conversion" / "prompts").glob("*.json")):
        try:
            check_prompt(json.loads(path.read_text("utf-8")), real_definitions)
        except (PayloadError, ValidationError) as error:
            failed[path.stem] = type(error)

    assert failed == {"api_rodin_gen2": ValidationError, "video_wan2_2_14B_animate": UnsafePromptError}


@pytest.mark.parametrize(
    ("meta", "title"),
    [({"title": "Start"}, "Start"), ({"title": ""}, None), ({"title": 5}, None), ({}, None), ("x", None), (None, None)],
)
def test_title(meta: object, title: str | None) -> None:
    """A node's title is a non-empty string or None."""
    assert title_of({"class_type": "X", "_meta": meta}) == title
    assert title_of({"class_type": "X"}) is None
