"""Dynamic combos in calls: the inputs of the branch that a call chooses, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from unit.functions.test_loaded_workflows import Host
from unit.workflow.test_interface_sources import DEFINITIONS, node

from discomfort.functions.bound_call import bound, sent_values
from discomfort.functions.loading import load_function
from discomfort.functions.prompt_filling import filled_prompt

PROMPT = {
    "1": node("Resize", "One", **{"mode": "scale", "mode.by": 2.0}),
    "2": node("Resize", "Two", **{"mode": "scale", "mode.by": 2.0}),
    "3": node("SaveImage", images=["1", 0], filename_prefix="x"),
}
BY = {"target": "One.mode.by", "default": 3.0}


async def inputs(sidecar: dict[str, Any], **values: Any) -> Any:
    """The problems of a call, the inputs of the first node that it sends, and its values."""
    host: Any = Host()
    host.definitions = DEFINITIONS
    function = await load_function(host, PROMPT, interface={"inputs": sidecar}, name="resize")
    assert function.interface.problems == ()
    call = bound(function._loaded.known, {key.replace("__", "."): value for key, value in values.items()})
    filled = filled_prompt(call, {}).prompt
    assert function.prompt == PROMPT
    return [str(each) for each in call.problems], filled["1"]["inputs"], sent_values(call)


@pytest.mark.parametrize("mode", ["mode", "One__mode", "1__mode"])
async def test_a_default_of_another_branch(mode: str) -> None:
    """Is not sent, whether the combo is given by name or by selector; in its own branch it is."""
    names = {"by": BY} | ({"mode": "One.mode"} if mode == "mode" else {})
    problems, sent, values = await inputs(names, **{mode: "fixed"})
    assert (problems, sent) == ([], {"mode": "fixed", "mode.width": 8})
    assert "fixed" in values.values()
    assert 3.0 not in values.values()
    problems, sent, _ = await inputs(names)
    assert (problems, sent) == ([], {"mode": "scale", "mode.by": 3.0})


async def test_a_value_of_another_branch() -> None:
    """Is refused, unless it is the default, which forms and models give; one of the chosen branch is taken."""
    names = {"by": BY, "mode": "One.mode"}
    problems, _, _ = await inputs(names, mode="fixed", by=5.0)
    assert problems == ["by: has no place in this call: 1.mode is 'fixed', which does not bring it"]
    problems, sent, _ = await inputs(names, mode="fixed", by=3.0, One__mode__width=7)
    assert (problems, sent) == ([], {"mode": "fixed", "mode.width": 7})
    problems, _, _ = await inputs(names, One__mode__width=7)
    assert "has no input 'mode.width'" in problems[0]
    problems, _, _ = await inputs({"by": {"target": "One.mode.by", "required": True}}, One__mode="fixed")
    assert problems == []


async def test_one_name_for_two_nodes() -> None:
    """The value goes to the node that has the input."""
    names = {"by": {"targets": ["One.mode.by", "Two.mode.by"], "default": 4.0}, "mode": "One.mode"}
    problems, sent, values = await inputs(names, mode="fixed")
    assert (problems, sent) == ([], {"mode": "fixed", "mode.width": 8})
    assert values == {"2.mode.by": 4.0, "1.mode": "fixed"}


async def test_the_default_of_a_combo() -> None:
    """Chooses the branch as a value does."""
    names = {"by": BY, "mode": {"target": "One.mode", "default": "fixed"}}
    problems, sent, _ = await inputs(names)
    assert (problems, sent) == ([], {"mode": "fixed", "mode.width": 8})
    problems, sent, _ = await inputs(names, mode="scale")
    assert (problems, sent) == ([], {"mode": "scale", "mode.by": 3.0})
