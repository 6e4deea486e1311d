"""Details of execution found by the comparison with ComfyUI."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from PIL import Image

from comfyui_emulator.execution.calls import Returns
from comfyui_emulator.execution.validation import types_match
from comfyui_emulator.http.hub import preview_payloads
from comfyui_emulator.registry import NodeType

N = Any


class _Once:
    RETURN_TYPES = ("INT", "INT")
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"value": ("INT", {})}}

    def go(self, value: int) -> tuple[int]:
        return (value,)


@pytest.mark.parametrize("value", [None, 5])
def test_what_is_no_sequence_is_no_result(value: Any) -> None:
    """A node that returns nothing, or a number, fails with Python's own error, as in ComfyUI."""
    with pytest.raises(TypeError, match="has no len"):
        Returns().add(value, NodeType("Once", _Once))


async def test_a_missing_output_fails_its_node(launch: N, make: N) -> None:
    """A node fails that does not return a declared output to which another links (before 0.30: ``None``)."""
    graph = {"1": make("Once", value=1), "2": make("PreviewAny", source=["1", 1])}

    async with launch(extra_nodes={"Once": _Once}) as client:
        _, record = await client.run(graph)

    error = record["status"]["messages"][-1][1]
    told = (error["node_id"], error["exception_type"], error["exception_message"])
    assert told == ("1", "IndexError", "list index out of range\n")


@pytest.mark.parametrize("values", [(1, True), (0.0, False), (2, 2.0)])
async def test_equal_constants_are_one_to_the_cache(emulator: N, make: N, values: N) -> None:
    """Constants that are equal in Python share a cache key, whatever their type."""
    records = [(await emulator.run({"1": make("PreviewAny", source={"x": value})}))[1] for value in values]

    assert records[0]["outputs"] == records[1]["outputs"]


async def test_children_of_a_failed_expansion_stay_cached(emulator: N, nodes: N, make: N) -> None:
    """A repeated expansion does not call again its children that succeeded, and the error lists its nodes."""
    graph = {"1": make("Expand", value=1, fail=True), "2": make("PreviewAny", source=["1", 0])}

    records = [(await emulator.run(graph))[1] for _ in range(2)]

    errors = [record["status"]["messages"][-1][1] for record in records]
    assert nodes["Count"].calls == 1
    assert [len(error["current_outputs"]) for error in errors] == [2, 4]


def test_types_match_as_their_classes_say() -> None:
    """Comma lists match if they share a type, a star and a match type match all, a list of choices a combo."""

    class Anything(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __ne__(self, other: object) -> bool:
            return False

    assert types_match("INT", Anything("other"))
    assert types_match("INT,FLOAT", "FLOAT,STRING")
    assert types_match("INT", "*")
    assert types_match(["a"], "*")
    assert types_match("IMAGE,*", "INT")
    assert types_match("COMFY_MATCHTYPE_V3", "INT")
    assert types_match(["a"], "COMBO")
    assert not types_match("COMBO", ["a"])
    assert not types_match(["a"], "INT")


def test_small_previews_are_enlarged() -> None:
    """A preview fills the requested size."""
    legacy, _ = preview_payloads(Image.new("RGB", (8, 4)), "PNG", 64, {})

    assert struct.unpack(">I", legacy[:4]) == (2,)
    assert struct.unpack(">II", legacy[4 + 16 : 4 + 24]) == (64, 32)
