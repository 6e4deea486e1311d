"""Validation: ComfyUI's errors, texts and fields."""
# ruff: noqa: E501 - a table of prompts reads best a line each

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

N = Any


def errors(answer: Any, node_id: str) -> list[tuple[str, str]]:
    """Type and details of a node's errors."""
    return [(error["type"], error["details"]) for error in answer["node_errors"][node_id]["errors"]]


async def test_no_prompt(emulator: N) -> None:
    """A body without a prompt has its own error."""
    status, body = await emulator.post("/prompt", json={})

    assert status == 400
    assert json.loads(body) == {
        "error": {
            "type": "no_prompt",
            "message": "No prompt provided",
            "details": "No prompt provided",
            "extra_info": {},
        },
        "node_errors": {},
    }


@pytest.mark.parametrize(
    ("graph", "kind", "message", "details"),
    [
        ({}, "prompt_no_outputs", "Prompt has no outputs", ""),
    ],
)
async def test_errors_of_the_whole_prompt(emulator: N, graph: Any, kind: str, message: str, details: str) -> None:
    """A prompt that is wrong as a whole is refused with one error and no node errors."""
    status, answer = await emulator.submit(graph)

    assert status == 400
    assert answer == {
        "error": {"type": kind, "message": message, "details": details, "extra_info": {}},
        "node_errors": {},
    }


@pytest.mark.parametrize(
    ("node", "named", "title", "words"),
    [
        ({"class_type": "Nope", "inputs": {}}, "Nope", "Nope", "not found. The custom node may not be installed."),
        ({"class_type": "Nope", "_meta": {"title": "T"}}, "T", "T", "not found. The custom node may not be installed."),
        ({"inputs": {}}, "ID #1", None, "has no class_type. The workflow may be corrupted or a custom node is missing."),
        ({"_meta": {"title": "T"}}, "T", "T", "has no class_type. The workflow may be corrupted or a custom node is missing."),
    ],
)  # fmt: skip
async def test_a_class_that_is_not_there(emulator: N, node: Any, named: str, title: Any, words: str) -> None:
    """The error names the node by its title, its class, or its id, and has its parts."""
    status, answer = await emulator.submit({"1": node})

    extra = {"node_id": "1", "class_type": node.get("class_type"), "node_title": title}
    error = {"type": "missing_node_type", "message": f"Node '{named}' {words}", "details": "Node ID '#1'"}
    assert (status, answer) == (400, {"error": {**error, "extra_info": extra}, "node_errors": {}})


async def test_a_cycle_is_an_error_of_each_of_its_nodes(emulator: N, make: N) -> None:
    """Nodes of a cycle have one error each, with the way round; what hangs on them has none."""
    graph = {
        "1": make("ImageInvert", image=["2", 0]),
        "2": make("ImageInvert", image=["1", 0]),
        "3": make("PreviewImage", images=["1", 0]),
    }

    status, answer = await emulator.submit(graph)

    way = "1 (ImageInvert) -> 2 (ImageInvert) -> 1 (ImageInvert)"
    assert status == 400
    assert answer["error"]["details"] == ""
    assert set(answer["node_errors"]) == {"1", "2"}
    for node_id, told in answer["node_errors"].items():
        extra = {"node_id": node_id, "cycle_nodes": ["1", "2"]}
        assert told == {
            "errors": [
                {
                    "type": "dependency_cycle",
                    "message": "Dependency cycle detected",
                    "details": way,
                    "extra_info": extra,
                }
            ],
            "dependent_outputs": ["3"],
            "class_type": "ImageInvert",
        }


