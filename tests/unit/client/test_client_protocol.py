"""Frames in, events out."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discomfort.client.protocol import (
    _HANDLERS,
    Message,
    PreviewFrame,
    RunState,
    TextFrame,
    decode_binary,
    decode_text,
    executable_nodes,
    queue_positions,
    running_prompts,
)
from discomfort.progress import Cached, NodeOutput, NodeStarted, Preview, Started, Step

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that build other things meanwhile are slow, which says nothing about this."""
PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": {}, "_meta": {"title": "Canvas"}},
    "2": {"class_type": "Invert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    "9": {"class_type": "Stray", "inputs": {"image": ["1", 0]}},
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from([*_HANDLERS, "execution_success", "execution_error", "execution_interrupted", "status", "x"])
FIELDS = st.sampled_from(
    ["node", "display_node", "nodes", "output", "value", "max", "exception_type", "node_id", "state", "1"]
)


def state(*, reporting: bool = True) -> RunState:
    """A run of the prompt above."""
    return RunState("p", PROMPT, reporting=reporting)


def message(kind: str, **data: object) -> Message:
    """A message about that run."""
    return Message(kind, {"prompt_id": "p", **data}, "p")


def test_text_frame_gives_type_data_and_prompt() -> None:
    """A message of ComfyUI is decoded."""
    decoded = decode_text('{"type": "executing", "data": {"node": null, "prompt_id": "p"}}')

    assert decoded == Message("executing", {"node": None, "prompt_id": "p"}, "p")


def test_bare_nan_is_accepted() -> None:
    """Servers write NaN into messages, which is not JSON."""
    decoded = decode_text('{"type": "executed", "data": {"prompt_id": "p", "output": {"x": [NaN, Infinity]}}}')

    assert decoded is not None
    assert decoded.data["output"]["x"][1] == float("inf")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"data": {}}', '{"type": 1}', "[" * 100_000])
def test_text_that_is_no_message_is_dropped(text: str) -> None:
    """Garbage is not an error."""
    assert decode_text(text) is None


def test_odd_data_is_an_empty_message() -> None:
    """A message whose data or prompt id have another shape keeps its type."""
    assert decode_text('{"type": "x", "data": [1]}') == Message("x", {}, None)
    assert decode_text('{"type": "x", "data": {"prompt_id": 5}}') == Message("x", {"prompt_id": 5}, None)


def test_binary_frames_of_all_kinds() -> None:
    """Preview, text, and preview with metadata."""
    metadata = json.dumps(
        {"node_id": "1.0", "display_node_id": "1", "prompt_id": "p", "image_type": "image/png"}
    ).encode()

    assert decode_binary(struct.pack(">II", 1, 2) + b"png") == PreviewFrame(None, None, "image/png", b"png")
    assert decode_binary(struct.pack(">II", 3, 2) + b"12text") == TextFrame("12", "text")
    assert decode_binary(struct.pack(">II", 4, len(metadata)) + metadata + b"x") == PreviewFrame(
        "p", "1", "image/png", b"x"
    )


@PATIENT
@given(
    st.binary(max_size=40)
    | st.builds(lambda kind, rest: struct.pack(">I", kind) + rest, st.integers(0, 5), st.binary())
)
def test_any_bytes_are_decoded_or_dropped(frame: bytes) -> None:
    """No frame raises."""
    decoded = decode_binary(frame)

    assert decoded is None or isinstance(decoded, PreviewFrame | TextFrame)


def test_a_normal_run_gives_its_events_in_order() -> None:
    """Started, cached, node n of m, step, preview, output."""
    run = state()
    run.executable = {"1", "2", "3"}
    frames: list[Message | PreviewFrame] = [
        message("execution_start"),
        message("execution_cached", nodes=["1"]),
        message("executing", node="2", display_node="2"),
        message("progress", node="2", value=1, max=2),
        PreviewFrame("p", "2", "image/jpeg", b"j"),
        message("executing", node="3", display_node="3"),
        message("executed", node="3", output={"images": []}),
        message("execution_success"),
    ]

    events = [event for frame in frames for event in run.feed(frame)]

    assert events == [
        Started("p"),
        Cached("p", ("1",)),
        NodeStarted("p", "2", "Invert", "Invert", 1, 2),
        Step("p", "2", "Invert", 1, 2),
        Preview("p", "2", "image/jpeg", b"j"),
        NodeStarted("p", "3", "PreviewImage", "PreviewImage", 2, 2),
        NodeOutput("p", "3", "PreviewImage", {"images": []}),
    ]
    assert (run.ended, run.finished) == (True, False)


