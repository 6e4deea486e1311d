"""Answers and records become the errors that they mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discomfort.client.outcomes import is_out_of_memory, partial_refusal, refusal, verdict
from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    MissingNodesError,
    OutOfMemoryError,
    RunError,
    ValidationError,
)

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that build other things meanwhile are slow, which says nothing about this."""
PROMPT = {
    "1": {"class_type": "Image", "inputs": {"width": 0, "method": "zzz"}, "_meta": {"title": "Canvas"}},
    "2": {"class_type": "Nope", "inputs": {}},
    "3": {"class_type": "Nada", "inputs": {}},
}
DEFINITIONS = {"Image": {"input": {"required": {"method": [["a", "b"], {}]}}}}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def node_error(kind: str, **extra: Any) -> dict[str, Any]:
    """``node_errors`` with one error of node 1."""
    error = {"type": kind, "message": "told", "details": "more", "extra_info": extra}
    return {"1": {"class_type": "Image", "dependent_outputs": ["9"], "errors": [error]}}


def record(*messages: list[Any], **status: Any) -> dict[str, Any]:
    """A history record with these status messages."""
    return {"prompt": [0, "p", PROMPT, {}, []], "outputs": {}, "status": {"messages": list(messages), **status}}


def failure(exception_type: str = "ValueError", message: str = "boom\n") -> list[Any]:
    """The message of a node that raised."""
    data = {
        "node_id": "1",
        "node_type": "Image",
        "exception_type": exception_type,
        "exception_message": message,
        "traceback": ['  File "x.py", line 1\n', "    raise\n"],
    }
    return ["execution_error", data]


def test_range_error_names_node_input_value_and_limits() -> None:
    """Everything that is needed to repair it."""
    errors = node_error(
        "value_smaller_than_min",
        input_name="width",
        input_config=["INT", {"min": 1, "max": 64}],
        received_value=0,
    )

    error = refusal(PROMPT, "p", {"error": {"type": "x", "message": "bad"}, "node_errors": errors}, None)

    assert isinstance(error, ValidationError)
    (problem,) = error.problems
    assert (problem.title, problem.class_type, problem.input_name) == ("Canvas", "Image", "width")
    assert (problem.received, problem.minimum, problem.maximum) == (0, 1, 64)
    assert "node 1 'Canvas' (Image) input 'width'" in str(error)


@pytest.mark.parametrize(
    ("config", "allowed"),
    [
        ([["a", "b"], {}], ("a", "b")),
        (["COMBO", {"options": ["c"]}], ("c",)),
        (None, ("a", "b")),
        (["COMBO", {"remote": {}}], None),
    ],
)
def test_allowed_values_come_in_every_dialect(config: Any, allowed: tuple[str, ...] | None) -> None:
    """Long lists are left out of the answer and taken from the definitions."""
    errors = node_error("value_not_in_list", input_name="method", input_config=config, received_value="zzz")

    error = refusal(PROMPT, "p", {"error": {}, "node_errors": errors}, DEFINITIONS)

    assert isinstance(error, ValidationError)
    assert error.problems[0].allowed == allowed
    assert error.problems[0].received == "zzz"


def test_missing_input_has_no_value() -> None:
    """A link that another input has is not shown as what was given."""
    error = partial_refusal(PROMPT, "p", node_error("required_input_missing", input_name="width"), None)

    assert error.problems[0].received is None
    assert error.node_errors


def test_unknown_class_lists_all_that_are_missing() -> None:
    """The server names only the first."""
    body = {
        "error": {
            "type": "invalid_prompt",
            "message": "Cannot execute because node Nope does not exist.",
            "details": "Node ID '#2'",
            "extra_info": {},
        },
        "node_errors": {},
    }

    error = refusal(PROMPT, "p", body, DEFINITIONS)
    blind = refusal(PROMPT, "p", body, None)

    assert isinstance(error, MissingNodesError)
    assert isinstance(blind, MissingNodesError)
    assert [missing.class_type for missing in error.missing] == ["Nope", "Nada"]
    assert [missing.class_type for missing in blind.missing] == ["Nope"]


def test_newer_servers_have_a_type_for_unknown_classes() -> None:
    """With the class in a field."""
    body = {"error": {"type": "missing_node_type", "message": "m", "extra_info": {"class_type": "Nope"}}}

    error = refusal(PROMPT, "p", body, None)

    assert isinstance(error, MissingNodesError)
    assert error.missing[0].node_ids == ("2",)


@pytest.mark.parametrize("extra", [{"class_type": None, "node_id": "1"}, {}, None, "x"])
def test_a_node_without_any_class_is_not_a_missing_pack(extra: Any) -> None:
    """It has the same type; there is nothing to install."""
    message = "Node 'ID #1' has no class_type. The workflow may be corrupted or a custom node is missing."
    body = {"error": {"type": "missing_node_type", "message": message, "extra_info": extra}}

    error = refusal(PROMPT, "p", body, None)

    assert isinstance(error, ValidationError)
    assert "has no class_type" in str(error)


def test_a_prompt_id_that_the_server_refuses() -> None:
    """The error says what it takes."""
    body = {
        "error": {
            "type": "invalid_prompt_id",
            "message": "prompt_id must be a valid UUID",
            "details": "prompt_id must be a UUID string in canonical lowercase hyphenated form",
            "extra_info": {},
        },
        "node_errors": {},
    }

    error = refusal(PROMPT, "mine/1", body, None)

    assert isinstance(error, ValidationError)
    assert error.prompt_id == "mine/1"
    assert error.error["type"] == "invalid_prompt_id"
    assert "str(uuid.uuid4())" in error.remedy
    assert error.remedy in str(error)