@pytest.mark.parametrize(
    "prompt_id", ["", "abc", "the same", 5, [], "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]
)  # fmt: skip
async def test_ids_are_canonical_uuids(emulator: N, make: N, prompt_id: Any) -> None:
    """Any other id is refused, although the counter has gone on."""
    graph = {"1": make("PreviewAny", source="x")}

    status, answer = await emulator.submit(graph, prompt_id=prompt_id)
    _, after = await emulator.submit(graph)

    assert (status, answer["error"]["type"], after["number"]) == (400, "invalid_prompt_id", 1)


@pytest.mark.parametrize("prompt_id", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
async def test_ids_of_any_version_are_taken(emulator: N, make: N, prompt_id: str) -> None:
    """A canonical UUID is echoed, whatever its version; ``null`` means none."""
    graph = {"1": make("PreviewAny", source="x")}

    _, answer = await emulator.submit(graph, prompt_id=prompt_id)
    _, made = await emulator.submit(graph, prompt_id=None)

    assert answer["prompt_id"] == prompt_id
    assert str(uuid.UUID(made["prompt_id"])) == made["prompt_id"]


async def test_range_error_has_every_field(emulator: N, make: N) -> None:
    """A value out of range is reported as ComfyUI reports it."""
    graph = {
        "1": make("EmptyImage", width=0, height=8, batch_size=1, color=0),
        "2": make("PreviewImage", images=["1", 0]),
    }

    status, answer = await emulator.submit(graph)

    assert status == 400
    assert answer["error"]["details"] == ""
    assert answer["node_errors"] == {
        "1": {
            "class_type": "EmptyImage",
            "dependent_outputs": ["2"],
            "errors": [
                {
                    "type": "value_smaller_than_min",
                    "message": "Value 0 smaller than min of 1",
                    "details": "width",
                    "extra_info": {
                        "input_name": "width",
                        "input_config": ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}],
                        "received_value": 0,
                    },
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1}}, ("required_input_missing", "color")),
        (
            {"class_type": "EmptyImage", "inputs": {"width": "abc", "height": 8, "batch_size": 1, "color": 0}},
            ("invalid_input_type", "width, abc, invalid literal for int() with base 10: 'abc'"),
        ),
        (
            {"class_type": "EmptyImage", "inputs": {"width": 99999, "height": 8, "batch_size": 1, "color": 0}},
            ("value_bigger_than_max", "width"),
        ),
        (
            {"class_type": "EmptyImage", "inputs": {"width": [1, 2, 3], "height": 8, "batch_size": 1, "color": 0}},
            ("bad_linked_input", "width"),
        ),
        ({"class_type": "LoadImage", "inputs": {"image": "no.png"}}, ("custom_validation_failed", "image - Invalid image file: no.png")),
        (
            {"class_type": "ImageScale", "inputs": {"image": ["9", 0], "upscale_method": "foo", "width": 1, "height": 1, "crop": "center"}},
            ("value_not_in_list", "upscale_method: 'foo' not in ['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']"),
        ),
        ({"class_type": "ImageInvert", "inputs": {"image": ["99", 0]}}, ("exception_during_inner_validation", "'99'")),
        ({"class_type": "ImageInvert", "inputs": {"image": ["9", 7]}}, ("exception_during_inner_validation", "tuple index out of range")),
        ({"class_type": "ImageInvert"}, ("exception_during_inner_validation", "'inputs'")),
    ],
)  # fmt: skip
async def test_node_errors(emulator: N, make: N, make_image: N, node: Any, expected: tuple[str, str]) -> None:
    """Each kind of mistake in a node has ComfyUI's type and details."""
    graph = {"1": node, "9": make_image(), "3": make("PreviewImage", images=["1", 0])}

    status, answer = await emulator.submit(graph)

    assert status == 400
    assert errors(answer, "1") == [expected]
    assert answer["node_errors"]["1"]["dependent_outputs"] == ["3"]


async def test_wrong_type_of_link(emulator: N, make: N) -> None:
    """A mask where an image belongs is a mismatch on the receiving node."""
    graph = {
        "1": make("SolidMask", value=1.0, width=4, height=4),
        "2": make("PreviewImage", images=["1", 0]),
    }

    _, answer = await emulator.submit(graph)

    details = "images, received_type(MASK) mismatch input_type(IMAGE)"
    assert errors(answer, "2") == [("return_type_mismatch", details)]
    assert answer["error"]["details"] == f"Return type mismatch between linked nodes: {details}"
    extra = answer["node_errors"]["2"]["errors"][0]["extra_info"]
    assert (extra["received_type"], extra["linked_node"]) == ("MASK", ["1", 0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, ("custom_validation_failed", "value")),
        (3, ("custom_validation_failed", "value - not 3")),
        (13, ("exception_during_inner_validation", "unlucky")),
    ],
)
async def test_validator_of_a_class(emulator: N, make: N, value: int, expected: tuple[str, str]) -> None:
    """A class's own validator may refuse with or without a reason, or raise."""
    graph = {"1": make("Picky", value=value), "2": make("PreviewAny", source=["1", 0])}

    _, answer = await emulator.submit(graph)

    assert errors(answer, "1") == [expected]


async def test_slot_errors_tell_the_newer_schema(emulator: N, make: N) -> None:
    """A slot out of range reads differently for classes of the newer schema, as in ComfyUI."""
    graph = {"1": make("StringLength", string="x"), "2": make("PreviewAny", source=["1", 3])}

    _, answer = await emulator.submit(graph)

    assert errors(answer, "2") == [("exception_during_validation", "list index out of range")]