@pytest.mark.parametrize(
    ("class_type", "media_type", "is_result"),
    [
        ("KSampler", "image/jpeg", False),
        ("SaveImageWebsocket", "image/png", True),
        ("SaveImageWebsocket", "image/jpeg", True),
        ("SomebodysSaveImageWebsocket", "image/png", True),
    ],
)
def test_previews_that_are_results(class_type: str, media_type: str, *, is_result: bool) -> None:
    """By the node's class, and by a format that no sampler sends its previews in."""
    run = RunState("p", {"1": {"class_type": class_type, "inputs": {}}}, reporting=True)

    assert run.feed(PreviewFrame("p", "1", media_type, b"x")) == (Preview("p", "1", media_type, b"x", is_result),)


def test_executing_null_finishes() -> None:
    """It is sent when the record is there; a message without the key means nothing."""
    run = state()
    run.feed(message("executing"))

    assert not run.finished

    run.feed(message("executing", node=None))

    assert run.finished


def test_a_node_that_is_executed_twice_counts_once() -> None:
    """Lazy inputs make a node appear again."""
    run = state()

    events = [*run.feed(message("executing", node="1")), *run.feed(message("executing", node="1"))]

    assert [event.index for event in events if isinstance(event, NodeStarted)] == [1]


def test_children_of_an_expanded_node_are_shown_as_that_node() -> None:
    """Ids such as 1.0.0.1 are of no use to anybody."""
    run = state()
    events = [
        *run.feed(message("executing", node="1", display_node="1")),
        *run.feed(message("executing", node="1.0.0.4", display_node="1")),
        *run.feed(message("progress", node="1.0.0.4", value=3, max=9)),
    ]

    assert [(type(event).__name__, event.node_id) for event in events] == [("NodeStarted", "1"), ("Step", "1")]
    assert events[1].title == "Canvas"


def test_steps_that_are_told_twice_are_reported_once() -> None:
    """As progress_state and as progress."""
    run = state()
    nodes = {
        "1": {"value": 1.0, "max": 1.0, "state": "finished", "display_node_id": "1"},
        "2": {"value": 4.0, "max": 20.0, "state": "running", "display_node_id": "2"},
        "3": {"value": 0.0, "max": 1.0, "state": "running", "display_node_id": "3"},
    }

    events = [
        *run.feed(message("progress_state", nodes=nodes)),
        *run.feed(message("progress", node="2", value=4, max=20)),
    ]

    assert events == [Step("p", "2", "Invert", 4.0, 20.0)]


def test_a_blocked_output_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is announced as one, and the run goes on; there is one warning."""
    run = state()
    for _ in range(2):
        run.feed(message("execution_error", exception_type="ExecutionBlocked", node_id="2", exception_message="no"))

    assert not run.ended
    assert run.blocked == ["2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_without_reporting_no_events_are_built() -> None:
    """Only the flags change."""
    run = state(reporting=False)

    assert run.feed(message("execution_start")) == ()
    assert run.feed(PreviewFrame("p", "2", "image/png", b"")) == ()
    assert run.started


@PATIENT
@given(TYPES, st.dictionaries(FIELDS, ANYTHING, max_size=4))
def test_no_message_raises(kind: str, data: dict[str, object]) -> None:
    """Whatever the shape of its data."""
    run = state()

    events = run.feed(Message(kind, data, "p"))

    assert all(event.prompt_id == "p" for event in events)


def test_executable_nodes_are_those_upstream_of_outputs() -> None:
    """Others never run, so they do not count; without definitions all do."""
    definitions = {"PreviewImage": {"output_node": True}, "Stray": {}}

    assert executable_nodes(PROMPT, definitions) == {"1", "2", "3"}
    assert executable_nodes(PROMPT, None) == set(PROMPT)


def test_queue_positions_go_by_number() -> None:
    """The pending list is in heap order; the running prompt is before all."""
    queue = {
        "queue_running": [[7.0, "run", {}, {}, []]],
        "queue_pending": [[9, "late", {}], [-3.0, "front", {}], [8, "mid", {}], "junk", []],
    }

    assert queue_positions(queue) == {"run": 0, "front": 1, "mid": 2, "late": 3}
    assert running_prompts(queue) == {"run"}
    assert queue_positions({"queue_running": None}) == {}
    assert queue_positions({"queue_pending": [[1], [2, "two fields are enough"]]}) == {"two fields are enough": 0}
