"""What is wrong in a sidecar: told by name, never dropped without a word, and never handed on to a call."""

from __future__ import annotations

from typing import Any

import pytest
from example_count import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.workflow.test_interface_sources import DEFINITIONS, PLAIN, node, plain, problems, sampler

from discomfort.workflow.input_values import check_value
from discomfort.workflow.interface.declarations import NO_DEFAULT
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sources import interface_of


def named(**inputs: Any) -> Interface:
    """The interface of the plain prompt with these inputs in its sidecar."""
    return interface_of(PLAIN, DEFINITIONS, sidecar={"inputs": inputs})


def told(found: Interface) -> list[str]:
    """The problems without their source."""
    return [line.removeprefix("sidecar: ") for line in problems(found)]


def test_a_target_has_one_name() -> None:
    """The first; the others are told with it, also where only some of their targets are taken."""
    found = named(a="Sample.seed", b="2.seed", c={"targets": ["2.cfg", "2.seed"]}, d="2.cfg")
    assert list(found.inputs) == ["a", "d"]
    assert told(found) == [
        "input 'b': 2.seed is the input 'a' already; keep one of the two names",
        "input 'c': 2.seed is the input 'a' already, so 2.cfg has no name; give each target to one name",
    ]
    found = named(a={"targets": ["2.seed", "Sample.seed"]})
    assert [str(target) for target in found.inputs["a"].targets] == ["2.seed"]
    assert not found.problems
    found = interface_of(PLAIN, DEFINITIONS, sidecar={"outputs": {"x": "Final", "y": {"node": 3}}})
    assert list(found.outputs) == ["x"]
    assert told(found) == ["output 'y': node 3 is the output 'x' already; keep one of the two names"]


def test_what_a_higher_source_names_is_no_problem() -> None:
    """Unless something of it is left without a name."""
    prompt = {"1": node("DiscomfortPort", unique_id="n"), "2": sampler(image="", seed=["1", 0])}
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"a": {"port": "n"}, "b": {"port": "n"}}})
    assert told(found) == ["input 'b': the port 'n' is the input 'a' already; keep one of the two names"]
    assert not plain([["2", "seed"], ["2", "seed"]], []).problems


def test_names_that_python_does_not_take() -> None:
    """They are changed, and that is told."""
    found = interface_of(PLAIN, DEFINITIONS, sidecar={"inputs": {"my name": "2.seed"}, "outputs": {"class": "3"}})
    assert [*found.inputs, *found.outputs] == ["my_name", "class_"]
    assert told(found) == [
        "input 'my name': Python does not take it as a name, so it is 'my_name'; write 'my_name'",
        "output 'class': Python does not take it as a name, so it is 'class_'; write 'class_'",
    ]


@pytest.mark.parametrize(
    ("target", "fields", "message"),
    [
        ("seed", {"minimum": 9, "maximum": 4}, "there is no value from the minimum 9 to the maximum 4; swap them"),
        ("seed", {"minimum": 3.2, "maximum": 3.8}, "no value from the minimum 3.2 to the maximum 3.8; write bounds"),
        ("seed", {"minimum": -5}, "'minimum' is -5, but 2.seed takes a number from 0 to 99; write a number from 0"),
        ("seed", {"maximum": 10**400}, "'maximum' is not a finite number"),
        ("seed", {"maximum": 2e9}, "'maximum' is 2000000000.0, but 2.seed takes a number from 0 to 99"),
        ("cfg", {"minimum": float("nan")}, "'minimum' is not a finite number"),
        ("cfg", {"step": 0}, "'step' is 0; write a number above 0"),
        ("cfg", {"choices": [1, 2], "maximum": 3, "default": 2}, "'maximum' has no effect beside 'choices'"),
        ("cfg", {"choices": [2, 20]}, "'choices' has the number 20: takes a number from 0.0 to 10.0"),
        ("cfg", {"choices": [[2], 2]}, "'choices' has a list of 1 item: it is neither a text nor a number"),
        ("sampler", {"choices": ["eulr", "euler"]}, "'eulr': the server does not have it; did you mean 'euler'?"),
        ("sampler", {"choices": []}, "'choices' is empty; write the values"),
        ("text", {"minimum": 1}, "'minimum' has no effect: it takes STRING; leave it out"),
        ("seed", {"multiline": True}, "'multiline' has no effect: it takes INT"),
        ("seed", {"type": "FLOAT"}, "'type' is 'FLOAT', but it takes INT; write INT"),
        ("cfg", {"type": "float"}, "'type' is 'float'; write FLOAT"),
        ("seed", {"default": 500}, "'default' is the number 500, but it takes a number from 0 to 99"),
        ("seed", {"default": 9, "maximum": 8}, "'default' is the number 9, but it takes a number from 0 to 8"),
        ("seed", {"default": "a secret prompt"}, "'default' is a text, but it takes a number from 0 to 99"),
        ("seed", {"default": None}, "'default' is null, but it takes a number from 0 to 99"),
        ("text", {"default": 5}, "'default' is the number 5, but it takes STRING"),
        ("sampler", {"default": "eulr"}, "'default' is a text that is not among its values; did you mean 'euler'?"),
        ("sampler", {"choices": ["heun"], "default": "euler"}, "'default' is a text that is not among its values; did"),
        ("seed", {"default": 3, "required": True}, "'default' has no effect: it is required; leave one of them out"),
        ("seed", {"minimum": 5}, "the workflow's value 3 is not what 'minimum' allow, so a call must give one; write"),
        ("seed", {"options": [1]}, "the key 'options' is not known; did you mean 'choices'?"),
        ("seed", {"port": "n"}, "it has a target, and the port 'n'; leave one of them out"),
        ("mode.width", {}, "it is there where 4.mode is 'fixed': save the workflow with that, or give both"),
    ],
)  # fmt: skip
def test_facts_that_do_not_hold(target: str, fields: dict[str, Any], message: str) -> None:
    """Each is told with the name of the entry and the remedy; a text that may be a prompt is not repeated."""
    prompt = {**PLAIN, "4": node("Resize", **{"mode": "scale", "mode.by": 2.0})}
    place = f"4.{target}" if "." in target else f"2.{target}"
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"a": {"target": place, **fields}}})
    assert any(line.startswith("input 'a': ") and message in line for line in told(found)), told(found)
    assert "secret" not in str(found)