async def test_good_output_runs_beside_a_bad_one(emulator: N, make: N, make_image: N) -> None:
    """One valid output is enough for 200; ``node_errors`` lists the dropped ones."""
    graph = {
        "1": make_image(),
        "2": make("PreviewImage", images=["1", 0]),
        "3": make("PreviewImage", images=5, other=["77", 0]),
        "4": make("PreviewImage"),
    }

    status, answer = await emulator.submit(graph)

    assert status == 200
    assert errors(answer, "4") == [("required_input_missing", "images")]


async def test_constants_are_coerced_in_place(emulator: N, make: N) -> None:
    """Constants are converted to the input's type; the history shows the converted ones."""
    graph = {
        "1": make("EmptyImage", width="12", height=12.9, batch_size=True, color=0),
        "2": make("PrimitiveBoolean", value="false"),
        "3": make("PrimitiveString", value=None),
        "4": make("PreviewAny", source=["2", 0]),
        "5": make("PreviewAny", source=["3", 0]),
        "6": make("PreviewImage", images=["1", 0]),
    }

    _, record = await emulator.run(graph)

    prompt = record["prompt"][2]
    assert prompt["1"]["inputs"] == {"width": 12, "height": 12, "batch_size": 1, "color": 0}
    assert prompt["2"]["inputs"]["value"] is True
    assert prompt["3"]["inputs"]["value"] == "None"


@pytest.mark.parametrize(
    ("options", "value", "details"),
    [
        ({"options": ["a", "b"]}, None, "x: None not in ['a', 'b']"),
        ({"options": [1, 2]}, 3, "x: 3 not in [1, 2]"),
        ({"options": ["a", "b"], "multiselect": True}, ["a", "c", "d"], "x: 'c', 'd' not in ['a', 'b']"),
        ({"options": [str(n) for n in range(21)]}, "z", "x: 'z' not in (list of length 21)"),
    ],
)
async def test_combos_are_checked(launch: N, options: Any, value: Any, details: str) -> None:
    """Choices of the newer kind are checked as the older are, those of several one by one."""

    class Choose:
        RETURN_TYPES = ()
        FUNCTION = "go"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> Any:  # noqa: N802 - ComfyUI's name
            return {"required": {"x": ("COMBO", options)}}

        def go(self, x: Any) -> Any:
            return ()

    async with launch(extra_nodes={"Choose": Choose}) as client:
        given = {"__value__": value} if isinstance(value, list) else value
        _, answer = await client.submit({"1": {"class_type": "Choose", "inputs": {"x": given}}})

    assert errors(answer, "1") == [("value_not_in_list", details)]


async def test_deep_chains_are_no_problem(emulator: N, make: N) -> None:
    """A chain deeper than Python's stack validates and runs."""
    depth = 1500
    graph: dict[str, Any] = {"0": make("Count", value=0)}
    for index in range(1, depth):
        graph[str(index)] = make("Add", a=[str(index - 1), 0], b=1)
    graph["out"] = make("PreviewAny", source=[str(depth - 1), 0])

    _, answer = await emulator.submit(graph)
    history: Any = {}
    async with await emulator.socket() as socket:
        while not (history := await emulator.get(f"/history/{answer['prompt_id']}")):
            await socket.receive(timeout=20)

    assert history[answer["prompt_id"]]["outputs"]["out"] == {"text": [str(depth - 1)]}


@pytest.mark.parametrize(
    "prompt",
    [None, 5, "abc", [], {"1": 5}, {"1": "x"}, {"1": []}, {"1": {"class_type": "PreviewAny", "inputs": None}}],
)
async def test_what_is_no_prompt_at_all_is_500(emulator: N, prompt: Any) -> None:
    """ComfyUI answers 500 to a prompt that is not an object of nodes."""
    status, _ = await emulator.post("/prompt", json={"prompt": prompt})

    assert status == 500


@pytest.mark.parametrize(
    "fields", [{"client_id": ["a"]}, {"client_id": {}}, {"extra_data": 5}, {"extra_data": {"client_id": []}}]
)
async def test_ids_of_the_wrong_type_are_refused(emulator: N, make: N, fields: Any) -> None:
    """Ids that would end a ComfyUI process are refused, and the server continues."""
    status, answer = await emulator.submit({"1": make("PreviewAny", source="x")}, **fields)

    assert status == 400
    assert answer["error"]["type"] == "invalid_prompt"


async def test_null_extra_data_is_accepted(emulator: N, make: N) -> None:
    """``"extra_data": null`` stops ComfyUI's worker; here it means none."""
    _, record = await emulator.run({"1": make("PreviewAny", source="x")}, extra_data=None)

    assert record["status"]["status_str"] == "success"
