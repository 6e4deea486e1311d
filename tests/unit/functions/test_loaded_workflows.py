"""Loaded workflows: converted once, again only for other node definitions, and never twice at a time."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from discomfort.exceptions import ConversionError, PayloadError
from discomfort.functions.bound_call import bound
from discomfort.functions.loading import load_function
from discomfort.functions.prompt_filling import filled_prompt

SHOW: dict[str, Any] = {
    "Show": {
        "input": {"required": {"value": ["INT", {"default": 0, "min": 0, "max": 9}]}},
        "output": [],
        "output_node": True,
    }
}
PROMPT: dict[str, Any] = {"1": {"class_type": "Show", "inputs": {"value": 3}}}
WORKFLOW: dict[str, Any] = {
    "nodes": [{"id": 1, "type": "Show", "widgets_values": [3], "inputs": [], "outputs": [], "mode": 0}],
    "links": [],
    "version": 0.4,
}
NAMES = {"inputs": {"value": "1.value"}}


class Host:
    """A connector without a server, as far as loading needs one."""

    server_address = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.definitions = copy.deepcopy(SHOW)
        self.conversions = 0
        self.may_convert = asyncio.Event()
        self.may_convert.set()
        self.error: Exception | None = None

    async def node_definitions(self, *, fresh: bool = False) -> dict[str, Any]:
        return self.definitions

    async def get_prompt_from_workflow(self, workflow: Any) -> dict[str, Any]:
        self.conversions += 1
        await self.may_convert.wait()
        if self.error is not None:
            raise self.error
        return copy.deepcopy(PROMPT)


async def test_converted_again_for_other_nodes() -> None:
    """Equal definitions of a new connection change nothing; others make another interface."""
    host: Any = Host()
    show = await load_function(host, WORKFLOW, interface=NAMES, name=None)
    assert show.interface.inputs["value"].maximum == 9
    assert show.problems(value=10)
    host.definitions = copy.deepcopy(SHOW)
    await show._loaded.prepared()
    assert host.conversions == 1
    host.definitions["Show"]["input"]["required"]["value"][1]["max"] = 99
    host.definitions = copy.deepcopy(host.definitions)
    host.may_convert.clear()
    waiting = [asyncio.create_task(show._loaded.prepared()) for _ in range(3)]
    await asyncio.sleep(0)
    host.may_convert.set()
    await asyncio.gather(*waiting)
    assert host.conversions == 2
    assert not show.problems(value=10)


async def test_a_failed_conversion_is_tried_again() -> None:
    """Of two callers that wait, the second does not get the first one's error for good."""
    host: Any = Host()
    show = await load_function(host, WORKFLOW, interface=NAMES, name="show")
    host.definitions = {**copy.deepcopy(SHOW), "Other": {}}
    host.error = ConversionError("broken")
    with pytest.raises(ConversionError):
        await show._loaded.prepared()
    host.error = None
    await show._loaded.prepared()
    assert host.conversions == 3


async def test_sidecars_beside_the_workflow(tmp_path: Path) -> None:
    """The one of the workflow's name is read; two are an error that names both; a given one counts alone."""
    path = tmp_path / "2 show.json"
    path.write_text('{"1": {"class_type": "Show", "inputs": {"value": 3}}}')
    (tmp_path / "2 show.discomfort.json").write_text('{"inputs": {"number": "1.value"}}')
    host: Any = Host()
    show = await load_function(host, path, interface=None, name=None)
    assert list(show.interface.inputs) == ["number"]
    assert show.name == "_2_show"
    (tmp_path / "2 show.discomfort.toml").write_text("[inputs]")
    with pytest.raises(PayloadError, match=r"2 show.discomfort.json, 2 show.discomfort.toml"):
        await load_function(host, path, interface=None, name=None)
    given = await load_function(host, path, interface=str(tmp_path / "2 show.discomfort.json"), name="other")
    assert given.name == "other"
    with pytest.raises(FileNotFoundError, match="no such sidecar"):
        await load_function(host, path, interface=tmp_path / "gone.yaml", name=None)


async def test_widgets_of_types_of_their_own() -> None:
    """Take constants, checked as the server declares them; an input that only links feed takes none."""
    host: Any = Host()
    host.definitions["Show"]["input"]["required"] |= {"box": ["BOUNDING_BOX", {}], "model": ["MODEL"]}
    prompt = {"1": {"class_type": "Show", "inputs": {"value": 3, "box": {"x": 0, "y": 0, "width": 1, "height": 1}}}}
    names = {"inputs": {"box": "1.box", "value": "1.value"}}
    show = await load_function(host, prompt, interface=names, name=None)
    assert show.problems(box={"x": 1, "y": 2, "width": 3, "height": 4}) == []
    (problem,) = show.problems(box={"x": 1})
    assert "takes an object with the whole numbers x, y, width and height" in problem.problem


BRANCHES: dict[str, Any] = {
    "own": {"size": ["INT", {"default": 5}]},
    "other": {"size": ["INT", {"default": 7}], "text": ["STRING", {}]},
}
CHOOSE: dict[str, Any] = {
    "Choose": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {"options": [{"key": key, "inputs": {"required": each}} for key, each in BRANCHES.items()]},
                ]
            }
        },
        "output": [],
        "output_node": True,
    }
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("combo", ["mode", "Choose.mode"])
async def test_what_a_value_brings_is_set_in_the_same_call(combo: str, order: int) -> None:
    """By name or selector, in any order; what is set is not replaced by a default."""
    host: Any = Host()
    host.definitions = CHOOSE
    prompt = {"1": {"class_type": "Choose", "inputs": {"mode": "own", "mode.size": 1}}}
    names = {"inputs": {"mode": "1.mode"}} if combo == "mode" else {}
    choose = await load_function(host, prompt, interface=names, name="choose")
    values = {combo: "other", "Choose.mode.size": 9, "1.mode.text": "x"}

    call = bound(await choose._loaded.prepared(), dict(list(values.items())[::order]))

    assert call.problems == []
    assert filled_prompt(call, {}).prompt["1"]["inputs"] == {"mode": "other", "mode.size": 9, "mode.text": "x"}
    call = bound(await choose._loaded.prepared(), {"Choose.mode.text": "x"})
    assert [problem.problem for problem in call.problems] == ["node #1 'Choose' has no input 'mode.text'"]
