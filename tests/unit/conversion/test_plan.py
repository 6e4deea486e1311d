"""A plan makes prompts from values, says where it cannot, and survives storage only whole."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from discomfort.conversion.native.plan import Plan, difference
from discomfort.conversion.native.rules import Rule, ValueLimits

PROMPT: dict[str, Any] = {
    "1": {"inputs": {"seed": 0, "name": "euler", "model": ["2", 0]}, "class_type": "K", "_meta": {"title": "K"}},
    "2": {"inputs": {"text": "x"}, "class_type": "T", "_meta": {"title": "T"}},
}
LIMITS = {"K": {"name": ValueLimits(frozenset({"euler", "heun"}))}}


def plan() -> Plan:
    """A plan with one rule of each kind."""
    rules = [
        Rule("number", (("1", "seed"),), low=0, high=2**64),
        Rule("choice", (("1", "name"),), seen={"gone"}),
        Rule("text", (("2", "text"),)),
        Rule("held", value="fixed"),
    ]
    made = Plan(json.dumps(PROMPT).encode(), rules)
    made.know(LIMITS, seen_only=False)
    return made


def test_values_are_put_in_place() -> None:
    """Each value stands where it belongs, as JavaScript writes it; each prompt is an object of its own."""
    known = plan()

    prompt = known.apply([2**64 - 1, "heun", "a", "fixed"])

    assert prompt["1"]["inputs"] == {"seed": 18446744073709552000, "name": "heun", "model": ["2", 0]}
    assert prompt["2"]["inputs"] == {"text": "a"}
    prompt.clear()
    assert known.apply([1, "heun", "a", "fixed"])["1"]["inputs"]["seed"] == 1


def test_refusal_names_the_place() -> None:
    """Node and input for a value that arrives, its number for one that does not."""
    known = plan()

    assert known.refusal([5, "gone", "a", "fixed"]) is None
    assert "node 2, text" in str(known.refusal([5, "heun", "{a|b}", "fixed"]))
    assert "value 3" in str(known.refusal([5, "heun", "a", "other"]))


def test_foreign_scripts_leave_only_what_was_seen() -> None:
    """Where packs' scripts run in the page, no choice is believed that was not seen to arrive."""
    known = plan()

    known.know(LIMITS, seen_only=True)

    assert known.refusal([5, "gone", "a", "fixed"]) is None
    assert "choice" in str(known.refusal([5, "heun", "a", "fixed"]))


def test_switched_off_plan_refuses_all() -> None:
    """A plan that was wrong says so, whatever the values."""
    known = plan()
    known.off = "it was wrong"

    assert known.refusal([5, "heun", "a", "fixed"]) == "it was wrong"


def test_plan_survives_storage() -> None:
    """A stored plan makes the same prompts."""
    known = plan()
    known.agreed = 2

    again = Plan.from_json(json.loads(known.to_json()), 4)

    assert again is not None
    again.know(LIMITS, seen_only=False)
    assert again.agreed == 2
    assert again.apply([5, "heun", "a", "fixed"]) == known.apply([5, "heun", "a", "fixed"])
    assert again.refusal([5, "none", "a", "fixed"]) == known.refusal([5, "none", "a", "fixed"])


@pytest.mark.parametrize("change", ["version", "rules", "target", "template", "count", "kind"])
def test_stored_plan_that_does_not_fit_is_none(change: str) -> None:
    """Another version, parts missing, places that are not in the prompt, another number of values."""
    data = json.loads(plan().to_json())
    count = 4
    if change == "version":
        data["version"] = 0
    elif change == "rules":
        del data["rules"]
    elif change == "target":
        data["rules"][0]["targets"] = [["9", "seed"]]
    elif change == "template":
        data["template"] = []
    elif change == "count":
        count = 3
    else:
        data["rules"][0] = "text"

    assert Plan.from_json(data, count) is None


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("1", "inputs", "seed"), False, "node 1, input seed"),
        (("1", "inputs", "seed"), 0.0, "node 1, input seed"),
        (("1", "inputs", "more"), 1, "inputs of node 1"),
        (("2", "class_type"), "X", "node 2"),
        (("2", "_meta", "title"), "X", "titles"),
        (("3",), {"inputs": {}, "class_type": "X"}, "node 3"),
    ],
)
def test_difference_names_the_place(path: tuple[str, ...], value: Any, where: str) -> None:
    """The first place that is not the same in JSON, and nothing of what stands there."""
    other = copy.deepcopy(PROMPT)
    inside: Any = other
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value

    assert difference(PROMPT, copy.deepcopy(PROMPT)) is None
    assert where in str(difference(PROMPT, other))