def test_what_does_not_hold_is_as_without_it() -> None:
    """The server's bounds, choices and type, and the workflow's value; the rest of the entry counts."""
    found = named(a={"target": "2.seed", "minimum": 9, "maximum": 4, "default": 7, "description": "Of noise"},
                  b={"target": "2.sampler", "choices": ["foo"], "default": "heun"},
                  c={"target": "2.cfg", "maximum": 1})  # fmt: skip
    a, b, c = found.inputs.values()
    assert (a.minimum, a.maximum, a.default, a.description) == (0, 99, 7, "Of noise")
    assert (b.choices, b.default) == (("euler", "heun"), "heun")
    # What the workflow has is not allowed.
    assert (c.maximum, c.default) == (1, NO_DEFAULT)
    assert len(found.problems) == 3


def test_what_holds_is_not_told() -> None:
    """Narrower bounds, choices and types; a default on a bound; files; ports."""
    found = named(
        a={"target": "2.seed", "minimum": 0, "maximum": 3, "default": 3},
        b={"target": "2.sampler", "choices": ["euler"]},
        c={"target": "2.cfg", "choices": [2, 2.5], "default": 2},
        f={"target": "1.image", "default": "b.png"},
        t={"target": "2.text", "choices": ["a cat", "a dog"], "type": "COMBO"},
    )
    assert told(found) == []
    assert found.inputs["t"].choices == ("a cat", "a dog")
    prompt = {"1": node("DiscomfortPort", unique_id="n"), "2": sampler(image="", seed=["1", 0])}
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"n": {"default": 100}}})
    assert "'default' is the number 100, but it takes a number from 0 to 99" in told(found)[0]
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"n": {"default": 9, "minimum": 1}}})
    assert (found.inputs["n"].default, found.inputs["n"].minimum, found.problems) == (9, 1, ())


def test_an_output_that_a_run_does_not_return() -> None:
    """Is told, as one of App Mode is."""
    found = interface_of(PLAIN, DEFINITIONS, sidecar={"outputs": {"x": "Sample"}})
    assert list(found.outputs) == ["final"]
    assert "output 'x': 'Sample': Sample is not an output node, so a run returns nothing of it; name" in told(found)[0]


_NUMBERS = st.integers(-200, 200) | st.floats() | st.just(10**400)
_ANY = (
    st.none()
    | st.booleans()
    | _NUMBERS
    | st.sampled_from(["euler", "heun", "x", "INT", "float", ""])
    | st.just({"x": 1})
)
_KEYS = st.sampled_from(
    ["type", "default", "minimum", "maximum", "step", "choices", "required", "multiline", "label", "min"]
)
_ENTRY = st.fixed_dictionaries(
    {"target": st.sampled_from(["2.seed", "Sample.cfg", "2.sampler", "2.text", "1.image", "2.image", "9.x", "seed"])}
) | st.none() | _ANY  # fmt: skip
_FIELDS = st.dictionaries(_KEYS, _ANY | st.lists(_ANY, max_size=3), max_size=5)


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c d", "1"]), st.tuples(_ENTRY, _FIELDS), max_size=3))
def test_any_sidecar(entries: dict[str, tuple[Any, dict[str, Any]]]) -> None:
    """Each entry is an input or is told, and what comes of it does not contradict itself or the server."""
    inputs = {name: {**entry, **more} if isinstance(entry, dict) else entry for name, (entry, more) in entries.items()}
    found = interface_of(PLAIN, DEFINITIONS, sidecar={"inputs": inputs})
    texts = " ".join(told(found))
    assert all(name in found.inputs or f"input {name!r}" in texts for name in inputs)
    str(found), found.as_json(), found.json_schema(), found.signature()
    for each in found.inputs.values():
        low, high = each.minimum, each.maximum
        assert low is None or high is None or low <= high
        if each.default is not NO_DEFAULT and each.targets and each.upload is None:
            spec = DEFINITIONS["Sample"]["input"]["required"][each.targets[0].input_name]
            check_value(each.name, each.default, spec)
            if each.choices:
                assert each.default in each.choices
            elif each.type in ("INT", "FLOAT"):
                check_value(each.name, each.default, [each.type, {"min": low, "max": high}])
