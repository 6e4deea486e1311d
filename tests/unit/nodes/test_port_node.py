"""``DiscomfortPort`` in the plain UI, outside of runs."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from discomfort.exceptions import PortError
from discomfort.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from discomfort.nodes.port_node import DiscomfortPort
from discomfort.nodes.runner_node import RUNNER, DiscomfortTestRunner
from discomfort.orchestration import internal_nodes
from discomfort.workflow import workflow_ports


def port(unique_id: object, **inputs: object) -> dict[str, Any]:
    return {"class_type": "DiscomfortPort", "inputs": {"unique_id": unique_id, **inputs}}


def consumer(source: object) -> dict[str, Any]:
    return {"class_type": "KSampler", "inputs": {"seed": source, "steps": 20}}


def test_names_are_the_documented_ones() -> None:
    """Classes, display names, categories, and the order of the inputs, in which workflows save their values."""
    assert NODE_DISPLAY_NAME_MAPPINGS == {
        "DiscomfortPort": "Discomfort Port (Input/Output)",
        "DiscomfortContextLoader": "Discomfort Context Loader (Internal)",
        "DiscomfortContextSaver": "Discomfort Context Saver (Internal)",
        "DiscomfortTestRunner": "Discomfort Test Runner",
        "DiscomfortTestRunnerRounds": "Discomfort Test Runner Rounds (Internal)",
        "DiscomfortTestRunnerValue": "Discomfort Test Runner Value (Internal)",
        "DiscomfortTestRunnerResult": "Discomfort Test Runner Result (Internal)",
    }
    categories = {name: getattr(cls, "CATEGORY", "") for name, cls in NODE_CLASS_MAPPINGS.items()}
    assert {name: each for name, each in categories.items() if each != "discomfort/internal"} == {
        "DiscomfortPort": "discomfort/utilities",
        "DiscomfortTestRunner": "discomfort/testing",
    }
    declared = DiscomfortPort.INPUT_TYPES()
    assert list(declared["required"]) == ["unique_id"]
    assert list(declared["optional"]) == ["input_data", "tags"]
    declared = DiscomfortTestRunner.INPUT_TYPES()
    assert list(declared["required"]) == ["workflow_json", "max_iterations"]
    assert list(declared["optional"]) == [
        *(name for slot in range(1, 6) for name in (f"input{slot}", f"unique_id_input{slot}")),
        *(f"unique_id_output{slot}" for slot in range(1, 6)),
    ]


def test_class_names_are_those_of_the_client() -> None:
    """Workflows and prompts are read with the same names."""
    runners = {name for name in NODE_CLASS_MAPPINGS if name.startswith(RUNNER)}
    known = {workflow_ports.PORT, internal_nodes.LOADER, internal_nodes.SAVER}
    assert set(NODE_CLASS_MAPPINGS) - runners == known


@pytest.mark.parametrize("name", [name for name in NODE_CLASS_MAPPINGS if name != RUNNER])
def test_nothing_breaks_the_cache(name: str) -> None:
    """No node says that it changes, and none has its own id in its cache key; a test runner names its nodes by it."""
    cls: Any = NODE_CLASS_MAPPINGS[name]
    assert not hasattr(cls, "IS_CHANGED")
    assert "UNIQUE_ID" not in cls.INPUT_TYPES().get("hidden", {}).values()


@pytest.mark.parametrize("value", [5, None, {}, [1]])
def test_hands_its_input_on(value: object) -> None:
    """Whatever it is, the very same object."""
    prompt = {"1": port("x"), "2": consumer(["1", 0])}
    assert DiscomfortPort().passthru("x", input_data=value, prompt=prompt)[0] is value


@pytest.mark.parametrize("saved", ["seed", " seed ", "seed\n"])
def test_without_a_value_it_raises_where_it_feeds_something(saved: str) -> None:
    """The message names the variable and the remedy. Spaces around an id do not count."""
    with pytest.raises(
        PortError, match="port 'seed' has no value outside of a Discomfort run; connect something to it"
    ):
        DiscomfortPort().passthru("seed ", prompt={"1": port(saved), "2": consumer(["1", 0])})


@pytest.mark.parametrize(
    "prompt",
    [
        {"1": port("seed")},
        {"1": port("seed"), "2": consumer(7)},
        {"1": port("seed"), "2": port("other"), "3": consumer(["2", 0])},
        {"1": port("seed"), "2": port("seed", input_data=["4", 0]), "3": consumer(["2", 0])},
        {},
        None,
    ],
)
def test_unconnected_port_does_nothing(prompt: dict[str, Any] | None) -> None:
    """Also if another port feeds something, or one of this id that has an input."""
    assert DiscomfortPort().passthru("seed", prompt=prompt) == (None,)


@pytest.mark.parametrize(
    ("unique_id", "is_valid"), [("x", True), (" x", True), ("", False), ("  ", False), (None, True)]
)
def test_empty_id_is_refused(unique_id: str | None, is_valid: bool) -> None:
    """By the server, before the run. Of an id that is linked nothing is known by then."""
    answer = DiscomfortPort.VALIDATE_INPUTS(unique_id)
    assert answer is True if is_valid else "unique_id is empty" in str(answer)


def test_any_type_never_differs() -> None:
    """From no type; but it is a type like others as a key and in JSON."""
    any_type: Any = DiscomfortPort.RETURN_TYPES[0]
    assert not operator.ne(any_type, "INT")
    assert not operator.ne(any_type, "IMAGE,MASK")
    assert any_type == "*"
    assert {any_type: 1}["*"] == 1