def test_each_node_of_a_cycle_is_named() -> None:
    """Newer servers tell the way round."""
    path = "1 (Image) -> 2 (Nope) -> 1 (Image)"
    errors = {
        node_id: {
            "class_type": kind,
            "dependent_outputs": ["9"],
            "errors": [
                {
                    "type": "dependency_cycle",
                    "message": "Dependency cycle detected",
                    "details": path,
                    "extra_info": {"node_id": node_id, "cycle_nodes": ["1", "2"]},
                }
            ],
        }
        for node_id, kind in (("1", "Image"), ("2", "Nope"))
    }

    error = partial_refusal(PROMPT, "p", errors, None)

    assert [(each.node_id, each.type, each.details) for each in error.problems] == [
        ("1", "dependency_cycle", path),
        ("2", "dependency_cycle", path),
    ]
    assert path in str(error)


@pytest.mark.parametrize(
    ("kind", "message", "details", "extra"),
    [
        ("invalid_dynamic_input", "Invalid dynamic input", "mode.n", {"input_name": "mode.n"}),
        (
            "custom_validation_failed",
            "Custom validation failed for node",
            "the loop has no start",
            {"input_name": "loop boundary", "loop_error_type": "loop_end_without_start", "node_ids": ["1"]},
        ),
        ("custom_validation_failed", "Custom validation failed for node", "neither of both", {}),
        ("required_input_missing", "Required input is missing", "v1", {"input_name": "grow.v1"}),
        ("something_of_next_year", "Not good", "since", {"input_name": "width", "new": {"a": [1]}}),
    ],
)
def test_errors_of_any_type_survive_whole(kind: str, message: str, details: str, extra: dict[str, Any]) -> None:
    """Known or not: node, input, type, texts, and the server's own object."""
    node = {"class_type": "Image", "dependent_outputs": ["9"]}
    errors = {"1": {**node, "errors": [{"type": kind, "message": message, "details": details, "extra_info": extra}]}}

    error = refusal(PROMPT, "p", {"error": {"type": "prompt_outputs_failed_validation"}, "node_errors": errors}, None)

    assert isinstance(error, ValidationError)
    (problem,) = error.problems
    assert (problem.type, problem.message, problem.details) == (kind, message, details)
    assert problem.input_name == extra.get("input_name")
    assert message in str(error)
    assert error.node_errors == errors


def test_whole_prompt_errors_keep_their_details() -> None:
    """A cyclic graph is refused without any node error."""
    body = {"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "d"}}

    error = refusal(PROMPT, "p", body, None)

    assert str(error) == "the server refused the prompt: Prompt has no outputs (d)"


@PATIENT
@given(st.dictionaries(st.sampled_from(["error", "node_errors"]), ANYTHING))
def test_any_refusal_is_an_error(body: dict[str, Any]) -> None:
    """Whatever its shape."""
    assert isinstance(refusal(PROMPT, "p", body, DEFINITIONS), ValidationError | MissingNodesError)


def test_success_is_no_error() -> None:
    """Also for a record without any status."""
    assert verdict("p", record(["execution_start", {}], ["execution_success", {}], status_str="success")) is None
    assert verdict("p", {"outputs": {}}) is None


def test_the_last_message_decides_against_the_status() -> None:
    """A cycle found at run time leaves a status of success."""
    error = verdict("p", record(failure(), status_str="success", completed=True))

    assert isinstance(error, ExecutionError)
    assert (error.node_id, error.title, error.exception_type) == ("1", "Canvas", "ValueError")
    assert error.traceback[0].startswith("  File")
    assert error.history["prompt"][1] == "p"


def test_interrupted_is_not_an_execution_error() -> None:
    """Its status says error."""
    error = verdict("p", record(["execution_interrupted", {"node_id": "1", "node_type": "Image"}], status_str="error"))

    assert isinstance(error, ExecutionInterrupted)
    assert error.node_id == "1"


def test_a_blocked_output_in_the_messages_is_skipped() -> None:
    """The run is what the message before says."""
    assert verdict("p", record(["execution_success", {}], failure("ExecutionBlocked"))) is None


def test_an_error_without_a_message_is_still_an_error() -> None:
    """It says that the server gives no reason."""
    error = verdict("p", record(status_str="error", completed=False))

    assert type(error) is RunError


@pytest.mark.parametrize(
    ("exception_type", "message"),
    [
        ("torch.OutOfMemoryError", "x"),
        ("torch.cuda.OutOfMemoryError", "x"),
        ("MemoryError", ""),
        ("numpy._core._exceptions._ArrayMemoryError", "x"),
        ("RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "CUDA error: out of memory"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 1 GB)"),
        ("Exception", "Allocation on device 0 would exceed allowed memory."),
        ("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        ("RuntimeError", "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
    ],
)
def test_out_of_memory_is_recognised(exception_type: str, message: str) -> None:
    """By its type or its text."""
    assert is_out_of_memory(exception_type, message)
    assert isinstance(verdict("p", record(failure(exception_type, message))), OutOfMemoryError)


@pytest.mark.parametrize("message", ["", "the prompt 'we ran out of memory lane' is too long", "memory"])
def test_other_errors_are_not_out_of_memory(message: str) -> None:
    """Words alone do not make it so."""
    assert not is_out_of_memory("ValueError", message)


@PATIENT
@given(ANYTHING)
def test_any_status_gives_a_verdict(status: Any) -> None:
    """Whatever its shape."""
    outcome = verdict("p", {"prompt": status, "status": {"messages": status}})

    assert outcome is None or isinstance(outcome, RunError)
